"""Generation against one-token-at-a-time forward passes, exact distributions, and a real kill."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from support import killed_generate
from support.damage import DAMAGES
from support.killed_generate import CONVERSATIONS, SETTINGS
from support.tiny import SPECIAL

from anatomy.activations import generate as module
from anatomy.activations.generate import generate
from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.layers import hf_model
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.sampling import sampling, stop_ids
from anatomy.errors import ModelError, RunError
from anatomy.settings import ModelSettings
from anatomy.types import content_hash

ROOT = Path(killed_generate.__file__).parents[2]
GREEDY = GenerateSettings(max_new_tokens=12, batch_tokens=256)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


LENGTHS = [user("dog " * number + "?") for number in (1, 30, 3, 17, 2, 9)]


def loaded(folder):
    settings = ModelSettings(model=str(folder), **killed_generate.MODEL)
    tokenizer = load_tokenizer(settings)
    return load_subject(settings, tokenizer), tokenizer


@pytest.fixture(scope="module")
def llama(tiny_model_dir):
    return loaded(tiny_model_dir("llama"))


@pytest.fixture(params=["llama", "olmo3"])
def pair(request, tiny_model_dir):
    return loaded(tiny_model_dir(request.param))


def texts(subject, tokenizer, conversations, settings) -> list[str]:
    """Texts of a call of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "completions.jsonl"
        return [completion.text for completion in generate(path, subject, tokenizer, conversations, settings)]


def greedy_by_hand(subject, tokenizer, conversation, steps: int) -> str:
    """Full forward passes, one token at a time, no cache, no padding."""
    prompt = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    new: list[int] = []
    for _ in range(steps):
        with torch.inference_mode():
            logits = hf_model(subject)(torch.tensor([[*ids, *new]]), use_cache=False).logits
        new.append(int(logits[0, -1].argmax()))
        if tokenizer.convert_ids_to_tokens(new[-1]) == "<|im_end|>":
            break
    return tokenizer.decode(new, skip_special_tokens=True)


def test_greedy_batches_equal_one_by_one_and_plain_forward_passes(pair):
    subject, tokenizer = pair
    together = texts(subject, tokenizer, LENGTHS, GREEDY)
    assert together == [greedy_by_hand(subject, tokenizer, talk, 12) for talk in LENGTHS]
    assert together == [texts(subject, tokenizer, [talk], GREEDY)[0] for talk in LENGTHS]
    assert together[::-1] == texts(subject, tokenizer, LENGTHS[::-1], GREEDY)
    assert len(set(together)) > 1


def test_a_sample_does_not_depend_on_its_neighbours(llama):
    settings = SETTINGS.model_copy(update={"batch_tokens": 100_000})
    together = texts(*llama, LENGTHS, settings)
    assert together == [texts(*llama, [talk], settings)[0] for talk in LENGTHS]
    assert together == texts(*llama, LENGTHS, settings.model_copy(update={"batch_tokens": 64}))
    assert together != texts(*llama, LENGTHS, settings.model_copy(update={"seed": 1}))


def test_repeats_of_a_conversation_are_samples_of_their_own(llama):
    three = texts(*llama, [LENGTHS[0]] * 3, SETTINGS)
    assert len(set(three)) == 3
    assert len(set(texts(*llama, [LENGTHS[0]] * 3, GREEDY))) == 1


@pytest.mark.parametrize("settings", [GREEDY, SETTINGS], ids=["greedy", "sampled"])
def test_samples_of_one_prompt_read_it_once(pair, settings, monkeypatch):
    """Their completions are those of unshared reading, and the model sees each prompt's tokens once."""
    subject, tokenizer = pair
    settings = settings.model_copy(update={"batch_tokens": 100_000})
    monkeypatch.setattr(module, "_read_once", lambda *_: None)
    apart = texts(subject, tokenizer, LENGTHS * 3, settings)
    monkeypatch.undo()
    seen = []
    hook = hf_model(subject).register_forward_pre_hook(lambda _, args, kwargs: seen.append(
        (args[0] if args else kwargs["input_ids"]).shape), with_kwargs=True)  # fmt: skip
    together = texts(subject, tokenizer, LENGTHS * 3, settings)
    hook.remove()
    longest = max(len(tokenizer.apply_chat_template(talk, add_generation_prompt=True)["input_ids"]) for talk in LENGTHS)
    assert together == apart
    assert seen[0] == (len(LENGTHS), longest - 1)
    assert set(seen[1:]) == {(3 * len(LENGTHS), 1)}


@pytest.mark.parametrize(("kind", "shared"), [("GPTNeoX", True), ("Bloom", True), ("Lfm2", False), ("Mamba", False)])
def test_only_keys_and_values_are_shared_among_samples(kind, shared):
    """Convolutions and state spaces have no rows to select: there every sample reads its prompt."""
    import transformers

    shape = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
    more = {"layer_types": ["conv", "full_attention"]} if kind == "Lfm2" else {}
    config = getattr(transformers, f"{kind}Config")(**shape, **more)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    ids_BT = torch.tensor([[3, 4, 5]] * 2)
    cache = module._read_once(model, ids_BT, torch.ones_like(ids_BT))
    assert (cache is not None) == shared
    assert cache is None or cache.get_seq_length() == 2


def draws(logits_V: torch.Tensor, uniform_B: np.ndarray, settings: GenerateSettings) -> np.ndarray:
    """Tokens drawn from one distribution at many uniform numbers."""
    ids, scores = torch.zeros(len(uniform_B), 5, dtype=torch.long), logits_V.repeat(len(uniform_B), 1)
    return sampling(uniform_B[:, None], settings.temperature, settings.top_p, 5)(ids, scores).argmax(-1).numpy()


def test_draws_follow_the_distribution():
    """On a grid of n uniform numbers each token is drawn n·p times, to 1; on the keys' numbers chi-square agrees."""
    logits = torch.randn(40, generator=torch.Generator().manual_seed(0)) * 2
    p = (logits / 0.7).double().softmax(-1).numpy()
    settings = GenerateSettings(temperature=0.7, max_new_tokens=1)
    n = 20_000
    counts = np.bincount(draws(logits, (np.arange(n) + 0.5) / n, settings), minlength=40)
    np.testing.assert_allclose(counts, n * p, atol=1.01)
    items = [module._Completing(content_hash(number), np.zeros(1, np.int32)) for number in range(n)]
    uniform = module._uniform(items, settings)[:, 0]
    counts = np.bincount(draws(logits, uniform, settings), minlength=40)
    often = n * p > 5
    expected = np.append(n * p[often], n * p[~often].sum())
    assert stats.chisquare(np.append(counts[often], counts[~often].sum()), expected).pvalue > 1e-3
    wrong = np.bincount(draws(logits, uniform, GenerateSettings(temperature=0.9)), minlength=40)
    assert stats.chisquare(np.append(wrong[often], wrong[~often].sum()), expected).pvalue < 1e-6


def test_top_p_keeps_the_fewest_tokens_that_hold_the_probability():
    """p = .5, .3, .15, .05: a nucleus of 0.7 is the first two, in proportion 5 : 3."""
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    found = draws(logits, (np.arange(800) + 0.5) / 800, GenerateSettings(temperature=1.0, top_p=0.7))
    np.testing.assert_allclose(np.bincount(found, minlength=4), [0, 500, 0, 300], atol=1)


def test_the_ends_of_the_unit_interval_draw_possible_tokens():
    logits = torch.tensor([-torch.inf, 0.0, 0.0, -torch.inf])
    assert draws(logits, np.array([0.0, np.nextafter(1, 0)]), GenerateSettings(temperature=1.0)).tolist() == [1, 2]


def test_the_models_own_generation_settings_are_left_out_and_put_back(llama):
    subject, tokenizer = llama
    model = hf_model(subject)
    plain = texts(subject, tokenizer, LENGTHS, GREEDY)
    own = model.generation_config
    try:
        model.generation_config = type(own)(repetition_penalty=9.0, do_sample=True, temperature=5.0, eos_token_id=2)
        during = model.generation_config
        assert texts(subject, tokenizer, LENGTHS, GREEDY) == plain
        assert model.generation_config is during
    finally:
        model.generation_config = own


def test_completions_stop_at_the_end_of_turn_and_the_end_of_text(llama, monkeypatch):
    subject, tokenizer = llama
    model = hf_model(subject)
    assert stop_ids(model, tokenizer) == [2]
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.eos_token = SPECIAL[0]
    assert stop_ids(model, tokenizer) == [0, 2]  # <|im_end|> from the template and from the model
    monkeypatch.setattr(model.generation_config, "eos_token_id", [7, 9])
    assert stop_ids(model, tokenizer) == [0, 2, 7, 9]

    def end_after_three(_module, _inputs, output):
        if end_after_three.steps == 3:
            output[..., 2] = 1e9
        end_after_three.steps += 1

    end_after_three.steps = 0
    handle = model.lm_head.register_forward_hook(end_after_three)
    text = texts(subject, tokenizer, LENGTHS[:1], GREEDY)[0]
    handle.remove()
    assert end_after_three.steps == 4
    full = texts(subject, tokenizer, LENGTHS[:1], GREEDY)[0]
    assert full.startswith(text)
    assert len(full) > len(text)


@pytest.mark.parametrize("point", ["model", "write"])
def test_a_killed_run_resumes_to_the_same_file(point, llama, tiny_model_dir, tmp_path, monkeypatch):
    killed, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    command = [sys.executable, killed_generate.__file__, str(tiny_model_dir("llama")), str(killed), point]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, check=False, timeout=140, env=environment).returncode == -9
    before = killed.read_bytes()
    assert before
    found = generate(whole, *llama, CONVERSATIONS, SETTINGS)
    complete, asked, done = module._complete, [], []
    monkeypatch.setattr(module, "_complete", lambda *given: asked.extend(given[2]) or complete(*given))
    assert generate(killed, *llama, CONVERSATIONS, SETTINGS, done.append) == found
    assert killed.read_bytes() == whole.read_bytes()
    assert before[: before.rfind(b"\n") + 1] in whole.read_bytes()
    assert 0 < len(asked) < len(CONVERSATIONS) == sum(done)
    assert texts(*llama, CONVERSATIONS, SETTINGS) == [completion.text for completion in found]
    asked.clear()
    assert generate(killed, *llama, CONVERSATIONS, SETTINGS) == found
    assert not asked


def test_a_file_of_other_inputs_is_refused_and_left_alone(llama, tmp_path):
    path = tmp_path / "out.jsonl"
    generate(path, *llama, LENGTHS, GREEDY)
    before = path.read_bytes()
    assert len({json.loads(line)["key"] for line in before.splitlines()}) == len(LENGTHS)
    other = GREEDY.model_copy(update={"max_new_tokens": 5})
    for conversations, settings in ((LENGTHS[1:], GREEDY), (LENGTHS, other)):
        with pytest.raises(RunError, match=r"out\.jsonl: holds other completions"):
            generate(path, *llama, conversations, settings)
    path.write_bytes(b"not ours\n")
    with pytest.raises(RunError, match="holds other completions"):
        generate(path, *llama, LENGTHS, GREEDY)
    assert path.read_bytes() == b"not ours\n"


def test_mistakes_are_said_in_one_line(llama):
    subject, tokenizer = llama
    for conversation, what in (
        (user("dog " * 600), r"conversation 1: .* exceed the window"),
        ([{"role": "user"}], "row 1: the chat template refuses"),
    ):
        with pytest.raises(ModelError, match=what) as caught:
            texts(subject, tokenizer, [LENGTHS[0], conversation], GREEDY)
        assert "\n" not in str(caught.value)
    assert texts(subject, tokenizer, [], GREEDY) == []


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_completions_are_made_again_and_no_others(llama, tmp_path, monkeypatch, damage):
    path = tmp_path / "out.jsonl"
    settings = GREEDY.model_copy(update={"batch_tokens": 64})
    generate(path, *llama, LENGTHS, settings)
    before, asked = path.read_bytes(), []
    monkeypatch.setattr(module, "_complete", lambda *given, run=module._complete: asked.append(given[2]) or run(*given))
    damage(path)
    generate(path, *llama, LENGTHS, settings)
    assert path.read_bytes() == before
    batches = len(asked)
    asked.clear()
    path.unlink()
    generate(path, *llama, LENGTHS, settings)
    assert path.read_bytes() == before
    assert 0 < batches < len(asked) or damage is Path.unlink
