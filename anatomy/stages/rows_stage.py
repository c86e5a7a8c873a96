"""Rows: the source becomes ``rows.parquet`` and data health."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.data.ingest import ingest
from anatomy.data.sources import source_fingerprint
from anatomy.progress import progress_bar
from anatomy.runs.stage_facts import RowsFacts
from anatomy.settings import RowSettings, TrainingLength
from anatomy.stages.health_record import write_health
from anatomy.stages.stage import Audit, FingerprintPart, Stage


def _computed(audit: Audit) -> FingerprintPart:
    return {"source": source_fingerprint(audit.settings), "tokens": audit.bundle.token_settings()}


def _work(audit: Audit) -> RowsFacts:
    check = audit.bundle.token_check
    with progress_bar("rows", "row") as bar:
        health = ingest(audit.settings, audit.run.path, check, bar.update)
    return RowsFacts(health=check.add_to(health))


def _after(audit: Audit) -> None:
    audit.run.save_inputs(rows=source_fingerprint(audit.settings), **audit.bundle.token_settings())
    write_health(audit.run)


ROWS_STAGE = Stage(
    name="rows",
    work=_work,
    outputs=(artifacts.ROWS,),
    settings=frozenset(RowSettings.model_fields) - {"rows"} | frozenset(TrainingLength.model_fields),
    computed=_computed,
    after=_after,
)
