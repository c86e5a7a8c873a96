"""`anatomy train` and `anatomy sft` from rows to a model: killed, resumed, refused, with LoRA."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.damage import DAMAGES
from support.dpo_runs import make_pairs
from transformers import TrainerState

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data.stamped_folder import STAMP, stamp_folder
from anatomy.errors import RunError
from anatomy.rollouts.training_folder import read_identity, read_train_log, write_identity
from anatomy.runs.out_folder import claimed
from interventions.backends.pair_edits import PairEdit, SideEdit, SteeringVector
from interventions.backends.planned_rows import plan_rows
from interventions.training import reference_cache as references
from interventions.training.checkpoints import (
    Stamp,
    StepLog,
    complete_checkpoints,
    last_checkpoint,
    remove_unusable,
)
from interventions.training.prepared_rows import TrainingTask, prepare
from interventions.training.reference_cache import ReferenceCache
from interventions.training.train_settings import TrainSettings

STEPS = 5


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("rows") / "rows.jsonl", make_pairs(12))


def write_pairs(path, pairs):
    lines = [json.dumps({"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected}) for p in pairs]
    path.write_text("\n".join(lines))
    return path


def command(verb, rows, model, out, *more):
    return [verb, "--rows", str(rows), "--model", str(model), "--out", str(out), "--device", "cpu",
            "--learning-rate", "1e-2", "--batch-size", "4", "--micro-batch-size", "2", "--max-length", "128",
            "--max-steps", str(STEPS), "--save-steps", "2", *more]  # fmt: skip


def weights(out):
    return load_file(out / "model" / "model.safetensors")


def losses(out):
    return [line.values["loss"] for line in read_train_log(out / "train_log.jsonl")]


def assert_equal_weights(out, expected):
    found, wanted = weights(out), weights(expected)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


def run_and_kill(where, arguments):
    """The command line in a process of its own, killed for real: ``step:N`` after step N was logged, ``save:N`` when
    checkpoint N is written but not stamped, ``reference:`` after the first part of reference log-probabilities."""
    process = os.fork()
    if process == 0:
        kind, _, number = where.partition(":")
        owner, name = {"step": (StepLog, "on_log"), "save": (Stamp, "on_save"), "reference": (ReferenceCache, "write")}[
            kind
        ]
        ordinary = getattr(owner, name)

        def dying(self, *given, **named):
            if kind != "save":
                ordinary(self, *given, **named)
            if kind == "reference" or given[1].global_step == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "save":
                ordinary(self, *given, **named)

        references.BLOCKS_PER_PART = 2
        setattr(owner, name, dying)
        os._exit(main(arguments))
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL


@pytest.fixture(scope="module")
def uninterrupted(rows, tiny_model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 0
    return out


def test_what_a_run_leaves(uninterrupted, tiny_model_dir, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    log = read_train_log(uninterrupted / "train_log.jsonl")
    assert [line.step for line in log] == list(range(1, STEPS + 1))
    assert log[0].values["loss"] == pytest.approx(0.6931, abs=1e-4)
    expected = {
        "loss",
        "raw/margins",
        "raw/accuracies",
        "weight/mean",
        "rows/steered",
        "logps/chosen",
        "logps/rejected",
    }
    assert expected <= log[0].values.keys()
    report = (uninterrupted / "report.md").read_text()
    assert "| trained on | 12 |" in report
    assert "displacement" in report
    model = AutoModelForCausalLM.from_pretrained(uninterrupted / "model")
    AutoTokenizer.from_pretrained(uninterrupted / "model")
    start = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"))
    assert not torch.equal(model.lm_head.weight, start.lm_head.weight)
    assert not list((uninterrupted / "model").glob("*.bin"))


@pytest.mark.parametrize("where", ["step:3", "save:2", "save:4", "reference:"])
def test_killed_and_resumed_gives_the_same_weights(rows, tiny_model_dir, tmp_path, uninterrupted, where):
    arguments = command("train", rows, tiny_model_dir("llama"), tmp_path / "run")
    run_and_kill(where, arguments)
    assert not (tmp_path / "run" / "model").exists()
    assert main(arguments) == 0
    assert_equal_weights(tmp_path / "run", uninterrupted)
    log, expected = ((out / "train_log.jsonl").read_bytes() for out in (tmp_path / "run", uninterrupted))
    assert log == expected


def test_a_checkpoint_cut_short_does_not_count(uninterrupted):
    newest = complete_checkpoints(uninterrupted)[-1]
    assert newest.name == "checkpoint-5"
    (newest / STAMP).rename(newest / "away")
    assert complete_checkpoints(uninterrupted)[-1].name == "checkpoint-4"
    (newest / "away").rename(newest / STAMP)


def test_killed_between_the_last_checkpoint_and_the_model(rows, tiny_model_dir, tmp_path, uninterrupted):
    """The last step is in the middle of an epoch; a trainer that resumes there would take one step more."""
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    write_identity(out, read_identity(out).model_copy(update={"finished": False}))
    shutil.rmtree(out / "model")
    assert last_checkpoint(out).name == "checkpoint-4"
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 0
    assert_equal_weights(out, uninterrupted)
    assert (out / "train_log.jsonl").read_bytes() == (uninterrupted / "train_log.jsonl").read_bytes()


def test_a_checkpoint_of_another_training_is_refused(uninterrupted, tmp_path):
    identity = read_identity(uninterrupted)
    folder = tmp_path / "checkpoints" / "checkpoint-3"
    folder.mkdir(parents=True)
    stamp_folder(folder, "another hash")
    with pytest.raises(RunError, match="checkpoint-3: is a checkpoint of another training"):
        remove_unusable(tmp_path, identity)
    assert folder.exists()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_checkpoint_gives_way(rows, tiny_model_dir, tmp_path, uninterrupted, damage, caplog):
    """Weights, optimiser or stamp; a damaged token table, log and preparation are made again beside it."""
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    write_identity(out, read_identity(out).model_copy(update={"finished": False}))
    names = {"truncated": "model.safetensors", "flipped": "optimizer.pt", "removed": STAMP}
    name = next(names[kind] for kind, function in DAMAGES.items() if function is damage)
    damage(out / "checkpoints" / "checkpoint-5" / name)
    for made in ("tokens.arrow", "train_log.jsonl", "work/rows.parquet"):
        damage(out / made)
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 0
    assert ("checkpoint-5: damaged" in caplog.text) == (damage is not Path.unlink)
    assert_equal_weights(out, uninterrupted)
    for made in ("tokens.arrow", "train_log.jsonl", "training.json"):
        assert (out / made).read_bytes() == (uninterrupted / made).read_bytes()


def test_a_finished_training_with_a_damaged_token_table_stays_finished(rows, tiny_model_dir, tmp_path, uninterrupted):
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    (out / "tokens.arrow").unlink()
    before = (out / "model" / "model.safetensors").stat().st_mtime_ns
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 0
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert (out / "training.json").read_bytes() == (uninterrupted / "training.json").read_bytes()


@pytest.mark.parametrize("more", [[], ["--lora-rank", "4", "--gradient-checkpointing"]], ids=["full", "lora"])
def test_bfloat16_learns_what_float32_learns_up_to_its_rounding(rows, tiny_model_dir, tmp_path, more):
    """On the device that is there, as the paper's recipe asks for it: weights stay float32, products are rounded."""
    found = {}
    for name in ("--bf16", "--no-bf16"):
        out = tmp_path / name.strip("-")
        assert main(command("train", rows, tiny_model_dir("llama"), out, name, "--device", "auto", *more)) == 0
        found[name] = losses(out)
        assert all(tensor.dtype == torch.float32 for tensor in weights(out).values())
    assert found["--bf16"] != found["--no-bf16"]
    assert found["--bf16"] == pytest.approx(found["--no-bf16"], rel=0.05)
    assert found["--bf16"][-1] < found["--bf16"][0]


def test_a_finished_run_is_not_run_again(rows, tiny_model_dir, uninterrupted):
    before = (uninterrupted / "model" / "model.safetensors").stat().st_mtime_ns
    assert main(command("train", rows, tiny_model_dir("llama"), uninterrupted)) == 0
    assert (uninterrupted / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_two_trainings_in_one_folder_are_refused(rows, tiny_model_dir, tmp_path, capsys):
    """While one trains (its lock is held here), a second command ends at once and writes nothing."""
    out = tmp_path / "out"
    with claimed(out):
        assert main(command("train", rows, tiny_model_dir("llama"), out)) == 2
    assert "another anatomy process" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [artifacts.LOCK]


def test_resuming_something_else_is_refused(rows, tiny_model_dir, tmp_path, capsys):
    """Rows, plan, model, settings: each is named in one line, and the old run resumes as it was."""
    out = tmp_path / "run"
    model = tiny_model_dir("llama")
    run_and_kill("step:3", command("train", rows, model, out))
    others = write_pairs(tmp_path / "rows.jsonl", make_pairs(12, seed=1))
    plan = tmp_path / "plan.yaml"
    plan.write_text("interventions:\n- {concept: bold, direction: suppress, strength: 1.0, backend: reward_shaping}\n")
    changed = {
        "rows": command("train", others, model, out),
        "plan": command("train", rows, model, out, "--plan", str(plan)),
        "model": command("train", rows, tiny_model_dir("olmo3"), out),
        "settings": command("train", rows, model, out, "--beta", "0.2"),
    }

    def kept():
        return {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}

    before = kept()
    for name, arguments in changed.items():
        assert main(arguments) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert f"was trained with other {name}" in error
        assert kept() == before
    assert main(command("train", rows, model, out)) == 0


def planned_by(monkeypatch, edits, vectors=()):
    """From here on the plan does this to the rows, whatever it says."""

    def planned(plan, settings, bundle, scorers, out):
        found = plan_rows(plan, settings, bundle, scorers, out)
        return found._replace(edits=[edits(edit) for edit in found.edits], vectors=list(vectors))

    monkeypatch.setattr("interventions.training.prepared_rows.plan_rows", planned)


CHANGES = {
    "offset": (lambda edit: replace(edit, offset=0.1), ()),
    "swap": (lambda edit: replace(edit, swapped=True), ()),
    "mask": (lambda edit: replace(edit, chosen=SideEdit(masked=((0, 1),))), ()),
    "vector": (lambda edit: edit, [SteeringVector("bold", 1, torch.ones(32))]),
}


def test_changed_edits_are_another_plan(tmp_path, tiny_model_dir, rows, monkeypatch):
    """The plan's file is the same, but what it does to a row or to the policy is not: detectors were fitted again."""
    settings = TrainSettings(rows=str(rows), model=str(tiny_model_dir("llama")))
    task = TrainingTask.of(settings, tmp_path)
    asked = task.input_hashes()
    hashes = {prepare(task, asked, {}).hash}
    for edits, vectors in CHANGES.values():
        planned_by(monkeypatch, edits, vectors)
        hashes.add(prepare(task, asked, {}).hash)
    assert len(hashes) == 1 + len(CHANGES)


@pytest.mark.parametrize("change", CHANGES)
def test_a_finished_training_with_other_edits_is_refused(
    tiny_model_dir, rows, uninterrupted, monkeypatch, change, capsys
):
    before = (uninterrupted / "training.json").read_bytes()
    planned_by(monkeypatch, *CHANGES[change])
    assert main(command("train", rows, tiny_model_dir("llama"), uninterrupted)) == 2
    assert "was trained with other plan" in capsys.readouterr().err
    assert (uninterrupted / "training.json").read_bytes() == before


def test_other_detectors_are_refused_before_anything_is_written(tmp_path, tiny_model_dir, rows, uninterrupted):
    out = tmp_path / "run"
    shutil.copytree(uninterrupted, out)
    identity = read_identity(out)
    prepared = identity.prepared.model_copy(update={"detectors": {"bold": "another fit"}})
    write_identity(out, identity.model_copy(update={"prepared": prepared}))
    shutil.rmtree(out / "work")
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 2
    assert not (out / "work").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("{}", "without a schema version"),
        ('{"schema_version": 99}', "of schema version 99"),
        ('{"schema_version": 3, "kind": "dpo"}', "not a valid record of a training (source: Field required)"),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(tmp_path, tiny_model_dir, rows, capsys, content, reason):
    out = tmp_path / "run"
    out.mkdir()
    (out / "training.json").write_text(content)
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]
    assert (out / "training.json").read_text() == content


def test_a_training_of_an_earlier_version_is_refused(tmp_path, tiny_model_dir, rows, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "trained.json").write_text("{}")
    assert main(command("train", rows, tiny_model_dir("llama"), out)) == 2
    assert "holds files without a mark of this version of anatomy" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["trained.json"]


def test_a_plan_is_carried_out(tiny_model_dir, tmp_path):
    """Bold stands in the chosen response of four rows and in the rejected one of four others."""

    def bold(messages):
        return [{**messages[0], "content": messages[0]["content"].replace("*", "") + " **Bold**"}]

    def plain(messages):
        return [{**messages[0], "content": messages[0]["content"].replace("*", "")}]

    pairs = [
        replace(
            pair,
            chosen=(bold if index < 4 else plain)(pair.chosen),
            rejected=(bold if 4 <= index < 8 else plain)(pair.rejected),
        )
        for index, pair in enumerate(make_pairs(12))
    ]
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "interventions:\n"
        "- {concept: bold, direction: suppress, strength: 2.0, backend: reward_shaping}\n"
        "- {concept: bold, direction: suppress, strength: 1.0, backend: inoculation, options: {side: chosen}}\n"
    )
    out = tmp_path / "run"
    rows = write_pairs(tmp_path / "rows.jsonl", pairs)
    assert main(command("train", rows, tiny_model_dir("llama"), out, "--plan", str(plan), "--max-steps", "3")) == 0
    counts = read_identity(out).prepared.counts
    assert (counts.trained, counts.shaped) == (12, 8)
    assert counts.inoculated > 0
    log = [line.values for line in read_train_log(out / "train_log.jsonl")]
    assert sum(line["rows/shaped"] for line in log) == 8  # three steps are one epoch
    assert sum(line["rows/inoculated"] for line in log) == counts.inoculated
    weight = {
        tier: [line[name] for line in log if (name := f"weight/bold/{tier}_gap") in line] for tier in ("high", "low")
    }
    assert max(weight["high"]) < 0.5 < min(weight["low"])  # explained away, and learnt against


def test_lora_is_merged_into_the_model(rows, tiny_model_dir, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = tmp_path / "run"
    assert main(command("train", rows, tiny_model_dir("llama"), out, "--lora-rank", "4")) == 0
    base = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"))
    adapted = PeftModel.from_pretrained(base, out / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(out / "model")
    ids = torch.arange(20)[None]
    torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, rtol=1e-4, atol=1e-4)
    with adapted.disable_adapter():
        assert not torch.allclose(merged(ids).logits, adapted(ids).logits, atol=1e-2)


def test_sft_trains_on_chosen_responses(rows, tiny_model_dir, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from interventions.training.token_rows import tokenise_pair

    out = tmp_path / "run"
    assert main(command("sft", rows, tiny_model_dir("llama"), out)) == 0
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    pair = make_pairs(12)[0]
    line = tokenise_pair(pair, PairEdit(pair.row_id), tokenizer, 128)

    def logp(folder, name):
        model, side = AutoModelForCausalLM.from_pretrained(folder), line[name]
        ids = torch.tensor([side["context"] + side["completion"]])
        scores = model(ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        return scores[len(side["context"]) - 1 :].mean().item()

    assert logp(out / "model", "chosen") > logp(tiny_model_dir("llama"), "chosen") + 0.1
    assert losses(out)[0] > losses(out)[-1]


def test_half_a_line_of_the_log_is_dropped(tmp_path):
    path = tmp_path / "train_log.jsonl"
    path.write_text('{"step": 1, "loss": 0.7}\n{"step": 2, "loss": 0.6}\n{"step": 3, "lo')
    assert [line.step for line in read_train_log(path)] == [1, 2]
    history = [{"step": 1, "loss": 0.7}, {"step": 1, "runtime": 1.0}]
    state = TrainerState(global_step=1, max_steps=5, log_history=history)
    StepLog(path).on_train_begin(None, state, None)
    assert path.read_text() == '{"step": 1, "loss": 0.7}\n'
