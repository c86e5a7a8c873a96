"""An audit from end to end with a tiny model: what it writes, what it finds, what it reuses, what a kill costs."""

import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.run_flags import flags_for
from support.tiny import save_sae

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data import shard_cache
from anatomy.runs.manifest import Manifest
from anatomy.runs.run import Run
from anatomy.stages import audit_stages

STAGES = [stage.name for stage in audit_stages.STAGES]
PAIRS, PER_PROMPT = 240, 2
WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good fine thank you today".split()
FLAGS = ["--device", "cpu", "--dtype", "float32", "--min-features", "2", "--min-community", "2", "--min-rows", "10",
         "--data-clusters", "4", "--min-fires", "10"]  # fmt: skip
COLUMNS = {
    "view", "context", "response", "n", "effect", "effect_low", "effect_high", "effect_length_adjusted", "d", "z", "p",
    "q", "half_a", "half_b", "stable", "direction",
}  # fmt: skip


def write_rows(path: Path, planted: bool) -> None:
    """Random sentences; where ``planted``, the chosen one carries Markdown. Same words and lengths otherwise."""
    generator = random.Random(0)

    def sentence(marks: bool) -> str:
        words = generator.sample(WORDS, 8)
        return " ".join(f"**{word}**" if marks and place < 3 else word for place, word in enumerate(words))

    with path.open("w") as file:
        for number in range(PAIRS):
            prompt = f"Tell me about {WORDS[number // PER_PROMPT % 20]} {number // PER_PROMPT}"
            pair = {"prompt": prompt, "chosen": sentence(planted), "rejected": sentence(False)}
            file.write(json.dumps(pair) + "\n")


@pytest.fixture(scope="module")
def command(tmp_path_factory, tiny_model_dir):
    """Arguments of an audit of planted rows, without ``--out``."""
    folder = tmp_path_factory.mktemp("audit")
    write_rows(folder / "pairs.jsonl", planted=True)
    model = tiny_model_dir("llama")
    sae = save_sae(folder / "sae", model)
    return ["audit", str(folder / "pairs.jsonl"), "--model", str(model), "--sae", str(sae), *FLAGS]


@pytest.fixture(scope="module")
def reference(command, tmp_path_factory):
    """A finished audit."""
    out = tmp_path_factory.mktemp("runs") / "reference"
    assert main([*command, "--out", str(out)]) == 0
    return out


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but the manifest, which holds times, and the page, which shows it."""
    timed = {run / artifacts.MANIFEST, run / artifacts.REPORT / artifacts.REPORT_PAGE}
    files = {path for path in run.rglob("*") if path.is_file()} - timed
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def test_everything_is_written_and_complete(reference):
    stages = Manifest.of(reference).stages
    assert [stages[name].status for name in STAGES] == ["complete"] * len(STAGES)
    assert pq.read_table(reference / artifacts.ROWS).num_rows == PAIRS
    health = json.loads((reference / artifacts.HEALTH).read_text())
    assert health["retained"] == PAIRS
    assert health["sae"]["variance_explained"] > 0.5
    assert health["baselines"]["more_markdown"]["low"] > 0.9
    assert 0.3 < health["baselines"]["refusal_words"]["accuracy"] < 0.7


def test_the_summary_ranks_findings_by_effect_with_rows_that_show_them(reference):
    """The first finding of the text is the strongest of the table, and its first row has Markdown in its chosen text"""
    table = pq.read_table(reference / artifacts.HYPOTHESES).to_pandas()
    found = table[(table["view"] == "global") & (table["q"] < 0.05) & table["stable"] & (table["effect"] > 0)]
    top = found.sort_values("effect").iloc[-1]
    text = (reference / artifacts.SUMMARY_TEXT).read_text()
    section = text.split("## Everywhere in the set")[1].split("\n## ")[0]
    assert f"### Leaning to chosen: {len(found)}\n" in section
    first, row = re.search(r"\n1\. (.*)\n   - (.*)\n", section).groups()
    assert f" {top['response']} (" in first
    assert f"{top['effect']:+.3f}" in first
    assert re.match(r"row \d+: chosen «(\\\*){2}\w+(\\\*){2} .*», rejected «[\w ]+»", row)


def test_hypotheses_resolve_and_hold_the_planted_effect(reference):
    table = pq.read_table(reference / artifacts.HYPOTHESES).to_pandas()
    assert set(table.columns) >= COLUMNS
    labels = json.loads((reference / artifacts.LABELS).read_text())
    assert set(table["response"]) <= set(labels["response"])
    assert set(table["context"]) <= {"all", *labels["data"], *labels["prompt"]}
    found = table[(table["view"] == "global") & (table["q"] < 0.05) & table["stable"]]
    assert (found["direction"] == "chosen").any()
    top = found.sort_values("effect").iloc[-1]
    correlates = {item["concept"]: item["r"] for item in labels["response"][top["response"]]["correlates"]}
    assert correlates["bold"] > 0.25  # five standard errors over 480 responses
    assert labels["response"][top["response"]]["exemplars"]


def test_the_same_command_does_nothing_again(command, reference, capfd):
    before = {path: path.stat().st_mtime_ns for path in reference.rglob("*.parquet")}
    assert main([*command, "--out", str(reference)]) == 0
    assert capfd.readouterr().err.count("unchanged") == len(STAGES)
    assert {path: path.stat().st_mtime_ns for path in reference.rglob("*.parquet")} == before


def test_a_setting_invalidates_what_depends_on_it(reference, tmp_path, capfd):
    run = shutil.copytree(reference, tmp_path / "run")
    assert main(["hypotheses", str(run), *flags_for(run, "model"), "--tau", "0.2", "--min-features", "2"]) == 0
    record = capfd.readouterr().err
    assert "cluster: unchanged" in record  # tau decides what is tested, not how rows are grouped
    assert (run / artifacts.HYPOTHESES).read_bytes() != (reference / artifacts.HYPOTHESES).read_bytes()
    first = [shard_cache.numbered(path / artifacts.FEATURES)[0][0] for path in (run, reference)]
    assert first[0].read_bytes() == first[1].read_bytes()


@pytest.mark.parametrize("change", [["--rank-by", "effect"], ["--q-threshold", "0.01"]])
def test_what_only_decides_what_is_shown_tests_nothing_again(change, reference, tmp_path, capfd):
    run = shutil.copytree(reference, tmp_path / "run")
    assert main(["hypotheses", str(run), *flags_for(run, "model"), *change]) == 0
    record = capfd.readouterr().err
    assert "hypotheses: unchanged" in record
    assert "summary: unchanged" not in record
    assert (run / artifacts.HYPOTHESES).read_bytes() == (reference / artifacts.HYPOTHESES).read_bytes()
    assert (run / artifacts.SUMMARY).read_bytes() != (reference / artifacts.SUMMARY).read_bytes()


IN_ANY_STAGE = pytest.mark.exhaustive
"""Kills that the stop in every stage and the random points of ``tests/robustness`` cover by default."""


@pytest.mark.parametrize(
    ("moment", "stage"),
    [
        pytest.param("before", "cluster", marks=IN_ANY_STAGE),
        ("shard", "harvest"),
        pytest.param("written", "hypotheses", marks=IN_ANY_STAGE),
    ],
)
def test_a_killed_audit_resumes_to_the_same_files(moment, stage, command, reference, tmp_path):
    out = tmp_path / "run"
    script = [sys.executable, str(Path(__file__).parents[1] / "support" / "killed_audit.py"), moment, stage]
    assert subprocess.run([*script, *command, "--out", str(out)], capture_output=True).returncode == -9
    assert Manifest.of(out).stages[stage].status == "running"
    shards = shard_cache.numbered(out / artifacts.FEATURES)
    assert list(shards) == [0, 1][: 1 if moment == "shard" else 2]
    assert main([*command, "--out", str(out)]) == 0
    assert contents(out) == contents(reference)


class Stopped(BaseException):
    """Ends a run as a kill does: only the command line catches it, as a bug."""


def test_an_audit_stopped_in_every_stage_resumes_to_the_same_files(command, reference, tmp_path, monkeypatch):
    """One run: stopped in its first stage, resumed, stopped in its second, and so to the end."""
    out, ordinary = tmp_path / "run", Run.stage
    worked = []

    for last in STAGES:

        def stopping(self, name, depends, outputs, work, later, last=last):
            def stopped():
                facts = work()
                worked.append(name)
                if name == last:
                    raise Stopped
                return facts

            return ordinary(self, name, depends, outputs, stopped, later)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "stage", stopping)
            assert main([*command, "--out", str(out)]) == 1
        assert Manifest.of(out).stages[last].status == "running"
    assert Counter(worked) == {name: 2 if name != STAGES[-1] else 1 for name in STAGES}
    assert main([*command, "--out", str(out)]) == 0
    assert contents(out) == contents(reference)


def test_null_labels_give_no_findings(command, reference, capsys):
    assert main(["null", str(reference), "--repetitions", "20"]) == 0
    report = json.loads((reference / artifacts.NULL).read_text())["views"]
    assert set(report) == {"global", "feature", "prompt"}
    for rate in report.values():
        assert rate["tested"] > 0
        assert rate["false_positive_rate"] <= 0.08
    shown = dict(re.findall(r"\n(\w+) +\d+ +(\d\.\d{3}) ", capsys.readouterr().out))
    assert shown == {view: f"{rate['false_positive_rate']:.3f}" for view, rate in report.items()}
    (reference / artifacts.NULL).unlink()


def test_an_unhealthy_sae_stops_the_audit_unless_forced(command, tmp_path, tiny_model_dir, capfd):
    sae = save_sae(tmp_path / "sae", tiny_model_dir("llama"), scale=3.0)
    arguments = [*command, "--out", str(tmp_path / "run")]
    arguments[arguments.index("--sae") + 1] = str(sae)
    assert main(arguments) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "unhealthy" in errors[0]
    assert "--force" in errors[0]
    assert main([*arguments, "--force"]) == 0


def test_rows_without_an_effect_give_no_global_finding(command, tmp_path):
    write_rows(tmp_path / "null.jsonl", planted=False)
    arguments = [*command, "--out", str(tmp_path / "run")]
    arguments[1] = str(tmp_path / "null.jsonl")
    assert main(arguments) == 0
    table = pq.read_table(tmp_path / "run" / artifacts.HYPOTHESES).to_pandas()
    tested = table[table["view"] == "global"]
    assert len(tested) >= 3
    assert not (tested["q"] < 0.01).any()


def test_dry_run_measures_and_writes_nothing(command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("tokens:", "time:", "disk:", "memory:"))
    assert not (tmp_path / "run").exists()


def test_sae_health_prints_measured_beside_claimed(command, reference, capsys):
    """The audit measured the same SAE on the same rows; its card claims nothing."""
    assert main(["sae", "health", *command[1:6]]) == 0
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:-1])
    health = json.loads((reference / artifacts.HEALTH).read_text())["sae"]
    assert lines["L0"].split() == [f"{health['l0']:.1f}", "not", "stated"]
    assert lines["variance explained"].split() == [f"{health['variance_explained']:.3f}", "not", "stated"]
    assert lines["dead features"].split() == [f"{health['dead_share']:.1%}", "-"]


@pytest.mark.parametrize("cluster", ["R1", "D1"])
def test_show_one_cluster_with_its_texts_and_tests(reference, cluster, capsys):
    """All tests with the cluster, smallest q first, and its exemplars by row."""
    assert main(["show", str(reference), cluster]) == 0
    text = capsys.readouterr().out
    kind = "response" if cluster[0] == "R" else "data"
    label = json.loads((reference / artifacts.LABELS).read_text())[kind][cluster]
    shown = [int(row) for row in re.findall(r"\n  nearest, row (\d+), ", text)]
    near = [item["index"] + 1 for item in label["exemplars"] if item["kind"] == "nearest"]
    assert len(shown) == min(10, len(near))
    assert shown == near[: len(shown)]
    table = pq.read_table(reference / artifacts.HYPOTHESES).to_pandas()
    tests = table[table["p"].notna() & ((table["response"] if kind == "response" else table["context"]) == cluster)]
    assert f"\n  {len(tests)} tests with it, smallest q first:\n" in text
    effects = re.findall(r"\n    ([+-]\d\.\d{3})  \[", text)
    assert effects == [f"{effect:+.3f}" for effect in tests.sort_values("q", kind="stable")["effect"][: len(effects)]]
    assert effects


def test_show_an_unknown_cluster_is_one_line(reference, capsys):
    assert main(["show", str(reference), "R999"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
