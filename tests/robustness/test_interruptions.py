"""Accidents at random points of every long command: killed, disk full, two writers; the same command then ends well.

A point is one of the command's changes on disk, counted in an undisturbed run; a kill strikes there or a little later.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from support import page_run
from support.dpo_runs import make_pairs
from support.forked_commands import SECONDS, Accident, Commands, Outcome
from support.tiny import save_sae

from anatomy import artifacts
from anatomy.rollouts.training_folder import read_train_log

FEW, MANY = 1, 12
SOURCE_ROWS = 60
"""Rows of the set that is cleaned; the answers of some are missing."""
TINY = ["--device", "cpu", "--dtype", "float32"]


class Scenario(NamedTuple):
    """A long command, without ``--out``; what must be equal after any accident; and the flag of its folder."""

    argv: list[str]
    result: Callable[[Path], object]
    folder: str = "--out"


class Undisturbed(NamedTuple):
    """What a scenario gives and how many changes on disk it makes, when nothing happens."""

    scenario: Scenario
    result: object
    changes: int


def audited_files(run: Path) -> dict[str, bytes]:
    """Every file of a run but those that hold times: manifest and page."""
    timed = {run / artifacts.MANIFEST, run / artifacts.REPORT / artifacts.REPORT_PAGE, run / ".lock"}
    return {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file() and path not in timed
    }


def trained(out: Path) -> object:
    """Weights, and the losses of every step."""
    weights = {name: tensor.tolist() for name, tensor in load_file(out / "model" / "model.safetensors").items()}
    return weights, [line.values["loss"] for line in read_train_log(out / artifacts.TRAIN_LOG)]


def sampled(out: Path) -> bytes:
    """The table of completions."""
    return (out / artifacts.ROLLOUTS).read_bytes()


def autoencoder(out: Path) -> dict[str, bytes]:
    """The files of an SAE; nothing else is left in its folder."""
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def cleaned(out: Path) -> object:
    """The files of a clean set; every row of the source is in a pair or left out, and in one of the two alone."""
    kept = [row for rows in pq.read_table(out / artifacts.CLEANED)["source_rows"].to_pylist() for row in rows]
    left_out = pq.read_table(out / artifacts.LEFT_OUT)["source_row"].to_pylist()
    assert sorted(kept + left_out) == list(range(SOURCE_ROWS))
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert artifacts.CARD in files
    return {name: content for name, content in files.items() if name != ".lock"}


def _write(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="session")
def scenarios(tmp_path_factory, tiny_model_dir) -> dict[str, Scenario]:
    """The five long commands at the size of a test."""
    folder, model = tmp_path_factory.mktemp("long"), str(tiny_model_dir("llama"))
    sae = str(save_sae(folder / "sae", Path(model)))
    audit = ["--sae", sae, "--min-features", "2", "--min-community", "2", "--min-rows", "10", "--data-clusters", "3",
             "--min-fires", "10", "--concepts", "bold"]  # fmt: skip
    rows = str(page_run.write(folder / "page.jsonl"))
    pairs = _write(folder / "pairs.jsonl", [
        {"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in make_pairs(12)
    ])  # fmt: skip
    prompts = _write(folder / "prompts.jsonl", [{"prompt": f"Why is dog {n} {'so ' * (n % 4)}good?"} for n in range(9)])
    train = ["--learning-rate", "1e-2", "--batch-size", "4", "--micro-batch-size", "2", "--max-length", "128",
             "--max-steps", "5", "--save-steps", "2"]  # fmt: skip
    fit = ["--layer", "1", "--features", "64", "--k", "8", "--batch", "256", "--epochs", "3", "--held-out", "0.2",
           "--buffer-tokens", "2048", "--dead-tokens", "3000", "--checkpoint-tokens", "2000"]  # fmt: skip
    faulty = _write(folder / "faulty.jsonl", [
        {"prompt": f"Q{n // 2}", "chosen": None if n % 7 == 0 else f"a{n}" * 9, "rejected": f"b{n % 30}"}
        for n in range(SOURCE_ROWS)
    ])  # fmt: skip
    sample = ["--max-new-tokens", "8", "--samples", "2", "--batch-tokens", "128"]
    return {
        "check": Scenario(["check", faulty, "--model", model], cleaned, "--write"),
        "audit": Scenario(["audit", rows, "--model", model, *TINY, *audit], audited_files),
        "train": Scenario(["train", "--rows", pairs, "--model", model, "--device", "cpu", *train], trained),
        "rollout": Scenario(["rollout", "--prompts", prompts, "--model", model, *TINY, *sample], sampled),
        "sae train": Scenario(["sae", "train", "--corpus", rows, "--model", model, *TINY, *fit], autoencoder),
    }


@pytest.fixture(scope="session")
def undisturbed(scenarios, commands, tmp_path_factory):
    """``undisturbed("audit")``: the scenario with its result, run once."""
    done: dict[str, Undisturbed] = {}

    def find(name: str) -> Undisturbed:
        if name not in done:
            out = tmp_path_factory.mktemp("undisturbed") / "out"
            outcome = run(commands, scenarios[name], out, Accident(str(out), "count"))
            assert outcome.status == 0, outcome.described()
            assert outcome.changes > 5
            done[name] = Undisturbed(scenarios[name], scenarios[name].result(out), outcome.changes)
        return done[name]

    return find


def run(commands: Commands, scenario: Scenario, out: Path, accident: Accident | None = None) -> Outcome:
    return commands.run(*scenario.argv, scenario.folder, out, accident=accident, seconds=3 * SECONDS)


def assert_ends_well(commands: Commands, whole: Undisturbed, out: Path, what: str) -> None:
    """The same command now ends with an undisturbed run's result, and leaves nothing half-written."""
    outcome = run(commands, whole.scenario, out)
    assert outcome.status == 0, f"after {what}: {outcome.described()}"
    assert whole.scenario.result(out) == whole.result, f"after {what}: another result"
    assert not list(out.rglob("*part")), f"after {what}: a temporary file is left"


def assert_kills_cost_nothing(name: str, count: int, commands, undisturbed, folder: Path) -> None:
    whole, chance = undisturbed(name), random.Random(name)
    for number in range(count):
        at, delay = chance.randint(1, whole.changes), chance.choice([0.0, 0.0, 0.002, 0.02, 0.1])
        out = folder / str(number)
        outcome = run(commands, whole.scenario, out, Accident(str(out), "kill", at, delay))
        assert outcome.status in (-9, -14, 0), outcome.described()  # 0: it was at its end before the kill came
        assert_ends_well(commands, whole, out, f"a kill {delay} s after change {at} of {whole.changes}")


SCENARIOS = ["check", "audit", "train", "rollout", "sae train"]
BY_DEFAULT = ["check", "audit", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in SCENARIOS[2:])]
"""The first two alone by default; all with the mark."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_a_few_random_points(name, commands, undisturbed, tmp_path):
    assert_kills_cost_nothing(name, FEW, commands, undisturbed, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_many_random_points(name, commands, undisturbed, tmp_path):
    assert_kills_cost_nothing(name, MANY, commands, undisturbed, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_again_and_again(name, commands, undisturbed, tmp_path):
    """One folder, killed at each of its next changes in turn; it still gets to the end."""
    whole, chance, out = undisturbed(name), random.Random(name), tmp_path / "out"
    for _ in range(8):
        run(commands, whole.scenario, out, Accident(str(out), "kill", chance.randint(1, 1 + whole.changes // 4)))
    assert_ends_well(commands, whole, out, "eight kills")


def assert_full_disks_cost_nothing(name: str, count: int, commands, undisturbed, folder: Path) -> None:
    whole, chance = undisturbed(name), random.Random(name + "full")
    for number in range(count):
        at, out = chance.randint(2, whole.changes), folder / str(number)
        outcome = run(commands, whole.scenario, out, Accident(str(out), "full", at))
        assert outcome.fault() is None, outcome.described()
        assert outcome.status == 2, outcome.described()
        assert "free space" in outcome.err or "No space left" in outcome.err, outcome.described()
        assert_ends_well(commands, whole, out, f"a full disk from change {at} of {whole.changes}")


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_the_disk_is_full(name, commands, undisturbed, tmp_path):
    assert_full_disks_cost_nothing(name, 1, commands, undisturbed, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_disk_is_full_at_many_points(name, commands, undisturbed, tmp_path):
    assert_full_disks_cost_nothing(name, MANY, commands, undisturbed, tmp_path)


def assert_limits_on_files_cost_nothing(name: str, sizes_kb: list[int], commands, undisturbed, folder: Path) -> None:
    """The system itself refuses to let a file grow: what C++ and Rust write fails as what Python writes."""
    whole = undisturbed(name)
    for size_kb in sizes_kb:
        out = folder / str(size_kb)
        argv = [*whole.scenario.argv, whole.scenario.folder, out]
        outcome = commands.run(*argv, file_mb=size_kb / 1024, seconds=3 * SECONDS)
        assert outcome.fault() is None, outcome.described()
        if outcome.status == 0:  # a finished SAE is not made again, so there is nothing to resume
            assert whole.scenario.result(out) == whole.result, f"with files of at most {size_kb} kB"
            continue
        assert_ends_well(commands, whole, out, f"files of at most {size_kb} kB")


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_files_may_not_grow(name, commands, undisturbed, tmp_path):
    assert_limits_on_files_cost_nothing(name, [random.Random(name).choice([1, 8, 24])], commands, undisturbed, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENARIOS)
def test_files_may_not_grow_beyond_many_sizes(name, commands, undisturbed, tmp_path):
    assert_limits_on_files_cost_nothing(
        name, [0, 1, 2, 4, 8, 16, 24, 40, 64, 100, 160, 250], commands, undisturbed, tmp_path
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("size_kb", [8, 60, 200, 400, 700])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_small_disk(name, size_kb, commands, undisturbed, tmp_path):
    """A file system of a few kB, where this user may mount one."""
    disk, whole = tmp_path / "disk", undisturbed(name)
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        outcome = run(commands, whole.scenario, disk / "out")
        assert outcome.fault() is None, outcome.described()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert_ends_well(commands, whole, disk / "out", f"a disk of {size_kb} kB")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="module")
def others():
    """A second process that forks commands."""
    running = Commands()
    yield running
    running.close()


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_two_writers(name, commands, others, undisturbed, tmp_path):
    """Two equal commands at once into one folder: one is refused in one line or finds all done; the result is sound."""
    whole, out = undisturbed(name), tmp_path / "out"
    with ThreadPoolExecutor(2) as pool:
        started = [pool.submit(run, each, whole.scenario, out) for each in (commands, others)]
        ends = [future.result() for future in started]
    described = "\n\n".join(end.described() for end in ends)
    assert [end.fault() for end in ends] == [None, None], described
    assert 0 in (end.status for end in ends), described
    assert all("another anatomy process" in end.err for end in ends if end.status == 2), described
    assert whole.scenario.result(out) == whole.result, described


@pytest.mark.parametrize("name", BY_DEFAULT)
def test_the_clock_is_set_back(name, commands, undisturbed, tmp_path):
    """Half of the files seem to come from the future when the killed command resumes."""
    whole, out = undisturbed(name), tmp_path / "out"
    run(commands, whole.scenario, out, Accident(str(out), "kill", whole.changes // 2))
    for number, path in enumerate(sorted(out.rglob("*"))):
        os.utime(path, (1, 1) if number % 2 else (4e9, 4e9))
    assert_ends_well(commands, whole, out, "a clock set back")
