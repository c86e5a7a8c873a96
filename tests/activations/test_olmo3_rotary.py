"""A transformers with one rotary embedding for all layers of OLMo 3 is refused, and only where one is loaded."""

from __future__ import annotations

import pytest
import transformers
from transformers.models.olmo3.modeling_olmo3 import Olmo3RotaryEmbedding

from anatomy.activations import olmo3_rotary
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings


@pytest.fixture(autouse=True)
def _ask_again():
    olmo3_rotary.require_olmo3_rotary.cache_clear()
    yield
    olmo3_rotary.require_olmo3_rotary.cache_clear()


def load(folder):
    settings = ModelSettings(model=str(folder), device="cpu", dtype="float32")
    return load_subject(settings, load_tokenizer(settings))


def test_this_version_is_right(tiny_model_dir):
    olmo3_rotary.require_olmo3_rotary()
    assert load(tiny_model_dir("olmo3")).n_layers == 4


@pytest.mark.parametrize("layer_type", ["full_attention", "sliding_attention"])
def test_one_embedding_for_all_layers_is_refused(layer_type, tiny_model_dir, monkeypatch):
    ordinary = Olmo3RotaryEmbedding.forward
    monkeypatch.setattr(Olmo3RotaryEmbedding, "forward", lambda self, x, ids, _: ordinary(self, x, ids, layer_type))
    with pytest.raises(ModelError, match=rf"transformers {transformers.__version__} computes OLMo 3 otherwise"):
        load(tiny_model_dir("olmo3"))
    assert load(tiny_model_dir("llama")).n_layers == 4  # others are not asked


def test_numbers_that_are_none_are_refused(monkeypatch):
    monkeypatch.setattr(olmo3_rotary, "tiny_residuals", lambda: [[float("nan")] * 4] * 2)
    with pytest.raises(ModelError):
        olmo3_rotary.require_olmo3_rotary()
