"""``anatomy report``: write the page of a run again, from its artifacts."""

from __future__ import annotations

from pathlib import Path

from anatomy import artifacts
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.stages.audit_stages import perform
from anatomy.stages.report_stage import REPORT_STAGE
from anatomy.stages.stage import Audit
from anatomy.workflows.outcome import Where


def report(run: Where) -> Path:
    """Write the page of a run where something changed, without the model; return its path.

    Raises:
        RunError: there is no complete run there.
    """
    with Run.open(Path(run), new=False) as opened:
        opened.require("summary")
        perform(Audit(opened, opened.settings, ModelBundle(opened.settings)), REPORT_STAGE)
    return Path(run) / artifacts.REPORT / artifacts.REPORT_PAGE
