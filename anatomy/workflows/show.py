"""``anatomy show``: findings of a run, or one of its clusters, as text."""

from __future__ import annotations

from pathlib import Path

from anatomy.report.summary_record import View
from anatomy.report.terminal import render, render_begun
from anatomy.runs.run import Run
from anatomy.workflows.outcome import Where


def show(run: Where, cluster: str | None = None, *, view: View | None = None, top: int = 5) -> str:
    """Return the findings of a run, or one cluster, as text; of a run without findings, what is there so far.

    Args:
        run: run directory.
        cluster: id of a cluster (``R12``, ``S3``, ``D4``, ``P7``) to show instead of the findings.
        view: ``global``, ``feature`` or ``prompt``; default: all.
        top: findings per view and direction.

    Raises:
        RunError: there is no such run, it is not complete, or it has no such cluster.
    """
    manifest = Run.at(Path(run)).manifest
    summary = manifest.stages.get("summary")
    if cluster is None and (summary is None or not summary.outputs):
        from anatomy.stages.audit_stages import STAGES

        return render_begun(Path(run), manifest, [stage.name for stage in STAGES])
    return render(Path(run), cluster=cluster, view=view, top=top)
