"""What is loaded, and what is refused in one line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens import SAE
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig

from anatomy import artifacts
from anatomy.clusters.stored_clusters import read_stored
from anatomy.errors import SAEError
from anatomy.sae.load_sae import LAPTOP_SAE, layer_of, load_sae
from anatomy.settings import SAESettings


@dataclass
class FakeSubject:
    name: str = "maker/Some-Model"
    n_layers: int = 4
    width: int = 8
    device: str = "cpu"


def _save(folder: Path, **changes: Any) -> Path:
    torch.manual_seed(0)
    config = JumpReLUSAEConfig(d_in=8, d_sae=24)
    sae = JumpReLUSAE(config)
    with torch.no_grad():
        sae.threshold.fill_(0.5)
        sae.W_enc.normal_()
    sae.save_model(folder)
    written = json.loads((folder / "cfg.json").read_text())
    metadata = {"model_name": "maker/Some-Model", "hook_name": "blocks.2.hook_resid_post", "l0": 3.5}
    written["metadata"] |= {**metadata, **changes.pop("metadata", {})}
    (folder / "cfg.json").write_text(json.dumps({**written, **changes}))
    return folder


def _settings(sae: object, force: bool = False) -> SAESettings:
    return SAESettings(sae=str(sae), force=force)


def test_loaded_sae_runs_as_jumprelu(tmp_path: Path) -> None:
    sae = load_sae(_settings(_save(tmp_path)), FakeSubject())
    assert (sae.layer, sae.width, sae.n_features) == (2, 8, 24)
    assert sae.claimed == {"l0": 3.5}
    x_BD = torch.randn(50, 8, dtype=torch.float64)
    module = SAE.load_from_disk(tmp_path)
    raw = (x_BD.float() - module.b_dec) @ module.W_enc + module.b_enc
    expected = torch.where(raw > 0.5, raw, 0.0)
    torch.testing.assert_close(sae.encode(x_BD), expected, check_device=False)
    torch.testing.assert_close(sae.decode(sae.encode(x_BD)), expected @ module.W_dec + module.b_dec)


def test_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    first = load_sae(_settings(_save(tmp_path / "a")), FakeSubject()).fingerprint
    assert load_sae(_settings(_save(tmp_path / "b")), FakeSubject()).fingerprint == first
    module = SAE.load_from_disk(tmp_path / "b")
    with torch.no_grad():
        module.W_dec[0, 0] += 1e-3
    module.save_model(tmp_path / "b")
    assert load_sae(_settings(tmp_path / "b"), FakeSubject()).fingerprint != first


def test_stateful_normalisation_is_left_to_sae_lens(tmp_path: Path) -> None:
    """``layer_norm`` scales each token on the way in and back on the way out: the input's scale does not matter."""
    sae = load_sae(_settings(_save(tmp_path, normalize_activations="layer_norm")), FakeSubject())
    x_BD = torch.randn(20, 8)
    torch.testing.assert_close(sae.encode(x_BD), sae.encode(10 * x_BD), rtol=1e-3, atol=1e-3)


MISFITS = {
    "width": ({}, {"width": 16}, "width 8, but maker/Some-Model has 16"),
    "layer": ({}, {"n_layers": 2}, "reads block 2"),
    "model": ({}, {"name": "maker/Other"}, "trained on maker/Some-Model, not on maker/Other"),
    "hook": ({"metadata": {"hook_name": "blocks.2.mlp.hook_out"}}, {}, "not the residual stream"),
    "no hook": ({"metadata": {"hook_name": None}}, {}, "not the residual stream"),
    "normalisation": ({"normalize_activations": "expected_average_only_in"}, {}, "fold that scale"),
    "architecture": ({"architecture": "unheard-of"}, {}, "not a readable sae-lens folder"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_misfit_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    changes, subject, words = MISFITS[case]
    with pytest.raises(SAEError) as caught:
        load_sae(_settings(_save(tmp_path, **changes)), FakeSubject(**subject))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_force_accepts_a_fine_tuned_model_but_no_other_width(tmp_path: Path) -> None:
    settings = _settings(_save(tmp_path), force=True)
    assert load_sae(settings, FakeSubject(name="runs/my-sft")).layer == 2
    with pytest.raises(SAEError, match="width"):
        load_sae(settings, FakeSubject(width=9))


@pytest.mark.parametrize(("name", "words"), [
    ("no-such-release/layer_1", "neither a folder nor a sae-lens release"),
    ("gemma-scope-2-270m-it-res/no-such-id", "has no id 'no-such-id'"),
    ("{folder}", "no cfg.json"),
])  # fmt: skip
def test_unknown_name_is_one_line(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SAEError) as caught:
        load_sae(_settings(name.format(folder=tmp_path)), FakeSubject())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SAEError, match="check the network") as caught:
        load_sae(_settings("goodfire-llama-3.1-8b-instruct/layer_19"), FakeSubject())
    assert "\n" not in str(caught.value)


def test_half_written_weights_are_refused(tmp_path: Path) -> None:
    weights = _save(tmp_path) / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(SAEError, match="not a readable sae-lens folder"):
        load_sae(_settings(tmp_path), FakeSubject())


@pytest.mark.parametrize(("hook", "layer"), [
    ("blocks.20.hook_resid_post", 20),
    ("blocks.20.hook_resid_pre", 19),
    ("model.layers.20", 20),
])  # fmt: skip
def test_layer_of_hook(hook: str, layer: int) -> None:
    assert layer_of(hook) == layer


@pytest.mark.parametrize("hook", ["blocks.0.hook_resid_pre", "hook_embed", "blocks.3.hook_resid_mid", "", None])
def test_layer_is_not_guessed(hook: str | None) -> None:
    with pytest.raises(SAEError):
        layer_of(hook)


def test_laptop_sae_is_shipped_within_its_bounds() -> None:
    subject = FakeSubject(name="HuggingFaceTB/SmolLM2-135M-Instruct", n_layers=30, width=576)
    sae = load_sae(SAESettings(sae=None, force=False), subject)
    assert sae.layer == 20
    assert sae.n_features >= 4096
    assert sum(path.stat().st_size for path in LAPTOP_SAE.iterdir()) <= 16 * 2**20
    assert sae.claimed["variance_explained"] >= 0.75
    assert sae.claimed["l0"] <= 48


def test_response_clusters_are_shipped_with_the_laptop_sae() -> None:
    subject = FakeSubject(name="HuggingFaceTB/SmolLM2-135M-Instruct", n_layers=30, width=576)
    sae = load_sae(SAESettings(sae=None, force=False), subject)
    found = read_stored(LAPTOP_SAE / artifacts.RESPONSE_CLUSTERS, sae.fingerprint)
    assert found.n_features == sae.n_features
    assert found.origin.prompts >= 800
    assert len(found.clusters) >= 100
    assert found.stability_M.min() >= 0.5
