"""``anatomy show``: findings of a run, or one of its clusters, as text."""

from __future__ import annotations

from pathlib import Path

from anatomy.report.summary_record import View
from anatomy.report.terminal import render
from anatomy.runs.run import Run
from anatomy.workflows.outcome import Where


def show(run: Where, cluster: str | None = None, *, view: View | None = None, top: int = 5) -> str:
    """Return the findings of a run, or one cluster, as text.

    Args:
        run: run directory.
        cluster: id of a cluster (``R12``, ``S3``, ``D4``, ``P7``) to show instead of the findings.
        view: ``global``, ``feature`` or ``prompt``; default: all.
        top: findings per view and direction.

    Raises:
        RunError: there is no such run, it is not complete, or it has no such cluster.
    """
    Run.at(Path(run))
    return render(Path(run), cluster=cluster, view=view, top=top)
