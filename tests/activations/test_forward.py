"""Residuals through TransformerBridge against Hugging Face's own hidden states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from anatomy.activations.batches import token_batches
from anatomy.activations.forward import residuals, residuals_at
from anatomy.activations.model import load_subject, load_tokenizer, locate_model
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings

LENGTHS = (5, 30, 31, 9, 28)  # longer than OLMo's sliding window of 8


def subject_of(folder, **settings):
    chosen = ModelSettings(model=str(folder), device="cpu", dtype="float32", **settings)
    return load_subject(chosen, load_tokenizer(chosen))


def sequences(vocabulary: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(3, vocabulary, length).astype(np.int32) for length in LENGTHS]


def own_hidden_states(model, ids_T: np.ndarray) -> list[torch.Tensor]:
    """HF's output of every block for one unpadded sequence; its last hidden state would be normed, so hooks read it."""
    kept = []
    handles = [block.register_forward_hook(lambda _m, _i, out: kept.append(out)) for block in model.model.layers]
    with torch.inference_mode():
        states = model(torch.from_numpy(ids_T)[None].long(), output_hidden_states=True).hidden_states
    for handle in handles:
        handle.remove()
    kept = [out[0] if isinstance(out, tuple) else out for out in kept]
    for after, state in zip(kept[:-1], states[1:-1], strict=True):
        torch.testing.assert_close(after, state)
    return [after[0] for after in kept]


@pytest.mark.parametrize("arch", ["llama", "olmo3"])
def test_residuals_equal_hugging_face_hidden_states(arch, tiny_model_dir):
    folder = tiny_model_dir(arch)
    subject = subject_of(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = sequences(400)
    expected = [own_hidden_states(model, ids_T) for ids_T in tokens]
    assert (subject.n_layers, subject.width) == (4, 32)
    for batch in token_batches(tokens, budget=100):
        for layer in range(subject.n_layers):
            found_BTD = residuals(subject, batch, layer)
            assert found_BTD.shape == (*batch.ids_BT.shape, 32)
            for row, (length, position) in enumerate(zip(batch.lengths_B, batch.positions_B, strict=True)):
                torch.testing.assert_close(found_BTD[row, :length], expected[position][layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("arch", ["llama", "olmo3"])
@pytest.mark.parametrize("layers", [[0], [1], [3], [0, 2], [2, 0, 2], [0, 1, 2, 3]])
def test_several_layers_in_one_pass_equal_hugging_face(arch, layers, tiny_model_dir):
    subject = subject_of(tiny_model_dir(arch))
    model = AutoModelForCausalLM.from_pretrained(
        tiny_model_dir(arch), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens = sequences(400)
    expected = [own_hidden_states(model, ids_T) for ids_T in tokens]
    passes = []
    handle = subject.bridge.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    batches = list(token_batches(tokens, budget=100))
    for batch in batches:
        found = residuals_at(subject, batch, layers)
        assert sorted(found) == sorted(set(layers))
        for layer, x_BTD in found.items():
            assert x_BTD.shape == (*batch.ids_BT.shape, 32)
            for row, (length, position) in enumerate(zip(batch.lengths_B, batch.positions_B, strict=True)):
                torch.testing.assert_close(x_BTD[row, :length], expected[position][layer], rtol=1e-4, atol=1e-4)
    handle.remove()
    assert len(passes) == len(batches)


def hooks_of(subject) -> int:
    return sum(len(part._forward_hooks) for part in subject.bridge.blocks.modules())


def test_no_hook_is_left_behind(tiny_model_dir):
    subject = subject_of(tiny_model_dir("llama"))
    batch = next(token_batches(sequences(400), 100))
    residuals(subject, batch, 0)  # the bridge adds hooks of its own in its first pass
    before = hooks_of(subject)
    residuals_at(subject, batch, [0, 3])
    assert hooks_of(subject) == before

    def refuse(*_):
        raise ValueError("ran")

    handle = subject.bridge.blocks[1].register_forward_hook(refuse)
    with pytest.raises(ValueError, match="ran"):
        residuals_at(subject, batch, [0, 3])
    handle.remove()
    assert hooks_of(subject) == before


def test_layers_differ_so_that_an_off_by_one_would_show(tiny_model_dir):
    subject = subject_of(tiny_model_dir("llama"))
    batch = next(token_batches(sequences(400), 100))
    first, second = residuals(subject, batch, 0), residuals(subject, batch, 1)
    assert (first - second).abs().mean() > 0.1 * first.abs().mean()


def test_later_blocks_and_the_head_do_not_run(tiny_model_dir):
    subject = subject_of(tiny_model_dir("llama"))

    def refuse(*_):
        raise AssertionError("ran")

    subject.bridge.blocks[2].original_component.mlp.register_forward_hook(refuse)
    subject.bridge.original_model.lm_head.register_forward_hook(refuse)
    batch = next(token_batches(sequences(400), 100))
    assert residuals(subject, batch, 1).isfinite().all()
    assert len(residuals_at(subject, batch, [0, 1])) == 2
    with pytest.raises(AssertionError, match="ran"):
        residuals(subject, batch, 2)


def test_the_head_does_not_run_after_the_last_block(tiny_model_dir):
    subject = subject_of(tiny_model_dir("llama"))

    def refuse(*_):
        raise AssertionError("ran")

    for part in (subject.bridge.original_model.lm_head, subject.bridge.original_model.model.norm):
        part.register_forward_hook(refuse)
    batch = next(token_batches(sequences(400), 100))
    assert residuals(subject, batch, 3).isfinite().all()


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_is_not_there_is_refused(layer, tiny_model_dir):
    batch = next(token_batches(sequences(400), 100))
    with pytest.raises(ModelError, match="blocks 0 to 3"):
        residuals(subject_of(tiny_model_dir("llama")), batch, layer)


def test_no_layer_is_refused(tiny_model_dir):
    with pytest.raises(ModelError, match="name one at least"):
        residuals_at(subject_of(tiny_model_dir("llama")), next(token_batches(sequences(400), 100)), [])


def test_bfloat16(tiny_model_dir):
    folder = tiny_model_dir("llama")
    settings = ModelSettings(model=str(folder), device="cpu", dtype="bfloat16")
    half = load_subject(settings, load_tokenizer(settings))
    full = subject_of(folder)
    batch = next(token_batches(sequences(400), 100))
    found, expected = residuals(half, batch, 1), residuals(full, batch, 1)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).norm() < 0.05 * expected.norm()
    assert half.fingerprint != full.fingerprint


@pytest.mark.laptop
def test_laptop_model_equals_hugging_face():
    settings = ModelSettings(device="cpu", dtype="float32")
    subject = load_subject(settings, load_tokenizer(settings))
    source = locate_model(settings)
    model = AutoModelForCausalLM.from_pretrained(source.path, dtype=torch.float32).eval()
    tokens = sequences(49152)
    batch = next(token_batches(tokens, 100))
    found_BTD = residuals(subject, batch, 20)
    for row, (length, position) in enumerate(zip(batch.lengths_B, batch.positions_B, strict=True)):
        with torch.inference_mode():
            ids_1T = torch.from_numpy(tokens[position])[None].long()
            expected_TD = model(ids_1T, output_hidden_states=True).hidden_states[21][0]
        torch.testing.assert_close(found_BTD[row, :length], expected_TD, rtol=1e-3, atol=1e-3)
    assert (subject.n_layers, subject.width) == (30, 576)
