"""The run directory: a stage runs once for the same inputs, again for others, and never half."""

import json

import pyarrow as pa
import pytest

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.hypotheses.views import HYPOTHESIS_COLUMNS
from anatomy.runs.manifest import Manifest
from anatomy.runs.run import Run
from anatomy.runs.stage_facts import ClusterFacts, RowsKept


def write(run, name, text, calls):
    def work():
        calls.append((name, text))
        artifacts.write_text(run.file(f"{name}.txt"), text)
        return RowsKept(rows=len(text))

    return work


def two_stages(path, calls, settings="a"):
    """`rows` reads ``settings``; `harvest` reads the content that `rows` wrote."""
    with Run.open(path) as run:
        run.stage("rows", settings, ["rows.txt"], write(run, "rows", settings[:1], calls), ["harvest"])
        fingerprint = run.require("rows").outputs["rows.txt"]
        return run.stage("harvest", fingerprint, ["harvest.txt"], write(run, "harvest", settings, calls))


def test_an_unchanged_stage_is_not_run_again(tmp_path):
    calls = []
    first = two_stages(tmp_path, calls)
    assert two_stages(tmp_path, calls) == first
    assert [name for name, _ in calls] == ["rows", "harvest"]
    assert first.facts == {"rows": 1}


def test_a_changed_setting_reruns_its_stage_and_only_what_its_output_changes(tmp_path):
    calls = []
    two_stages(tmp_path, calls, "a")
    two_stages(tmp_path, calls, "a2")  # `rows` runs again and writes the same content: `harvest` stands
    assert [name for name, _ in calls] == ["rows", "harvest", "rows"]
    two_stages(tmp_path, calls, "b")
    assert [name for name, _ in calls][3:] == ["rows", "harvest"]


@pytest.mark.parametrize("damage", ["delete", "edit"])
def test_a_lost_or_edited_output_is_made_again(tmp_path, damage):
    calls = []
    two_stages(tmp_path, calls)
    output = tmp_path / "harvest.txt"
    output.unlink() if damage == "delete" else output.write_text("tampered")
    two_stages(tmp_path, calls)
    assert [name for name, _ in calls] == ["rows", "harvest", "harvest"]
    assert output.read_text() == "a"


def test_a_failed_stage_is_not_complete_and_later_ones_are_stale(tmp_path):
    two_stages(tmp_path, [])
    with Run.open(tmp_path) as run, pytest.raises(ZeroDivisionError):
        run.stage("rows", "b", ["rows.txt"], lambda: RowsKept(rows=1 / 0), ["harvest"])
    stages = Manifest.of(tmp_path).stages
    assert stages["rows"].status == "running"
    assert stages["harvest"].status == "stale"
    with Run.open(tmp_path) as run, pytest.raises(RunError, match="`harvest` is not complete"):
        run.require("harvest")


def test_facts_are_read_back_and_others_are_refused(tmp_path):
    two_stages(tmp_path, [], "abc")
    run = Run.at(tmp_path)
    assert run.facts("harvest", RowsKept) == RowsKept(rows=3)
    assert run.facts("cluster", ClusterFacts) is None
    with pytest.raises(
        RunError, match=r"manifest.json: facts of stage `harvest` .*\(response_origin\); run `anatomy audit`"
    ):
        run.facts("harvest", ClusterFacts)


def test_what_was_read_is_read_again_once_its_stage_has_run(tmp_path):
    """Findings are of ``hypotheses.parquet``: only the stage that writes it makes them new."""

    def tests_of(count):
        values = {"string": "R1", "double": 0.5, "int64": 7, "bool": True}
        columns = {name: [values[kind.rstrip("?")]] * count for name, kind in HYPOTHESIS_COLUMNS.items()}
        artifacts.write_table(tmp_path / artifacts.HYPOTHESES, pa.table(columns))

    with Run.open(tmp_path) as run:
        run.stage("hypotheses", "a", [artifacts.HYPOTHESES], lambda: tests_of(1))
        first = run.findings
        run.stage("labels", "a", [artifacts.LABELS], lambda: artifacts.write_text(run.file(artifacts.LABELS), "{}"))
        assert run.findings is first
        run.stage("hypotheses", "b", [artifacts.HYPOTHESES], lambda: tests_of(2))
        assert run.findings.num_rows == 2


def test_scores_that_are_gone_are_forgotten(tmp_path):
    with Run.open(tmp_path) as run:
        scored = f"{artifacts.SCORES}/questions"
        run.stage("scores", "a", [scored], lambda: artifacts.write_text(run.file(scored), ""))
        run.__dict__["signals"] = "with the concept"
        run.stage("scores", "b", [], lambda: None)
        assert "signals" not in run.__dict__


def test_own_responses_are_refused_without_their_stage(tmp_path):
    run = Run(tmp_path, Manifest())
    for read in (lambda: run.own_features, lambda: run.own_scores("questions"), run.own_log_probs):
        with pytest.raises(RunError, match="stage `own` is not complete"):
            read()


def test_a_second_process_is_refused(tmp_path):
    with Run.open(tmp_path), pytest.raises(RunError, match="another anatomy process"), Run.open(tmp_path):
        pass


def test_several_read_a_run_at_once_and_none_writes_meanwhile(tmp_path):
    with Run.open(tmp_path) as run:
        run.save()
        with pytest.raises(RunError, match="another anatomy process"), Run.read(tmp_path):
            pass
    left = tmp_path / ".shard.parquet.1.anatomy-part"
    left.touch()  # of a process that works in a folder of the run
    with Run.read(tmp_path), Run.read(tmp_path):
        with pytest.raises(RunError, match="another anatomy process"), Run.open(tmp_path):
            pass
        assert left.exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run directory"):
        Manifest.of(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(RunError, match="manifest without a schema version"):
        Manifest.of(tmp_path)


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "file.json"
    artifacts.write_json(path, {"a": float("nan"), "b": [1.5]})
    assert json.loads(path.read_text()) == {"a": None, "b": [1.5]}
    with pytest.raises(TypeError):
        artifacts.write_json(path, {"a": object()})
    assert json.loads(path.read_text())["b"] == [1.5]
    assert [item.name for item in tmp_path.iterdir()] == ["file.json"]
