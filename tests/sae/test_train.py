"""From text to a saved SAE on a tiny random Llama, and the corpus on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.damage import DAMAGES

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.errors import ModelError, RowsError, RunError, SettingsError
from anatomy.sae import corpus as corpus_module
from anatomy.sae import train_sae as train
from anatomy.sae.corpus import HELD_OUT, Document, build_corpus, documents, is_held_out, mixed
from anatomy.sae.load_sae import load_sae
from anatomy.sae.reconstruction import SAEHealth
from anatomy.settings import CorpusSource, ModelSettings, SAESettings, SAETrainSettings

Folder = Callable[[str], Path]


def _rows(path: Path, count: int = 120) -> Path:
    words = ["fox", "dog", "lazy", "brown", "quick", "list", "bold", "hello", "today", "fine"]
    rows = []
    for number in range(count):
        prompt = f"Tell me about the {words[number % 10]} number {number // 2}"
        chosen = " ".join(words[(number * 3 + step) % 10] for step in range(12)) + f" {number}"
        rejected = "no " * (number % 7 + 2) + words[number % 9]
        rows.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def _settings(model: Path, corpus: Any, **changes: Any) -> SAETrainSettings:
    values = {
        "model": str(model), "dtype": "float32", "device": "cpu", "layer": 1, "corpus": corpus, "features": 64, "k": 8,
        "batch": 256, "epochs": 6, "learning_rate": 3e-3, "held_out": 0.2, "buffer_tokens": 2048, "dead_tokens": 3000,
        "checkpoint_tokens": 4000, "seed": 1,
    }  # fmt: skip
    return SAETrainSettings.model_validate({**values, **changes})


def _model(folder: Path) -> ModelSettings:
    return ModelSettings.model_validate({"model": str(folder), "dtype": "float32", "device": "cpu"})


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _rows(tmp_path_factory.mktemp("rows") / "pairs.jsonl")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Folder, rows: Path) -> tuple[Path, SAEHealth]:
    out = tmp_path_factory.mktemp("trained") / "sae"
    return out, train.train_sae(_settings(tiny_model_dir("llama"), str(rows)), out)


def test_trained_sae_states_what_it_is(trained: tuple[Path, SAEHealth]) -> None:
    out, health = trained
    card = json.loads((out / "cfg.json").read_text())["metadata"]
    assert card["hook_name"] == "blocks.1.hook_resid_post"
    assert card["l0"] == pytest.approx(health.l0)
    assert card["variance_explained"] == pytest.approx(health.variance_explained)
    assert health.variance_explained > 0.5
    assert health.l0 == pytest.approx(8, rel=0.5)
    assert {path.name for path in out.iterdir()} == {"cfg.json", "sae_weights.safetensors"}
    tensors = load_file(out / "sae_weights.safetensors")
    assert tensors["W_enc"].dtype == torch.float16
    assert tensors["threshold"].dtype == torch.float32


def test_health_of_trained_and_of_misscaled_sae(
    trained: tuple[Path, SAEHealth], tiny_model_dir: Folder, rows: Path, tmp_path: Path
) -> None:
    settings = _model(tiny_model_dir("llama"))
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)

    def health(folder: Path) -> SAEHealth:
        sae = load_sae(SAESettings(sae=str(folder)), subject)
        found = documents(CorpusSource(rows=str(rows)), tokenizer, settings)
        return SAEHealth.from_sums(train.measure_documents(sae, subject, found, settings, 2000), sae.claimed)

    sound = health(trained[0])
    assert sound.faults() == []
    assert sound.claimed_l0 == pytest.approx(trained[1].l0)
    assert 2000 <= sound.tokens < 2100
    tensors = load_file(trained[0] / "sae_weights.safetensors")
    save_file({**tensors, "W_enc": tensors["W_enc"] * 3}, tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_bytes((trained[0] / "cfg.json").read_bytes())
    assert health(tmp_path).faults()


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("cache_tokens", [0, 10**6])
def test_interrupted_training_goes_on_to_the_same_weights(
    trained: tuple[Path, SAEHealth], tiny_model_dir: Folder, rows: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, cache_tokens: int,
) -> None:  # fmt: skip
    settings = _settings(tiny_model_dir("llama"), str(rows), cache_tokens=cache_tokens)
    out = tmp_path / "sae"
    with monkeypatch.context() as patch:
        patch.setattr(train, "save_sae", lambda *arguments: (_ for _ in ()).throw(_Killed))
        with pytest.raises(_Killed):
            train.train_sae(settings, out)
    assert (out / train.WORK / "activations").exists() == (cache_tokens > 0)
    with pytest.raises(RunError, match="other settings"):
        train.train_sae(_settings(tiny_model_dir("llama"), str(rows), k=9), out)
    train.train_sae(settings, out)
    again, whole = (load_file(folder / "sae_weights.safetensors") for folder in (out, trained[0]))
    for name, tensor in whole.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=0, msg=name)
    with pytest.raises(RunError, match="finished SAE"):
        train.train_sae(settings, out)


def test_activations_are_those_of_hugging_face(tiny_model_dir: Folder) -> None:
    settings = _model(tiny_model_dir("llama"))
    subject = load_subject(settings, load_tokenizer(settings))
    rng = np.random.default_rng(0)
    block = [
        Document(rng.integers(3, 400, length).astype(np.int32), rng.random(length) < 0.5, "") for length in (9, 30, 17)
    ]
    got = train.activations(subject, block, 1, batch_tokens=64)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"), dtype=torch.float32)
    wanted = []
    for document in block:
        states = model(torch.from_numpy(document.ids).long()[None], output_hidden_states=True).hidden_states[2][0]
        wanted.append(states[torch.from_numpy(document.counts)].detach())
    key = lambda x_ND: x_ND[x_ND[:, 0].argsort()]  # noqa: E731 (batches reorder tokens; the trainer shuffles them)
    torch.testing.assert_close(key(got), key(torch.cat(wanted)), rtol=1e-4, atol=1e-4)


def test_content_tokens_only_and_prompts_once(tiny_model_dir: Folder, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "the fox", "chosen": "the dog", "rejected": answer} for answer in ("a fox", "fine", "today")]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    settings = ModelSettings(model=str(tiny_model_dir("llama")))
    tokenizer = load_tokenizer(settings)
    found = list(documents(CorpusSource(rows=str(path)), tokenizer, settings))
    texts = [tokenizer.decode(document.ids[document.counts]) for document in found]
    assert texts == ["the foxthe dog", "a fox", "fine", "today"]
    assert len({document.key for document in found}) == 1


def test_conversations_and_text(tiny_model_dir: Folder, tmp_path: Path) -> None:
    settings = ModelSettings(model=str(tiny_model_dir("llama")))
    tokenizer = load_tokenizer(settings)
    chat = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "I am fine"}]
    (tmp_path / "chat.jsonl").write_text(json.dumps({"messages": [*chat, {"role": "user", "content": "unanswered"}]}))
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "the lazy dog<|im_end|>"}))
    sources = {"conversations": "chat.jsonl", "text": "text.jsonl"}
    texts = {}
    for kind, name in sources.items():
        source = CorpusSource(rows=str(tmp_path / name), kind=kind)
        (document,) = documents(source, tokenizer, settings)
        texts[kind] = tokenizer.decode(document.ids[document.counts])
    assert texts == {"conversations": "helloI am fine", "text": "the lazy dog"}
    with pytest.raises(RowsError, match="no column `text`"):
        list(documents(CorpusSource(rows=str(tmp_path / "chat.jsonl"), kind="text"), tokenizer, settings))


def test_sources_are_mixed_by_weight(tiny_model_dir: Folder, rows: Path, tmp_path: Path) -> None:
    other = _rows(tmp_path / "other.jsonl")
    corpus = [{"rows": str(rows), "weight": 3}, {"rows": str(other), "weight": 1}]
    settings = _settings(tiny_model_dir("llama"), corpus)
    counted = [0, 0]
    for number, document in mixed(settings, load_tokenizer(settings)):
        counted[number] += int(document.counts.sum())
        if sum(counted) > 2500:
            break
    assert counted[0] / counted[1] == pytest.approx(3, rel=0.1)


def test_held_out_prompts_are_disjoint(tiny_model_dir: Folder, rows: Path, tmp_path: Path) -> None:
    settings = _settings(tiny_model_dir("llama"), str(rows))
    tokenizer = load_tokenizer(settings)
    corpus = build_corpus(settings, tokenizer, tmp_path, 500)
    numbers = []
    for blocks in (range(corpus.blocks), [HELD_OUT]):
        texts = [tokenizer.decode(document.ids) for block in blocks for document in corpus.block(block)]
        numbers.append({text.split("about the ")[1].split("<")[0] for text in texts})
    assert numbers[0]
    assert numbers[1]
    assert not numbers[0] & numbers[1]
    assert corpus.tokens == sum(int(d.counts.sum()) for i in range(corpus.blocks) for d in corpus.block(i))
    assert build_corpus(settings, tokenizer, tmp_path, 500) == corpus


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_corpus_is_made_again_to_the_same_bytes(
    tiny_model_dir: Folder, rows: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    settings = _settings(tiny_model_dir("llama"), str(rows))
    tokenizer = load_tokenizer(settings)
    build_corpus(settings, tokenizer, tmp_path, 500)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in before:
        damage(tmp_path / name)
        build_corpus(settings, tokenizer, tmp_path, 500)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class _CountedSums(np.ndarray):
    """A mask that keeps count of the tokens that were summed in all masks."""

    summed = 0

    def sum(self, *arguments: Any, **options: Any) -> Any:
        _CountedSums.summed += self.size
        return np.asarray(self).sum(*arguments, **options)


@pytest.mark.parametrize("held_out", [0.1, 0.45])
def test_a_document_is_counted_once_however_large_its_block(
    held_out: float, tiny_model_dir: Folder, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T tokens in one block cost T additions; a recount of the block for each of its N documents costs T (N + 1) / 2"""
    found = [
        (0, Document(np.arange(10, dtype=np.int32), np.ones(10, bool).view(_CountedSums), str(number)))
        for number in range(300)
    ]
    monkeypatch.setattr(corpus_module, "mixed", lambda *_: iter(found))
    monkeypatch.setattr(_CountedSums, "summed", 0)
    settings = _settings(tiny_model_dir("llama"), str(rows), held_out=held_out, held_out_tokens=10**6)
    corpus = build_corpus(settings, load_tokenizer(settings), tmp_path, 10**6)
    assert corpus.blocks == 1
    assert corpus.tokens + corpus.index.held_out_tokens == 3000
    assert _CountedSums.summed == 3000


def test_held_out_share_is_what_was_asked_for() -> None:
    held_out = sum(is_held_out(str(number), 0.1) for number in range(5000))
    assert 400 < held_out < 600


def test_layer_beyond_the_model(tiny_model_dir: Folder, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="layer 9"):
        train.train_sae(_settings(tiny_model_dir("llama"), str(rows), layer=9), tmp_path / "sae")


def test_corpus_too_small_to_hold_out(tiny_model_dir: Folder, tmp_path: Path) -> None:
    one = _rows(tmp_path / "one.jsonl", 1)
    with pytest.raises(RowsError, match="too few documents"):
        train.train_sae(_settings(tiny_model_dir("llama"), str(one)), tmp_path / "sae")


def test_batch_larger_than_the_corpus(tiny_model_dir: Folder, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="batch = 100000"):
        train.train_sae(_settings(tiny_model_dir("llama"), str(rows), batch=100_000), tmp_path / "sae")
