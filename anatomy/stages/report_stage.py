"""Report: the run's page, with the null check, names and validations if they are there."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.report.page import html, write_report
from anatomy.runs.stage_facts import ReportFacts
from anatomy.stages.stage import Audit, Stage
from anatomy.types import content_hash


def _work(audit: Audit) -> ReportFacts:
    run = audit.run
    written = write_report(run.path, run.signals, run.clusters, run.features, audit.settings.seed)
    return ReportFacts(**written._asdict())


REPORT_STAGE = Stage(
    name="report",
    work=_work,
    outputs=(f"{artifacts.REPORT}/{artifacts.REPORT_PAGE}",),
    inputs=(artifacts.SUMMARY, artifacts.LABELS, artifacts.CLUSTERS, artifacts.DATA_CLUSTERS),
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
