"""``anatomy report``: write the page of a run again, from its artifacts."""

from __future__ import annotations

from pathlib import Path

from anatomy import artifacts
from anatomy.runs.run import Run
from anatomy.stages import report_stage
from anatomy.workflows.outcome import Where


def report(run: Where) -> Path:
    """Write the page of a run where something changed, without the model; return its path.

    Raises:
        RunError: there is no complete run there.
    """
    with Run.open(Path(run), new=False) as opened:
        opened.require("summary")
        report_stage(opened, opened.settings)
    return Path(run) / artifacts.REPORT / artifacts.REPORT_PAGE
