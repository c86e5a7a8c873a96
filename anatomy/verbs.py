"""What each verb of the command line does, as functions of settings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, TypeVar

from anatomy import artifacts
from anatomy.data.ingest import ingest
from anatomy.errors import ModelError
from anatomy.features.store import FeatureStore
from anatomy.hypotheses.build import read_signals
from anatomy.hypotheses.null import null_check
from anatomy.lens import Lens
from anatomy.report.health import format_health
from anatomy.report.terminal import render
from anatomy.run import Run, load_manifest
from anatomy.settings import AuditSettings, CheckSettings, HarvestSettings, RowSettings
from anatomy.stages import analysis_stages, harvest_stage, progress_bar, read_clusters, rows_stage

DEMO = Path(__file__).parent / "data" / "demo" / "pairs.jsonl"

RowsT = TypeVar("RowsT", bound=RowSettings)


def located(settings: RowsT) -> RowsT:
    """``rows: demo`` is the embedded set, unless a file or folder has that name."""
    if settings.rows == "demo" and not Path("demo").exists():
        return settings.model_copy(update={"rows": str(DEMO)})
    return settings


def default_run_dir(settings: RowSettings) -> Path:
    """``runs/<name of the rows>``."""
    name = Path(settings.rows.rstrip("/")).name.split(".")[0]
    return Path("runs") / ("".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "rows")


def check(settings: CheckSettings, out: Path | None) -> str:
    """Data health as text, without model weights; lengths in characters where no tokenizer is found."""
    settings = located(settings)
    judge, note = None, ""
    try:
        judge = Lens(settings).judge
    except ModelError as error:
        if settings.model is not None:
            raise
        note = f"\nNo tokenizer: lengths are in characters and truncation is not checked ({error})."
    with tempfile.TemporaryDirectory(prefix="anatomy-") as folder, progress_bar("rows", "row") as bar:
        health = ingest(settings, Path(folder), judge, bar.update)
    if judge is not None:
        health["truncated"] = dict(judge.truncated)
    if out is not None:
        artifacts.write_json(out / artifacts.HEALTH, health)
    return format_health(health) + note


def audit(settings: AuditSettings, out: Path) -> None:
    """All stages, into ``out``; what is complete and unchanged is not done again."""
    settings = located(settings)
    with Run.open(out) as run:
        run.save(settings=settings.model_dump(mode="json"), seed=settings.seed)
        lens = Lens(settings)
        rows_stage(run, settings, lens)
        harvest_stage(run, settings, lens)
        analysis_stages(run, settings, lens)


def harvest_only(settings: HarvestSettings, out: Path) -> None:
    """Rows and pooled features; settings of later stages keep their defaults."""
    full = located(AuditSettings.model_validate(settings.model_dump()))
    with Run.open(out) as run:
        run.save(settings=full.model_dump(mode="json"), seed=full.seed)
        lens = Lens(full)
        rows_stage(run, full, lens)
        harvest_stage(run, full, lens)


def rerun(out: Path, changes: dict[str, Any], until: str) -> None:
    """Analyse a harvested run again with some settings changed; the model's weights are not loaded."""
    load_manifest(out)
    with Run.open(out) as run:
        run.require("harvest")
        settings = AuditSettings.model_validate({**run.manifest["settings"], **changes})
        run.save(settings=settings.model_dump(mode="json"))
        analysis_stages(run, settings, Lens(settings), until)


def null(out: Path, repetitions: int, seed: int) -> str:
    """Flip labels at random within the set, test every view again, write ``null.json``; returns a table."""
    load_manifest(out)
    with Run.open(out) as run:
        run.require("hypotheses")
        settings = AuditSettings.model_validate(run.manifest["settings"])
        store = FeatureStore(run.file(artifacts.FEATURES))
        signals = read_signals(store, read_clusters(run, store), settings)
        with progress_bar("null", "relabelling", repetitions) as bar:
            result = null_check(signals, settings, repetitions, seed, bar.update)
        artifacts.write_json(run.file(artifacts.NULL), result)
    lines = [f"{'view':10} {'tested':>8} {'false positives at 5 %':>24}   discoveries at q < {settings.q_threshold}"]
    for view, numbers in result["views"].items():
        lines.append(
            f"{view:10} {numbers['tested']:8} {numbers['false_positive_rate']:24.3f}   {numbers['discoveries']}"
        )
    return "\n".join(lines)


def show(out: Path, cluster: str | None = None, view: str | None = None, top: int = 5) -> str:
    """Findings of a run, or one cluster, as text."""
    load_manifest(out)
    return render(out, cluster=cluster, view=view, top=top)
