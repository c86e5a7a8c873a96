"""Detectors: scores of spans, SAE detectors, and folders that are read back bit for bit or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.planted_direction import examples
from support.tiny import TinySAE

from anatomy.concepts.scorer import Scorer, Span, score_span
from anatomy.errors import ProbeError
from probes.attention_probe import AttentionProbe
from probes.detector import Detector, Provenance, package_versions
from probes.detector_files import CARD, TENSORS, load_detector, read_card, save_detector
from probes.difference_of_means import DifferenceOfMeans
from probes.linear_probe import LinearProbe
from probes.sae_detector import SAEDetector

MODEL = {"model_fingerprint": "f" * 64, "width": 24, "n_layers": 4}
PROVENANCE = Provenance(
    model="tiny",
    model_fingerprint="f" * 64,
    template_hash="t",
    data_hash="d",
    settings={"fit": 0.6, "layers": [1, 2]},
    versions=package_versions(),
    scores={"auroc": [0.9, 0.8, 0.95]},
)


class KnownSAE(TinySAE):
    """A tiny SAE that can be recognised among others."""

    fingerprint = "5ae"


def sae_estimator() -> SAEDetector:
    return SAEDetector(KnownSAE(width=24), [3, 17, 40])


ESTIMATORS = {
    "means": lambda: DifferenceOfMeans().fit(examples()),
    "linear": lambda: LinearProbe(pooling="mean", epochs=1, seed=5).fit(examples()),
    "attention": lambda: AttentionProbe(heads=2, supervision="sequence", epochs=1).fit(examples()),
    "sae": sae_estimator,
}


def detector(estimator=None, layer: int = 2, threshold: float | None = 0.1 + 0.2) -> Detector:
    return Detector(estimator or ESTIMATORS["linear"](), "praise", layer, "max", threshold, PROVENANCE)


def span(tokens: int = 9, layer: int = 2, width: int = 24) -> Span:
    x_TD = torch.randn(tokens, width, generator=torch.Generator().manual_seed(0))
    return Span("text", np.zeros((tokens, 2), np.int64), {0: torch.zeros(tokens, width), layer: x_TD})


def test_a_detector_is_a_scorer_of_its_layer():
    found = detector()
    assert isinstance(found, Scorer)
    scores_T = found.score_tokens(span())
    np.testing.assert_array_equal(scores_T, found.estimator.decision(span().hidden[2]).double().numpy())
    assert scores_T.dtype == np.float64
    assert score_span(found, span()) == scores_T.max()
    assert found.score_tokens(span(tokens=0)).shape == (0,)
    assert np.isnan(score_span(found, span(tokens=0)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_residuals_of_any_type_are_scored(name, dtype):
    whole = span()
    cast = Span("text", whole.offsets_T2, {2: whole.hidden[2].to(dtype)})
    found = detector(ESTIMATORS[name]())
    np.testing.assert_allclose(found.score_tokens(cast), found.score_tokens(whole), atol=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (span(layer=1), r"needs layer 2 of 9 tokens, got residuals of \[0, 1\]"),
        (Span("", np.zeros((4, 2), np.int64), span().hidden), "of 4 tokens, got 9 residuals"),
        (span(width=20), "fitted at width 24, got residuals of 20"),
    ],
)
def test_a_span_that_does_not_fit_is_refused(given, message):
    with pytest.raises(ProbeError, match=message):
        detector().score_tokens(given)


def test_the_fingerprint_is_of_all_that_decides_scores():
    first = detector()
    assert first.fingerprint == detector().fingerprint
    others = [
        detector(layer=1),
        detector(ESTIMATORS["means"]()),
        detector(LinearProbe(pooling="mean", epochs=1, seed=6).fit(examples())),
        replace(first, pooling="mean"),
        replace(first, provenance=PROVENANCE.model_copy(update={"model_fingerprint": "0"})),
    ]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 6
    assert replace(first, threshold=None).fingerprint == first.fingerprint


def test_an_sae_detector_scores_the_mean_of_its_features():
    sae = KnownSAE(width=24)
    x_TD = span().hidden[2]
    expected = sae.encode(x_TD)[:, [3, 17, 40]].mean(1)
    assert expected.max() > 0
    torch.testing.assert_close(sae_estimator().decision(x_TD), expected)


@pytest.mark.parametrize("features", [[], [96], [0, -1]])
def test_features_that_the_sae_lacks_are_refused(features):
    with pytest.raises(ProbeError, match="give at least one of 0 to 95"):
        SAEDetector(KnownSAE(width=24), features)


@pytest.mark.parametrize("threshold", [None, 0.1 + 0.2])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_saved_detector_comes_back_bit_for_bit(name, threshold, tmp_path):
    saved = detector(ESTIMATORS[name](), threshold=threshold)
    save_detector(saved, tmp_path / "praise")
    loaded = load_detector(tmp_path / "praise", **MODEL, sae=KnownSAE(width=24))
    np.testing.assert_array_equal(loaded.score_tokens(span()), saved.score_tokens(span()))
    assert loaded.fingerprint == saved.fingerprint
    for name in ("concept", "layer", "pooling", "threshold", "provenance"):
        assert getattr(loaded, name) == getattr(saved, name)
    files = {path.name for path in (tmp_path / "praise").iterdir()}
    assert files == ({CARD} if isinstance(saved.estimator, SAEDetector) else {CARD, TENSORS})


def test_the_card_can_be_read_alone(tmp_path):
    save_detector(detector(), tmp_path)
    card = read_card(tmp_path)
    assert (card.kind, card.concept, card.layer, card.provenance) == ("linear", "praise", 2, PROVENANCE)
    assert card.settings["seed"] == 5


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_detector(detector(), tmp_path / "praise")
    return tmp_path / "praise"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_fingerprint": "e" * 64}, "fitted on tiny .*fingerprint eeee"),
        ({"width": 32}, "fitted at width 24, the model has width 32"),
        ({"n_layers": 2}, "reads block 2, the model has blocks 0 to 1"),
    ],
)
def test_another_model_is_refused(saved, change, message):
    with pytest.raises(ProbeError, match=message) as caught:
        load_detector(saved, **{**MODEL, **change})
    assert "\n" not in str(caught.value)


def edit(**changes):
    def change(folder: Path) -> None:
        card = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**card, **changes}))

    return change


def cut_tensors(folder: Path) -> None:
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-4])


def other_tensors(folder: Path) -> None:
    """A crash between the two writes of a second fit."""
    save_detector(detector(LinearProbe(epochs=1, seed=9).fit(examples())), folder / "other")
    (folder / "other" / TENSORS).replace(folder / TENSORS)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (edit(kind="oracle"), "unknown kind 'oracle'"),
        (edit(layer="two"), "broken .*layer"),
        (edit(threshold="high"), "broken .*threshold"),
        (edit(format=2), "broken .*format"),
        (edit(extra=1), "broken .*extra"),
        (edit(settings={"depth": 3}), "settings do not fit kind 'linear'"),
        (edit(kind="attention", settings={}), "expected finite tensors query_, value_, w_, b_"),
        (lambda folder: (folder / CARD).write_text('{"kind": "lin'), "broken"),
        (lambda folder: (folder / CARD).unlink(), "No such file.*anatomy probe fit"),
        (lambda folder: (folder / TENSORS).unlink(), "missing, broken, or of another fit"),
        (cut_tensors, "missing, broken, or of another fit"),
        (other_tensors, "missing, broken, or of another fit"),
    ],
)
def test_broken_folders_are_refused_in_one_line(saved, harm, message):
    harm(saved)
    with pytest.raises(ProbeError, match=message) as caught:
        load_detector(saved, **MODEL)
    assert "\n" not in str(caught.value)


def test_an_sae_detector_needs_its_own_sae(tmp_path):
    save_detector(detector(sae_estimator()), tmp_path)
    other = KnownSAE(width=24)
    other.fingerprint = "other"
    for sae, name in ((None, "none"), (other, "other")):
        with pytest.raises(ProbeError, match=f"fingerprint 5ae, got {name}"):
            load_detector(tmp_path, **MODEL, sae=sae)


def test_what_could_not_be_loaded_again_is_not_saved(tmp_path):
    with pytest.raises(ProbeError, match="LinearProbe was not fitted"):
        save_detector(detector(LinearProbe()), tmp_path)
    with pytest.raises(ProbeError, match="no fingerprint"):
        save_detector(detector(SAEDetector(TinySAE(width=24), [1])), tmp_path)
    with pytest.raises(ProbeError, match="threshold nan"):
        detector(threshold=float("nan"))
    assert list(tmp_path.iterdir()) == []
