"""Steering against plain arithmetic on hidden states, in forward passes and in generation with the cache."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from anatomy.activations.batches import token_batches
from anatomy.activations.forward import residuals_at
from anatomy.activations.layers import decoder_layers, hf_model
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.steering import steered
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings

SMALL = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "pad_token_id": 0,
}


def subject_of(folder):
    settings = ModelSettings(model=str(folder), device="cpu", dtype="float32")
    return load_subject(settings, load_tokenizer(settings))


def small_model(kind: str, **more):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **(SMALL | more))).eval()


def random_vector(width: int = 32) -> torch.Tensor:
    return torch.randn(width, generator=torch.Generator().manual_seed(3))


def random_ids(rows: int = 2, tokens: int = 12, vocabulary: int = 400) -> torch.Tensor:
    return torch.randint(3, vocabulary, (rows, tokens), generator=torch.Generator().manual_seed(4))


@torch.inference_mode()
def states(model, ids_BT, **arguments) -> tuple[torch.Tensor, ...]:
    return hf_model(model)(ids_BT, output_hidden_states=True, **arguments).hidden_states


@pytest.fixture(params=["llama", "olmo3"])
def subject(request, tiny_model_dir):
    return subject_of(tiny_model_dir(request.param))


@pytest.mark.parametrize("layer", [0, 2])
def test_the_stream_after_the_block_moves_by_exactly_the_vector(subject, layer):
    vector, ids = random_vector(), random_ids()
    before = states(subject, ids)
    with steered(subject, layer, vector, -1.5):
        during = states(subject, ids)
    assert len(before) == len(during) == 5
    for depth in range(layer + 1):
        assert torch.equal(during[depth], before[depth])
    assert torch.equal(during[layer + 1], before[layer + 1] + -1.5 * vector)
    assert (during[-1] - before[-1]).abs().max() > 0.1
    assert all(torch.equal(a, b) for a, b in zip(states(subject, ids), before, strict=True))


def test_a_plain_hugging_face_model_is_steered_as_the_subject_is(subject, tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(subject.name, dtype=torch.float32).eval()
    with steered(model, 1, random_vector(), 2.0), steered(subject, 1, random_vector(), 2.0):
        torch.testing.assert_close(states(model, random_ids())[-1], states(subject, random_ids())[-1])


def test_contexts_nest_and_residuals_see_them(subject):
    batch = next(token_batches([ids.numpy().astype(np.int32) for ids in random_ids()], 100))
    vector = random_vector()
    plain = residuals_at(subject, batch, [0, 1])
    with steered(subject, 1, vector, 1.0), steered(subject, 1, vector, 2.0):
        found = residuals_at(subject, batch, [0, 1])
    assert torch.equal(found[0], plain[0])
    torch.testing.assert_close(found[1], plain[1] + 3 * vector)


def test_only_from_the_start_on_for_all_rows_or_each(subject):
    vector, ids = random_vector(), random_ids()
    before = states(subject, ids)[2]
    with steered(subject, 1, vector, 1.0, start=5):
        during = states(subject, ids)[2]
    assert torch.equal(during[:, :5], before[:, :5])
    assert torch.equal(during[:, 5:], before[:, 5:] + vector)
    with steered(subject, 1, vector, 1.0, start=torch.tensor([3, 12])):
        during = states(subject, ids)[2]
    assert torch.equal(during[0, 3:], before[0, 3:] + vector)
    assert torch.equal(during[0, :3], before[0, :3])
    assert torch.equal(during[1], before[1])


def greedy_without_cache(subject, ids_T: torch.Tensor, steps: int) -> list[int]:
    """Greedy continuation by full forward passes, one token at a time: no cache, no padding."""
    row = ids_T.tolist()
    for _ in range(steps):
        with torch.inference_mode():
            row.append(int(hf_model(subject)(torch.tensor([row]), use_cache=False).logits[0, -1].argmax()))
    return row[len(ids_T) :]


@pytest.mark.parametrize("start", [0, 6, 14])
def test_generation_with_the_cache_counts_tokens_on(subject, start):
    """Left-padded rows; ``start`` 14 is reached only while generating."""
    ids, mask = random_ids(), torch.ones(2, 12, dtype=torch.long)
    mask[0, :4] = 0
    model = hf_model(subject)
    arguments = {"attention_mask": mask, "max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    with torch.inference_mode(), steered(subject, 1, random_vector(), 4.0, start=start):
        found = model.generate(ids, **arguments)[:, 12:].tolist()
        expected = [greedy_without_cache(subject, row[keep.bool()], 8) for row, keep in zip(ids, mask, strict=True)]
    assert found == expected
    with torch.inference_mode():
        assert model.generate(ids, **arguments)[:, 12:].tolist() != found  # and the vector matters


def test_the_hook_is_gone_after_an_exception(subject):
    layer = decoder_layers(hf_model(subject))[1]
    states(subject, random_ids())
    before = len(layer._forward_hooks)
    during = []

    def fail() -> None:
        with steered(subject, 1, random_vector(), 1.0):
            during.append(len(layer._forward_hooks))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert during == [before + 1]
    assert len(layer._forward_hooks) == before


def test_the_gradient_reaches_the_weights_below_and_the_vector_adds_none(tiny_model_dir):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"), dtype=torch.float32)
    with steered(model, 1, random_vector(), 1.0):
        model(random_ids()).logits.logsumexp(-1).sum().backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("gemma2", {"head_dim": 8, "num_key_value_heads": 1}),
        ("gpt_neox", {}),
        ("qwen3", {"head_dim": 8, "num_key_value_heads": 1}),
        ("gpt2", {"n_embd": 16, "n_layer": 3, "n_head": 2}),
        ("mixtral", {"num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 1}),
    ],
)
def test_other_architectures(kind, more):
    model = small_model(kind, **more)
    vector, ids = random_vector(16), random_ids(vocabulary=64)
    before = states(model, ids)
    with steered(model, 1, vector, 1.0, start=4):
        during = states(model, ids)
    assert torch.equal(during[1], before[1])
    assert torch.equal(during[2][:, 4:], before[2][:, 4:] + vector)
    assert torch.equal(during[2][:, :4], before[2][:, :4])


class Stranger(nn.Module):
    """A model whose blocks stand in no module list."""

    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_hidden_layers=2, hidden_size=16))

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)


def test_mistakes_are_said_in_one_line(subject):
    for model, layer, vector, what in [
        (Stranger(), 0, random_vector(16), "Stranger: 0 module lists"),
        (subject, 4, random_vector(), "blocks 0 to 3"),
        (subject, -1, random_vector(), "blocks 0 to 3"),
        (subject, 1, random_vector(16), "residual stream has width 32"),
    ]:
        with pytest.raises(ModelError, match=what) as caught, steered(model, layer, vector, 1.0):
            pass
        assert "\n" not in str(caught.value)
