"""``anatomy harvest``: rows and their pooled features; the analysis can follow by ``anatomy cluster``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.data.sources import find_sources
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, HarvestSettings, load_settings
from anatomy.stages.audit_stages import perform
from anatomy.stages.harvest_stage import HARVEST_STAGE
from anatomy.stages.rows_stage import ROWS_STAGE
from anatomy.stages.stage import Audit
from anatomy.workflows.audit import default_run_dir
from anatomy.workflows.open_run import AuditedRun
from anatomy.workflows.outcome import Where


def harvest(rows: str, *, out: Where | None = None, settings: Where | None = None, **flags: Any) -> AuditedRun:
    """Return a run with rows and pooled features only; settings of later stages keep their defaults.

    Arguments are those of :func:`anatomy.workflows.audit.audit`, with the settings of
    :class:`anatomy.settings.HarvestSettings`.

    Raises:
        AnatomyError: settings, rows, model, SAE or directory cannot be used.
    """
    asked = load_settings(HarvestSettings, {"rows": rows, **flags}, settings)
    folder = default_run_dir(asked) if out is None else Path(out)
    full = AuditSettings.model_validate(asked.model_dump())
    find_sources(asked)  # rows that are not there: nothing is written
    with Run.open(folder) as run:
        run.save(settings=full)
        perform(Audit(run, full, ModelBundle(full)), ROWS_STAGE, HARVEST_STAGE)
    return AuditedRun(folder)
