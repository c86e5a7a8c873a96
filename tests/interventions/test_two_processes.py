"""Two processes train what one trains: DDP and FSDP2, every backend, adapters, checkpoints, both kinds of reference."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.dpo_runs import make_pairs
from support.rank_jobs import Job, launch, merged_by, treated
from support.tiny import save_tiny

from anatomy.artifacts import read_table
from anatomy.cli.app import main
from anatomy.rollouts.training_folder import read_identity, read_train_log, write_identity

STEPS = 3
LOGGED = ("loss", "raw/margins", "weight/mean", "logps/chosen", "logps/rejected")
COUNTED = ("rows/shaped", "rows/inoculated", "rows/masked", "rows/steered")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in make_pairs(12)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def command(rows, model, out, *more, verb="train"):
    return [verb, "--rows", str(rows), "--model", str(model), "--out", str(out), "--device", "cpu",
            "--learning-rate", "1e-2", "--batch-size", "4", "--micro-batch-size", "2", "--max-length", "128",
            "--max-steps", str(STEPS), "--warmup-ratio", "0", "--save-steps", "2", *more]  # fmt: skip


def weights(out):
    return load_file(out / "model" / "model.safetensors")


def log(out):
    return [line.values for line in read_train_log(out / "train_log.jsonl")]


def references(out):
    found = {}
    for part in (out / "references").glob("*/*.parquet"):
        for line in read_table(part).to_pylist():
            found[line["key"]] = line["logp"]
    return found


def assert_same_training(found, expected, tolerance=1e-4, moved=2e-3):
    """Steps, gradients' norms, references and final weights, up to the order of sums.

    AdamW moves a weight by the learning rate whatever its gradient, so that rounding of a gradient near zero shows.
    """
    steps, wanted = log(found), log(expected)
    assert len(steps) == len(wanted) == STEPS
    for step, other in zip(steps, wanted, strict=True):
        for name in (*LOGGED, "grad_norm"):
            assert step[name] == pytest.approx(other[name], rel=tolerance, abs=tolerance), name
        assert [step[name] for name in COUNTED] == [other[name] for name in COUNTED]
        gaps = [name for name in other if "gap" in name]
        assert [step[name] for name in gaps] == pytest.approx([other[name] for name in gaps], rel=tolerance)
    assert references(found) == pytest.approx(references(expected), rel=tolerance)
    for name, tensor in weights(expected).items():
        assert (weights(found)[name] - tensor).abs().mean() < moved, name


def save_revisions(cache, arch):
    """A Hub cache with the model ``tiny/model``, whose revision ``other`` has other weights; returns its folder."""
    repository = cache / "models--tiny--model"
    for number, name in enumerate(("main", "other")):
        commit = str(number) * 40
        folder = save_tiny(repository / "snapshots" / commit, arch)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    values = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(7)
    values["lm_head.weight"] += 0.2 * torch.randn(values["lm_head.weight"].shape, generator=generator)
    save_file(values, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def trained(rows, tiny_model_dir, tmp_path_factory):
    """Folder of trainings, each by two processes; ``one-…`` are the same by one."""
    folder = tmp_path_factory.mktemp("two")
    llama, other = tiny_model_dir("llama"), save_revisions(folder / "hub", "olmo3")
    normed = ("--loss", "sigmoid_norm", "--beta", "2")
    adapters = ("--lora-rank", "4", "--no-precompute-references")
    half = ("--bf16", "--references", str(folder / "shared"))
    pinned = command(rows, "tiny/model", folder / "pinned", "--model-revision", "other", *half)
    jobs = [
        Job(command(rows, llama, folder / "fsdp", *normed), sharded=True, treated=True, dies_at=3),
        Job(command(rows, llama, folder / "ddp", *normed), treated=True),
        Job(command(rows, llama, folder / "adapters", *adapters), sharded=True, treated=True),
        Job(pinned, sharded=True),
        Job(command(rows, llama, folder / "uneven", "--micro-batch-size", "4"), expected=2),
        Job(command(folder / "no.jsonl", llama, folder / "missing"), expected=2),
        Job(command(rows, llama, folder / "ddp", "--beta", "3"), expected=2),
    ]
    said = launch(jobs, folder, HF_HUB_CACHE=str(folder / "hub"), HF_HUB_OFFLINE="1")
    (folder / "said.txt").write_text(said)
    with treated():
        assert main(command(rows, llama, folder / "one", *normed)) == 0
        assert main(command(rows, llama, folder / "one-adapters", *adapters)) == 0
    assert main(command(rows, other, folder / "one-pinned", *half)) == 0
    return folder


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_train_what_one_trains(trained, kind):
    """Shaped, inoculated, masked, steered and plain rows under the length-normalised loss; FSDP was killed between."""
    assert_same_training(trained / kind, trained / "one")


def test_a_killed_training_resumes_from_its_checkpoint(trained):
    """What was written before the second process was killed is not written again."""
    killed = (trained / "fsdp.killed").stat().st_mtime_ns
    kept = trained / "fsdp" / "checkpoints" / "checkpoint-2" / "trainer_state.json"
    assert kept.stat().st_mtime_ns < killed


def test_adapters_and_references_beside_the_policy(trained):
    assert_same_training(trained / "adapters", trained / "one-adapters")


def test_the_first_process_alone_merges_adapters(trained):
    """Two that write the same files at once may leave half of one."""
    assert merged_by(trained / "adapters").read_text().split() == ["0"]


def test_the_reference_is_of_the_revision_that_is_trained(trained):
    """OLMo 3 in bfloat16 under FSDP2: policy and reference start as one model, as far from one process as rounding."""
    steps = log(trained / "pinned")
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert sum(value * 256 % 1 != 0 for value in references(trained / "pinned").values()) > 12  # no sums of bfloat16
    assert references(trained / "pinned") == pytest.approx(references(trained / "one-pinned"), abs=0.3)
    assert_same_training(trained / "pinned", trained / "one-pinned", tolerance=0.02, moved=5e-3)


def test_an_error_is_said_once(trained):
    """Settings that each process refuses, and rows and a directory that the first alone finds wrong."""
    said = [line for line in (trained / "said.txt").read_text().splitlines() if line.startswith("anatomy: ")]
    assert len(said) == 3, said
    for line, reason in zip(said, ("no multiple of 8", "no.jsonl", "was trained with other settings"), strict=True):
        assert line.startswith("anatomy: error: ")
        assert reason in line


@pytest.mark.parametrize(("kind", "variables", "reason"), [
    ("fsdp", {}, "was trained under FSDP"),
    ("ddp", {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, "was trained without FSDP"),
])  # fmt: skip
def test_a_checkpoint_of_another_launch_is_refused(trained, rows, tiny_model_dir, tmp_path, monkeypatch, capsys, kind,
                                                   variables, reason):  # fmt: skip
    out = tmp_path / "out"
    shutil.copytree(trained / kind, out)
    write_identity(out, read_identity(out).model_copy(update={"finished": False}))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with treated():
        assert main(command(rows, tiny_model_dir("llama"), out, "--loss", "sigmoid_norm", "--beta", "2")) == 2
    assert reason in capsys.readouterr().err.splitlines()[-1]


MATRIX = [
    (arch, loss, adapters, beside)
    for arch in ("llama", "olmo3")
    for loss in ("sigmoid", "sigmoid_norm", "hinge")
    for adapters in ((), ("--lora-rank", "4"))
    for beside in ((), ("--no-precompute-references", "--gradient-checkpointing"))
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("sharded", [False, True], ids=["ddp", "fsdp"])
def test_every_combination(rows, tiny_model_dir, tmp_path, sharded):
    """Models, losses, adapters, both kinds of reference, recomputed activations; one in six is killed between."""
    pairs = []
    for number, (arch, loss, adapters, beside) in enumerate(MATRIX):
        flags = ("--loss", loss, *adapters, *beside)
        job = Job(
            command(rows, tiny_model_dir(arch), tmp_path / f"two-{number}", *flags), sharded, True, number % 2 * 3
        )
        pairs.append((job, command(rows, tiny_model_dir(arch), tmp_path / f"one-{number}", *flags)))
    tuned = command(rows, tiny_model_dir("llama"), tmp_path / "two-sft", verb="sft")
    launch([*(job for job, _ in pairs), Job(tuned, sharded)], tmp_path, seconds=3600)
    for job, alone in pairs:
        with treated():
            assert main(alone) == 0
        assert_same_training(job.out, tmp_path / job.out.name.replace("two", "one"))
    assert main(command(rows, tiny_model_dir("llama"), tmp_path / "one-sft", verb="sft")) == 0
    found, expected = (log(tmp_path / name) for name in ("two-sft", "one-sft"))
    for step, other in zip(found, expected, strict=True):
        assert step["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert step["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
