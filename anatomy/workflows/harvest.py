"""``anatomy harvest``: rows and their pooled features; the analysis can follow by ``anatomy cluster``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, HarvestSettings, load_settings
from anatomy.stages import harvest_stage, rows_stage
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
    with Run.open(folder) as run:
        run.save(settings=full)
        bundle = ModelBundle(full)
        rows_stage(run, full, bundle)
        harvest_stage(run, full, bundle)
    return AuditedRun(folder)
