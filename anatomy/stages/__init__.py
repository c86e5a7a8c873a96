"""The stages of an audit: what each one reads, writes and depends on."""

from __future__ import annotations

from collections.abc import Sequence

from anatomy.concepts.scorer import Scorer
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages.analysis_stages import cluster_stage, hypotheses_stage
from anatomy.stages.health_file import write_health
from anatomy.stages.model_stages import harvest_stage, own_stage, read_own, rows_stage, scores_stage
from anatomy.stages.report_stages import (
    EXCERPT,
    labels_stage,
    report_stage,
    scored_tokens_stage,
    summary_stage,
    text_rows,
    tokens_stage,
)

__all__ = [
    "EXCERPT", "analysis_stages", "cluster_stage", "harvest_stage",
    "hypotheses_stage", "labels_stage", "own_stage", "read_own", "report_stage",
    "rows_stage", "scored_tokens_stage", "scores_stage", "summary_stage", "text_rows", "tokens_stage",
    "write_health",
]  # fmt: skip


def analysis_stages(
    run: Run, settings: AuditSettings, bundle: ModelBundle, scorers: Sequence[Scorer] | None, until: str = "summary"
) -> None:
    """Features → clusters → hypotheses → labels → summary → tokens → report.

    ``scorers`` are the detectors of the scores, for single tokens; without them (None) rows keep what they have.
    """
    cluster_stage(run, settings)
    if until == "cluster":
        return
    hypotheses_stage(run, settings)
    labels_stage(run, settings, bundle)
    summary_stage(run, settings)
    tokens_stage(run, bundle)
    if scorers is not None:
        scored_tokens_stage(run, bundle, scorers)
    report_stage(run, settings)
