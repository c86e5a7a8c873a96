"""Report: the run's page, with the null check, names and validations if they are there."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.report.page import html, write_report
from anatomy.stages.stage import Audit, Facts, Stage
from anatomy.types import content_hash


def _work(audit: Audit) -> Facts:
    run = audit.run
    return write_report(run.path, run.signals, run.clusters, run.features, audit.settings.seed)


REPORT_STAGE = Stage(
    name="report",
    work=_work,
    outputs=(f"{artifacts.REPORT}/{artifacts.REPORT_PAGE}",),
    inputs=(artifacts.SUMMARY, artifacts.LABELS),
    optional=(
        artifacts.TOKENS,
        artifacts.SCORED_TOKENS,
        artifacts.NULL,
        artifacts.NAMES,
        f"{artifacts.VALIDATIONS}/**/*.json",
    ),
    settings=frozenset({"seed"}),
    computed=lambda audit: {"page": content_hash(html("", []))},
)
