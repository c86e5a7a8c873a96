"""NoDiReFT on a tiny model: a planted string is learned, the model itself stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from anatomy.activations.layers import decoder_layers
from anatomy.concepts.scorer import Span
from anatomy.errors import ProbeError
from probes.detector import Detector, Provenance
from probes.detector_files import load_detector, save_detector
from probes.reft import NoDiReFT, end_tokens

TARGET = [70, 81, 92, 103, 70, 81, 92, 103]


@pytest.fixture(params=["llama", "olmo3"])
def model(request, tiny_model_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_model_dir(request.param), dtype=torch.float32)


def sequences(count: int, seed: int):
    """Random prompts of 3 to 8 tokens, each answered with TARGET; ids and masks of the answers."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 9, (count,), generator=generator).tolist()
    prompts = [torch.randint(3, 400, (length,), generator=generator) for length in lengths]
    ids = [torch.cat([prompt, torch.tensor(TARGET)]) for prompt in prompts]
    masks = [torch.arange(len(row)) >= len(row) - len(TARGET) for row in ids]
    return ids, masks


def test_a_planted_answer_becomes_likely_and_the_model_stays_as_it_was(model):
    model.train()
    next(model.parameters()).requires_grad_(False)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    held_out = sequences(16, seed=1)
    reft = NoDiReFT(layer=2, epochs=30, learning_rate=1e-2).fit(model, *sequences(48, seed=0))
    blank = NoDiReFT(layer=2)
    blank.down_, blank.bias_, blank.up_ = reft.down_, reft.bias_, torch.zeros_like(reft.up_)
    with torch.no_grad():
        before, after = float(blank.loss(model, *held_out)), float(reft.loss(model, *held_out))
    assert after < 0.6 * before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training
    assert not any(layer._forward_hooks for layer in decoder_layers(model))


def test_the_unedited_loss_is_hugging_face_s_own(model):
    """W₂ is 0 at the start; one sequence alone, and a ragged batch weighted by response tokens."""
    model.eval()
    reft = NoDiReFT(layer=1, epochs=0).fit(model, *sequences(4, seed=0))
    ids, masks = sequences(5, seed=2)
    with torch.no_grad():
        losses = [
            float(model(input_ids=row[None], labels=torch.where(mask, row, -100)[None]).loss)
            for row, mask in zip(ids, masks, strict=True)
        ]
        assert float(reft.loss(model, ids, masks)) == pytest.approx(sum(losses) / 5, rel=1e-4)


def block_inputs(model, ids_BT: torch.Tensor) -> list[torch.Tensor]:
    """What each block reads: the residual stream after the block before it."""
    found: list[torch.Tensor] = []
    layers = decoder_layers(model)
    handles = [layer.register_forward_pre_hook(lambda _m, inputs: found.append(inputs[0])) for layer in layers]
    with torch.no_grad():
        model(ids_BT)
    for handle in handles:
        handle.remove()
    return found


def test_only_the_named_tokens_of_the_named_block_are_edited(model):
    model.eval()
    reft = NoDiReFT(layer=1, rank=2)
    generator = torch.Generator().manual_seed(0)
    reft.down_, reft.bias_ = torch.randn(2, 32, generator=generator), torch.randn(2, generator=generator)
    reft.up_ = torch.randn(32, 2, generator=generator)
    ids_BT = torch.randint(3, 400, (2, 12), generator=generator)
    edited_BT = torch.zeros(2, 12, dtype=torch.bool)
    edited_BT[0, 5] = True
    plain = block_inputs(model, ids_BT)
    with reft.steered(model, edited_BT):
        steered = block_inputs(model, ids_BT)
    expected = plain[2].clone()
    expected[0, 5] += reft.up_ @ (reft.down_ @ expected[0, 5] + reft.bias_)
    torch.testing.assert_close(steered[2], expected)
    assert torch.equal(steered[1], plain[1])
    assert torch.equal(steered[3][1], plain[3][1])
    assert not torch.allclose(steered[3][0, 6:], plain[3][0, 6:])


def test_the_hook_goes_away_when_the_model_fails(model):
    reft = NoDiReFT(layer=1, epochs=0).fit(model, *sequences(4, seed=0))
    with pytest.raises(RuntimeError, match="out of luck"), reft.steered(model, torch.ones(1, 1, dtype=torch.bool)):
        raise RuntimeError("out of luck")
    assert not any(layer._forward_hooks for layer in decoder_layers(model))


def test_ends_of_a_response_by_hand():
    """Response tokens at 2–8: with ends of 2, tokens 2, 3, 7 and 8; with ends of 5 all seven."""
    response_BT = ((torch.arange(10) >= 2) & (torch.arange(10) <= 8))[None]
    assert end_tokens(response_BT, 2)[0].nonzero()[:, 0].tolist() == [2, 3, 7, 8]
    assert torch.equal(end_tokens(response_BT, 5), response_BT)


@pytest.mark.parametrize("masks", [[], [torch.zeros(5, dtype=torch.bool)], [torch.arange(5) == 0]])
def test_sequences_without_a_response_are_refused(model, masks):
    with pytest.raises(ProbeError, match="each with response tokens"):
        NoDiReFT(layer=1).fit(model, [torch.arange(5) + 3 for _ in masks], masks)


def test_a_saved_edit_comes_back_and_is_refused_by_another_model(model, tmp_path):
    layer, width = 2, model.config.hidden_size
    reft = NoDiReFT(layer=layer, rank=4, epochs=1).fit(model, *sequences(8, seed=0))
    detector = Detector(reft, "planted", layer, "mean", None, Provenance(model="tiny", model_fingerprint="f" * 64))
    save_detector(detector, tmp_path)
    told = {"width": width, "n_layers": model.config.num_hidden_layers}
    loaded = load_detector(tmp_path, model_fingerprint="f" * 64, **told)
    assert loaded.fingerprint == detector.fingerprint
    with torch.no_grad():
        assert loaded.estimator.loss(model, *sequences(4, seed=1)) == reft.loss(model, *sequences(4, seed=1))
    with pytest.raises(ProbeError, match="fit it on this model"):
        load_detector(tmp_path, model_fingerprint="e" * 64, **told)
    with pytest.raises(ProbeError, match="width"):
        load_detector(tmp_path, model_fingerprint="f" * 64, **{**told, "width": width + 1})
    with pytest.raises(ProbeError, match="detects nothing"):
        loaded.score_tokens(Span("abc", np.zeros((3, 2), dtype=int), {layer: torch.zeros(3, width)}))
