"""What each verb of the command line does, as functions of settings."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anatomy import artifacts
from anatomy.data.ingest import ingest
from anatomy.data.rows_table import read_rows
from anatomy.errors import ModelError
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.testing import null_report
from anatomy.progress import progress_bar
from anatomy.report.health_text import format_health
from anatomy.report.terminal import render
from anatomy.runs.run import Run, load_manifest
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, CheckSettings, HarvestSettings, RowSettings
from anatomy.stages import (
    analysis_stages,
    harvest_stage,
    own_stage,
    read_own,
    report_stage,
    rows_stage,
    run_signals,
    scores_stage,
)
from anatomy.stages.run_expectation import calibration_of

if TYPE_CHECKING:
    from anatomy.concepts.scorer import Scorer
    from anatomy.sae.sae_health import SAEHealth


DRY_RUN_TOKENS = 8_192
"""Tokens run to measure speed and size; the padded tokens of one default batch."""


class Probe(NamedTuple):
    """What was measured on the first rows: their number, tokens through the model, seconds, bytes, the SAE's health."""

    health: dict[str, Any]
    rows: int
    tokens: int
    seconds: float
    bytes: int
    sae: SAEHealth


def default_run_dir(settings: RowSettings) -> Path:
    """``runs/<name of the rows>``."""
    name = Path(settings.rows.rstrip("/")).name.split(".")[0]
    return Path("runs") / ("".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name) or "rows")


def check(settings: CheckSettings, out: Path | None) -> str:
    """Data health as text, without model weights; lengths in characters where no tokenizer is found."""
    judge, note = None, ""
    try:
        judge = ModelBundle(settings).token_check
    except ModelError as error:
        if settings.model is not None:
            raise
        note = f"\nNo tokenizer: lengths are in characters and truncation is not checked ({error})."
    with tempfile.TemporaryDirectory(prefix="anatomy-") as folder, progress_bar("rows", "row") as bar:
        health = ingest(settings, Path(folder), judge, bar.update)
    if judge is not None:
        health |= judge.to_dict()
    if out is not None:
        artifacts.write_json(out / artifacts.HEALTH, health)
    return format_health(health) + note


def audit(
    settings: AuditSettings, out: Path, scorers: Callable[[ModelBundle], Sequence[Scorer]] = lambda bundle: ()
) -> None:
    """All stages, into ``out``; what is complete and unchanged is not done again.

    ``scorers`` gives the detectors of the concepts to be tested beside the clusters.
    """
    with Run.open(out) as run:
        run.save(settings=settings.model_dump(mode="json"), seed=settings.seed)
        bundle = ModelBundle(settings)
        rows_stage(run, settings, bundle)
        detectors = scorers(bundle)  # what is wrong is told before anything expensive
        own = read_own(settings, bundle)
        calibration_of(settings, bundle.subject.fingerprint, bundle.sae.fingerprint)
        harvest_stage(run, settings, bundle)
        scores_stage(run, settings, bundle, detectors)
        own_stage(run, settings, bundle, detectors, own)
        analysis_stages(run, settings, bundle, detectors)


def harvest_only(settings: HarvestSettings, out: Path) -> None:
    """Rows and pooled features; settings of later stages keep their defaults."""
    full = AuditSettings.model_validate(settings.model_dump())
    with Run.open(out) as run:
        run.save(settings=full.model_dump(mode="json"), seed=full.seed)
        bundle = ModelBundle(full)
        rows_stage(run, full, bundle)
        harvest_stage(run, full, bundle)


def rerun(out: Path, changes: dict[str, Any], until: str) -> None:
    """Analyse a harvested run again with some settings changed; the model's weights are not loaded."""
    load_manifest(out)
    with Run.open(out) as run:
        run.require("harvest")
        settings = AuditSettings.model_validate({**run.manifest["settings"], **changes})
        run.save(settings=settings.model_dump(mode="json"))
        bundle = ModelBundle(settings)
        if "scores" not in run.manifest["stages"]:  # harvested only
            scores_stage(run, settings, bundle, ())
        run.require("scores")
        analysis_stages(run, settings, bundle, None, until)


def probe(settings: HarvestSettings, tokens: int) -> Probe:
    """Harvest rows into a temporary folder until ``tokens`` tokens are reached, to measure what all of them would cost.

    Raises:
        AnatomyError: as the stages that it runs.
    """
    from anatomy.activations.spans import encode_row
    from anatomy.features.harvesting import harvest
    from anatomy.sae.sae_health import SAEHealth

    bundle = ModelBundle(settings)
    with tempfile.TemporaryDirectory(prefix="anatomy-") as name, progress_bar("rows", "row") as bar:
        folder = Path(name)
        health = ingest(settings, folder, bundle.token_check, bar.update)
        pairs, measured = [], 0
        for stored in read_rows(folder / artifacts.ROWS):
            encoded = encode_row(stored.pair, bundle.tokenizer, settings)
            pairs.append(stored.pair)
            measured += sum(len(side.ids) for side in encoded.sides.values())
            if measured >= tokens:
                break
        _ = bundle.sae  # loading is not part of the time
        start = time.monotonic()
        sums = harvest(
            pairs, bundle.tokenizer, bundle.subject, bundle.sae, folder / artifacts.FEATURES, "probe", settings
        )
        seconds = time.monotonic() - start
        size = sum(path.stat().st_size for path in (folder / artifacts.FEATURES).iterdir())
    return Probe(health, len(pairs), measured, seconds, size, SAEHealth.from_sums(sums, bundle.sae.claimed))


def dry_run(settings: AuditSettings) -> str:
    """What an audit would cost: measured on a few rows with the real model and SAE, scaled to all of them."""
    found = probe(settings, DRY_RUN_TOKENS)
    scale = found.health["retained"] / found.rows
    clusters = 3 * 512 * 4 * found.health["retained"]
    return "\n".join(
        [
            f"rows:    {found.health['rows']:,} read, {found.health['retained']:,} retained",
            f"tokens:  about {found.tokens * scale:,.0f} through the model",
            f"time:    about {found.seconds * scale / 60:,.1f} minutes of harvest "
            f"({found.tokens / found.seconds:,.0f} tokens/s on {found.rows} rows here)",
            f"disk:    about {found.bytes * scale / 1e6:,.0f} MB of features",
            f"memory:  model and SAE, then up to {clusters / 1e6:,.0f} MB for the analysis",
        ]
    )


def sae_health(settings: HarvestSettings, tokens: int) -> str:
    """L0, variance explained and dead share of the SAE on these rows, beside what it claims."""
    health = probe(settings, tokens).sae
    return "\n".join([str(health), *(health.faults() or ["healthy"])])


def null(out: Path, repetitions: int, seed: int) -> str:
    """Flip labels at random within the set, test every view again, write ``null.json``; returns a table."""
    load_manifest(out)
    with Run.open(out) as run:
        run.require("hypotheses")
        settings = AuditSettings.model_validate(run.manifest["settings"])
        store = FeatureStore(run.file(artifacts.FEATURES))
        signals = run_signals(run, settings, store)
        report = null_report(signals.null(repetitions, seed))
        artifacts.write_json(run.file(artifacts.NULL), report)
    lines = [f"{'view':8} {'tested':>8} {'false positives at 5 %':>24} {'95 % interval':>16} {'q < 5 %, mean':>14}"]
    for view, rate in report.items():
        interval = f"{rate['low']:.3f} to {rate['high']:.3f}"
        share, found = f"{rate['false_positive_rate']:.3f}", f"{rate['discoveries']:.2f}"
        lines.append(f"{view:8} {rate['tested']:8} {share:>24} {interval:>16} {found:>14}")
    return "\n".join(lines)


def report(out: Path) -> Path:
    """Write the page of a run again where something changed, without the model; returns its path."""
    load_manifest(out)
    with Run.open(out) as run:
        run.require("summary")
        settings = AuditSettings.model_validate(run.manifest["settings"])
        store = FeatureStore(run.file(artifacts.FEATURES))
        report_stage(run, settings, store, lambda: run_signals(run, settings, store))
    return out / artifacts.REPORT / artifacts.REPORT_PAGE


def show(out: Path, cluster: str | None = None, view: str | None = None, top: int = 5) -> str:
    """Findings of a run, or one cluster, as text."""
    load_manifest(out)
    return render(out, cluster=cluster, view=view, top=top)
