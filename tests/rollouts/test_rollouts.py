"""Rollouts: which prompts, resuming, adapters, and what is refused."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support.damage import DAMAGES

from anatomy import artifacts
from anatomy.activations.generate import Completion
from anatomy.activations.layers import hf_model
from anatomy.activations.model import load_tokenizer
from anatomy.cli.app import main
from anatomy.errors import ModelError, RowsError, RunError, SettingsError
from anatomy.rollouts.rollout_set import (
    Prompt,
    SampledModel,
    drawn_tokens,
    read_prompts,
    read_rollouts,
    rollout_pairs,
    save_rollouts,
)
from anatomy.rollouts.rollout_settings import SampleSettings
from anatomy.rollouts.trained_model import load_policy
from anatomy.runs.out_folder import claimed
from anatomy.settings import ModelSettings
from anatomy.types import Pair

FLAGS = ["--device", "cpu", "--dtype", "float32", "--max-new-tokens", "8", "--samples", "2"]


@pytest.fixture
def prompts(tmp_path):
    rows = [{"prompt": f"Why is the dog {'so ' * (n % 4)}good?"} for n in range(8)]  # four distinct ones
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "prompts.jsonl"


def rollout(model, prompts, out, *more):
    return main(["rollout", "--model", str(model), "--prompts", str(prompts), "--out", str(out), *FLAGS, *more])


def test_every_distinct_prompt_has_its_samples(tiny_model_dir, prompts, tmp_path):
    assert rollout(tiny_model_dir("llama"), prompts, tmp_path / "r") == 0
    found = read_rollouts(tmp_path / "r")
    assert len(found.prompts) == 4
    assert sorted(sample for _, sample in found.texts) == [0] * 4 + [1] * 4
    assert all(found.texts[name, 0] != found.texts[name, 1] for name in found.prompts)
    assert found.manifest.sampling.seed == 0
    table = pq.read_table(tmp_path / "r" / artifacts.ROLLOUTS)
    assert table.column_names == ["prompt_id", "sample", "prompt", "text", "tokens"]
    tokenizer, drawn = load_tokenizer(ModelSettings(model=str(tiny_model_dir("llama")))), drawn_tokens(tmp_path / "r")
    assert drawn.keys() == found.texts.keys()
    for key, tokens in drawn.items():
        assert tokenizer.decode(tokens, skip_special_tokens=True) == found.texts[key]
        assert len(tokens) == 8 or tokens[-1] == tokenizer.eos_token_id
    old = shutil.copytree(tmp_path / "r", tmp_path / "old")
    pq.write_table(table.drop_columns(["tokens"]), old / artifacts.ROLLOUTS)
    artifacts.record_outputs(old, [artifacts.ROLLOUTS])
    with pytest.raises(RunError, match="column `tokens` is missing; run the command that wrote it again"):
        drawn_tokens(old)


def test_a_killed_rollout_goes_on_to_the_same_completions(tiny_model_dir, prompts, tmp_path):
    model = tiny_model_dir("llama")
    assert rollout(model, prompts, tmp_path / "whole") == 0
    half = shutil.copytree(tmp_path / "whole", tmp_path / "half")
    lines = (half / artifacts.COMPLETIONS).read_bytes().splitlines(keepends=True)
    (half / artifacts.COMPLETIONS).write_bytes(b"".join(lines[:3]) + lines[3][:10])
    for name in (artifacts.MANIFEST, artifacts.ROLLOUTS):
        (half / name).unlink()
    with pytest.raises(RunError):
        read_rollouts(half)
    assert rollout(model, prompts, half) == 0
    assert (half / artifacts.ROLLOUTS).read_bytes() == (tmp_path / "whole" / artifacts.ROLLOUTS).read_bytes()


def test_two_processes_do_not_roll_out_into_one_folder(tiny_model_dir, prompts, tmp_path, capsys):
    with claimed(tmp_path / "r"):
        assert rollout(tiny_model_dir("llama"), prompts, tmp_path / "r") == 2
    assert "another anatomy process" in capsys.readouterr().err
    assert rollout(tiny_model_dir("llama"), prompts, tmp_path / "r") == 0


def test_another_seed_gives_other_completions_and_needs_another_folder(tiny_model_dir, prompts, tmp_path, capsys):
    model = tiny_model_dir("llama")
    assert rollout(model, prompts, tmp_path / "a") == 0
    assert rollout(model, prompts, tmp_path / "b", "--seed", "1") == 0
    assert read_rollouts(tmp_path / "a").texts != read_rollouts(tmp_path / "b").texts
    assert rollout(model, prompts, tmp_path / "a", "--seed", "1") == 2
    assert "other completions" in capsys.readouterr().err


def test_prompts_of_a_preference_set_are_read_without_their_responses(tmp_path):
    pairs = [{"prompt": "Hello", "chosen": f"a {n}", "rejected": f"b {n}"} for n in range(3)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    (tmp_path / "alone.jsonl").write_text(json.dumps({"prompt": "Hello"}) + "\n")
    (ours,) = read_prompts(str(tmp_path / "pairs.jsonl"))
    (theirs,) = read_prompts(str(tmp_path / "alone.jsonl"))
    assert ours == theirs
    assert ours.prompt_id == Pair(0, [{"role": "user", "content": "Hello"}], (), ()).prompt_id


def test_rows_without_a_prompt_are_refused(tmp_path):
    (tmp_path / "none.jsonl").write_text(json.dumps({"prompt": None}) + "\n")
    with pytest.raises(RowsError, match="no prompts"):
        read_prompts(str(tmp_path / "none.jsonl"))


def test_prompts_that_would_be_cut_are_left_out(tiny_model_dir, tmp_path):
    rows = [{"prompt": "Hi"}, {"prompt": "good dog " * 60}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--max-prompt-length", "100"]
    assert rollout(tiny_model_dir("llama"), tmp_path / "prompts.jsonl", tmp_path / "r", *arguments) == 0
    found = read_rollouts(tmp_path / "r")
    assert len(found.prompts) == 1
    assert found.manifest.left_out["too long"] == 1


def test_several_greedy_samples_are_refused(tiny_model_dir, prompts, tmp_path, capsys):
    assert rollout(tiny_model_dir("llama"), prompts, tmp_path / "r", "--temperature", "0") == 2
    assert "--samples 1" in capsys.readouterr().err


def save_adapter(model, folder, scale=1.0):
    """A LoRA adapter with random weights on a tiny model, and the logits of peft's own merged model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM"))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora" in name:
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    adapted.save_pretrained(folder)
    with torch.inference_mode():
        return adapted.eval()(torch.arange(5)[None]).logits


def test_an_adapter_is_merged_into_its_base(tiny_model_dir, tmp_path):
    model = tiny_model_dir("llama")
    expected = save_adapter(model, tmp_path / "lora")
    how = {"device": "cpu", "dtype": "float32"}
    subject, _ = load_policy(ModelSettings(model=str(model), **how), str(tmp_path / "lora"))
    plain, _ = load_policy(ModelSettings(model=str(model), **how))
    with torch.inference_mode():
        found = hf_model(subject)(torch.arange(5)[None]).logits
        before = hf_model(plain)(torch.arange(5)[None]).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, before, atol=1e-2)
    assert subject.fingerprint != plain.fingerprint
    save_adapter(model, tmp_path / "other", scale=2.0)
    other, _ = load_policy(ModelSettings(model=str(model), **how), str(tmp_path / "other"))
    assert other.fingerprint != subject.fingerprint


def test_a_broken_adapter_is_one_line(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="not a LoRA adapter"):
        load_policy(ModelSettings(model=str(tmp_path), device="cpu", dtype="float32"))


def rollouts_of(folder, texts, prompts=3, **sampling):
    found = [Pair(0, [{"role": "user", "content": f"Say {n}"}], (), ()) for n in range(prompts)]
    prompts = [Prompt(pair.prompt_id, pair.prompt) for pair in found]
    completions = [Completion(text, [n]) for n, text in enumerate(texts)]
    model = SampledModel(name="m", origin="test", folder=None, fingerprint=str(texts))
    save_rollouts(folder, prompts, completions, model, "t", SampleSettings(seed=0, samples=1, **sampling))
    return read_rollouts(folder)


def test_pairs_are_after_and_before_on_unseen_prompts(tmp_path):
    before = rollouts_of(tmp_path / "b", ["b0", "b1", ""])
    after = rollouts_of(tmp_path / "a", ["a0", "a1", "a2"])
    ids = list(before.prompts)
    pairs, left = rollout_pairs(before, after, {ids[1]}, lambda pair: True)
    assert [(pair.chosen[0]["content"], pair.rejected[0]["content"]) for pair in pairs] == [("a0", "b0")]
    assert left == {"prompts seen in the data": 1, "empty completions": 1}
    with pytest.raises(RunError, match="unseen"):
        rollout_pairs(before, after, set(ids), lambda pair: True)


def test_rollouts_sampled_differently_are_not_compared(tmp_path):
    before, after = rollouts_of(tmp_path / "b", ["x"] * 3, max_new_tokens=8), rollouts_of(tmp_path / "a", ["y"] * 3)
    with pytest.raises(RunError, match="sample them alike"):
        rollout_pairs(before, after, set(), lambda pair: True)


def test_a_changed_table_is_no_finished_rollout(tmp_path):
    rollouts_of(tmp_path / "a", ["x"] * 3)
    table = pq.read_table(tmp_path / "a" / artifacts.ROLLOUTS)
    pq.write_table(table.set_column(3, "text", pa.array(["z"] * 3)), tmp_path / "a" / artifacts.ROLLOUTS)
    with pytest.raises(RunError, match="not finished"):
        read_rollouts(tmp_path / "a")


def test_a_manifest_of_another_version_is_one_line(tmp_path):
    rollouts_of(tmp_path / "a", ["x"] * 3)
    content = json.loads((tmp_path / "a" / artifacts.MANIFEST).read_text())
    for change, message in (({"schema_version": None}, "without a schema version"), ({"model": "m"}, "model: ")):
        (tmp_path / "a" / artifacts.MANIFEST).write_text(json.dumps(content | change))
        with pytest.raises(RunError, match=f"{message}.*run `anatomy rollout` there again"):
            read_rollouts(tmp_path / "a")


def test_greedy_settings_error_type():
    from anatomy.rollouts.rollout_settings import RolloutSettings
    from anatomy.settings import load_settings

    with pytest.raises(SettingsError, match="prompts"):
        load_settings(RolloutSettings, {})


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("name", [artifacts.ROLLOUTS, artifacts.MANIFEST, artifacts.COMPLETIONS])
def test_damaged_rollouts_are_refused_and_made_again(tiny_model_dir, prompts, tmp_path, name, damage):
    model, folder = tiny_model_dir("llama"), tmp_path / "r"
    assert rollout(model, prompts, folder) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder / name)
    if name != artifacts.COMPLETIONS:  # from which the table is made again
        with pytest.raises(RunError) as error:
            read_rollouts(folder)
        assert "\n" not in str(error.value)
    assert rollout(model, prompts, folder) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
