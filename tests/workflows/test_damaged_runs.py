"""Damaged artifacts of a run: readers refuse them in one line, and the same audit makes them again, to the same bytes.

A run that cannot be read stops with a message that says what to do; nothing is computed from what is left.
"""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from support.damage import DAMAGES, damaged, flip
from support.edited_run import accept

import anatomy
from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data.shard_cache import numbered
from anatomy.errors import RunError
from anatomy.hypotheses.null_rates import NullRates
from anatomy.report import payload
from anatomy.runs.manifest import Manifest
from anatomy.runs.run import Run

SHARDS = (artifacts.FEATURES, f"{artifacts.SCORES}/bold")
TABLES = (artifacts.ROWS, artifacts.CLUSTERS, artifacts.DATA_CLUSTERS, artifacts.HYPOTHESES, artifacts.CONTEXTS,
          artifacts.TOKENS, artifacts.SCORED_TOKENS)  # fmt: skip
DOCUMENTS = (artifacts.HEALTH, artifacts.LABELS, artifacts.SUMMARY)


def places(run: Path) -> list[Path]:
    """Every artifact that others are made of, the last shard of each folder among them."""
    shards = [list(numbered(run / folder).values())[-1][0] for folder in SHARDS]
    return [*shards, *(run / name for name in (*TABLES, *DOCUMENTS))]


def contents(run: Path) -> dict[str, bytes]:
    """Every file but the manifest, which holds times, and the page, which shows them."""
    timed = {run / artifacts.MANIFEST, run / artifacts.REPORT / artifacts.REPORT_PAGE}
    return {str(path.relative_to(run)): path.read_bytes() for path in set(run.rglob("*")) - timed if path.is_file()}


def audit_again(run: Path) -> None:
    settings = Manifest.of(run).settings
    assert settings is not None
    anatomy.audit(out=run, **settings.model_dump(exclude_unset=True))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_the_same_audit_makes_again_what_is_damaged(audited, tmp_path, damage):
    run = Path(shutil.copytree(audited, tmp_path / "run"))
    for path in places(run):
        damage(path)
    audit_again(run)
    assert contents(run) == contents(audited)


def test_artifacts_of_another_run_are_made_again(audited, tmp_path):
    """Sound files with the right names, but of other rows."""
    run = Path(shutil.copytree(audited, tmp_path / "run"))
    rows = Manifest.of(run).settings.rows
    lines = Path(rows).read_text().splitlines(keepends=True)
    (tmp_path / "fewer.jsonl").write_text("".join(lines[:-20]))
    anatomy.audit(
        **Manifest.of(run).settings.model_dump(exclude_unset=True)
        | {"rows": str(tmp_path / "fewer.jsonl"), "out": tmp_path / "other"}
    )
    for folder in SHARDS:
        shutil.rmtree(run / folder)
        shutil.copytree(tmp_path / "other" / folder, run / folder)
    for name in (*TABLES, *DOCUMENTS):
        shutil.copy2(tmp_path / "other" / name, run / name)
    for command in (["show"], ["null", "--repetitions", "1"], ["compare", str(audited)]):
        assert main([command[0], str(run), *command[1:]]) == 2
    audit_again(run)
    assert contents(run) == contents(audited)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_damaged_artifacts_are_refused_in_one_line(audited, damage):
    readers = {
        artifacts.FEATURES: lambda run: run.features,
        f"{artifacts.SCORES}/bold": lambda run: run.scores("bold"),
        artifacts.ROWS: lambda run: list(run.rows()),
        artifacts.CLUSTERS: lambda run: run.clusters,
        artifacts.DATA_CLUSTERS: lambda run: run.clusters,
        artifacts.HYPOTHESES: lambda run: run.findings,
        artifacts.CONTEXTS: lambda run: run.contexts,
        artifacts.LABELS: lambda run: run.words,
    }
    for path in places(audited):
        name = str(path.relative_to(audited))
        name = str(Path(name).parent) if "shard" in name else name
        if name not in readers or (damage is Path.unlink and name in {artifacts.LABELS, *SHARDS}):
            continue
        with damaged(path, damage), pytest.raises(RunError) as error:
            readers[name](Run.at(audited))
        assert "\n" not in str(error.value)
        assert name in str(error.value)


def test_a_bit_of_the_manifest_is_not_believed(audited):
    with damaged(audited / artifacts.MANIFEST, flip), pytest.raises(RunError, match="manifest"):
        Run.at(audited)


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        (artifacts.CLUSTERS, lambda table: table.drop_columns(["kind"]), "column `kind` is missing"),
        (
            artifacts.CLUSTERS,
            lambda table: set_column(table, "feature", ["x"] * len(table)),
            "is of type string",
        ),
        (artifacts.CLUSTERS, lambda table: set_column(table, "feature", [10**6] * len(table)), "not clusters of these"),
        (artifacts.CLUSTERS, lambda table: set_column(table, "cluster", ["Rx"] * len(table)), "'Rx' is no cluster"),
        (artifacts.DATA_CLUSTERS, lambda table: table.slice(1), "of different rows"),
        (
            artifacts.DATA_CLUSTERS,
            lambda table: set_column(table, "cluster", [None] + ["D1"] * (len(table) - 1)),
            "lacks",
        ),
        (artifacts.HYPOTHESES, lambda table: table.drop_columns(["q"]), "column `q` is missing"),
        (artifacts.CONTEXTS, lambda table: set_column(table, "rows", [[10**6]] * len(table)), "contexts of other rows"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(audited, tmp_path, name, change, fault):
    """Sound files that the manifest names, and that say what cannot be."""
    run = Path(shutil.copytree(audited, tmp_path / "run"))
    artifacts.write_table(run / name, change(artifacts.read_table(run / name)))
    accept(run)
    opened = Run.at(run)
    with pytest.raises(RunError, match=fault) as error:
        _ = opened.clusters, opened.findings, opened.contexts
    assert "\n" not in str(error.value)


def set_column(table, name, values):
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_a_null_check_of_another_run_is_not_shown(audited, tmp_path):
    run = Path(shutil.copytree(audited, tmp_path / "run"))
    assert main(["null", str(run), "--repetitions", "1"]) == 0
    null, manifest = NullRates.read(run / artifacts.NULL), Manifest.of(run)
    assert null.made_of == manifest.hypothesis_hashes()
    assert payload._null(run / artifacts.NULL, manifest) == null.views
    null.model_copy(update={"made_of": {artifacts.HYPOTHESES: "of another run"}}).write(run / artifacts.NULL)
    assert payload._null(run / artifacts.NULL, manifest) is None


def test_a_run_that_was_begun_shows_what_is_there_and_how_it_is_resumed(audited, tmp_path, capsys):
    run = Path(shutil.copytree(audited, tmp_path / "run"))
    manifest = Manifest.of(run)
    stages = {name: manifest.stages[name] for name in ("rows", "harvest")}
    stages["harvest"] = stages["harvest"].model_copy(update={"status": "running", "outputs": {}})
    manifest.model_copy(update={"stages": stages, "command": "anatomy audit \x1b[2J"}).write(run / artifacts.MANIFEST)
    assert main(["show", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "rows: complete" in shown
    assert "harvest: begun, 128 rows at most so far" in shown
    assert "cluster: to do" in shown
    assert "the same command again" in shown
    assert "\x1b" not in shown
