"""Numbers that are NaN or infinite: refused in weights, and never healthy."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import save_sae

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.errors import AnatomyError
from anatomy.prediction.reward_drift import RewardDrift, read_reward_drift
from anatomy.sae.load_sae import load_sae
from anatomy.sae.reconstruction import MAX_DROPPED_SHARE, SAEHealth
from anatomy.settings import ModelSettings, SAESettings
from interventions.backends.pair_edits import SteeringVector, read_vectors, write_vectors

BAD = [math.nan, math.inf, -math.inf]
HEALTHY = SAEHealth(tokens=30_000, l0=5.0, variance_explained=0.8, dead_share=0.1, claimed_l0=5.0)


def spoil(path, name, value):
    """One number of one tensor becomes ``value``."""
    tensors = load_file(path)
    tensors[name].view(-1)[3] = value
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.fixture
def model(tiny_model_dir, tmp_path):
    return shutil.copytree(tiny_model_dir("llama"), tmp_path / "model")


def settings(model):
    return ModelSettings(model=str(model), device="cpu", dtype="float32")


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.norm.weight"])
def test_weights_of_a_model(name, value, model):
    spoil(model / "model.safetensors", name, value)
    with pytest.raises(AnatomyError, match=rf"weight {name} holds numbers that are not finite"):
        load_subject(settings(model), load_tokenizer(settings(model)))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_dec", "threshold"])
def test_weights_of_an_sae(name, value, model, tmp_path):
    sae = save_sae(tmp_path / "sae", model)
    spoil(sae / "sae_weights.safetensors", name, value)
    subject = load_subject(settings(model), load_tokenizer(settings(model)))
    with pytest.raises(AnatomyError, match=rf"`{name}` holds numbers that are not finite"):
        load_sae(SAESettings(sae=str(sae), force=True), subject)


@pytest.mark.parametrize("value", BAD)
def test_steering_vectors(value, tmp_path):
    write_vectors(tmp_path / "v.safetensors", [SteeringVector("bold", 1, torch.tensor([1.0, value]))])
    with pytest.raises(AnatomyError, match="not finite"):
        read_vectors(tmp_path / "v.safetensors")


@pytest.mark.parametrize("name", ["l0", "variance_explained", "dead_share"])
def test_a_measure_that_is_no_number_is_a_fault(name):
    assert HEALTHY.faults() == []
    assert len(replace(HEALTHY, **{name: math.nan}).faults()) >= 1


@pytest.mark.parametrize(("outliers", "faults"), [(8, 0), (300, 0), (3_000, 1), (10**9, 1)])
def test_a_share_of_dropped_tokens_is_a_fault(outliers, faults):
    """300 of 30,300 are 1 %, attention sinks perhaps; 3,000 of 33,000 are 9 %, as one bad embedding row gives."""
    found = replace(HEALTHY, outliers=outliers).faults()
    assert len(found) == faults
    assert all(f"more than {MAX_DROPPED_SHARE:.0%}" in fault for fault in found)
    few = replace(HEALTHY, tokens=20, outliers=8, dead_share=0.0)
    assert few.faults() == []  # of so few tokens a share says nothing


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_training_that_diverged_has_no_drift(value, tmp_path):
    line = f'{{"step": 1, "learning_rate": 0.1, "raw/margins": {value}, "rewards/chosen": 1, "rewards/rejected": 1}}\n'
    (tmp_path / "log.jsonl").write_text(line)
    with pytest.raises(AnatomyError, match="diverged"):
        read_reward_drift(tmp_path / "log.jsonl")
    drift = RewardDrift.model_construct(learning_rate=1.0, steps=3, margin=math.nan, common=0.0)
    assert drift.warning is not None
