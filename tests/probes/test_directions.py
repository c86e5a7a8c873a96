"""Directions of detectors, along which one steers, and SAE detectors made of an audit's clusters."""

from __future__ import annotations

import pytest
import torch
from support.planted_direction import WIDTH, direction, examples
from support.tiny import save_sae

from anatomy.concepts.scorer import Directed
from anatomy.sae.load_sae import LoadedSAE
from probes.attention_probe import AttentionProbe
from probes.detector import Detector, Provenance
from probes.difference_of_means import DifferenceOfMeans
from probes.linear_probe import LinearProbe
from probes.sae_detector import SAEDetector


def detector(estimator) -> Detector:
    return Detector(estimator, "u", 1, "max", None, Provenance(model="m", model_fingerprint="f"))


@pytest.mark.parametrize("estimator", [DifferenceOfMeans(), LinearProbe()])
def test_a_direction_has_length_1_raises_the_score_and_points_along_what_was_planted(estimator):
    found = detector(estimator.fit(examples(sequences=400)))
    unit_D = found.direction_D
    assert isinstance(found, Directed)
    assert unit_D.shape == (WIDTH,)
    assert float(unit_D.norm()) == pytest.approx(1)
    x_TD = torch.zeros(1, WIDTH)
    assert found.estimator.decision(x_TD + unit_D) > found.estimator.decision(x_TD)
    assert float(unit_D @ direction()) > 0.8


def test_an_attention_probe_has_none():
    assert detector(AttentionProbe(epochs=1).fit(examples(sequences=40, tokens=True))).direction_D is None


def test_a_clusters_direction_is_its_features_mean_decoder_row(tmp_path, tiny_model_dir):
    from sae_lens import SAE

    module = SAE.load_from_disk(save_sae(tmp_path, tiny_model_dir("llama"), scale=3.0))
    sae = LoadedSAE(module, "tiny", 1, "blocks.1.hook_resid_post", {}, "f")
    found = detector(SAEDetector(sae, [2, 7]))
    rows_FD = module.state_dict()["W_dec"]
    torch.testing.assert_close(found.direction_D, (rows_FD[2] + rows_FD[7]) / (rows_FD[2] + rows_FD[7]).norm())
    assert found.estimator.decision(found.direction_D[None] * 5) > 0
