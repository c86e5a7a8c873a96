"""The stages of an audit: what each one reads, writes and depends on."""

from __future__ import annotations

from collections.abc import Sequence

from anatomy import artifacts
from anatomy.concepts.scorer import Scorer
from anatomy.features.feature_store import FeatureStore
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages.analysis_stages import (
    cluster_stage,
    concept_responses,
    hypotheses_stage,
    read_clusters,
    run_signals,
)
from anatomy.stages.health_file import write_health
from anatomy.stages.model_stages import harvest_stage, own_stage, read_own, rows_stage, scores_stage
from anatomy.stages.report_stages import (
    EXCERPT,
    cluster_words,
    labels_stage,
    report_stage,
    scored_tokens_stage,
    summary_stage,
    text_rows,
    tokens_stage,
)

__all__ = [
    "EXCERPT", "analysis_stages", "cluster_stage", "cluster_words", "concept_responses", "harvest_stage",
    "hypotheses_stage", "labels_stage", "own_stage", "read_clusters", "read_own", "report_stage",
    "rows_stage", "run_signals", "scored_tokens_stage", "scores_stage", "summary_stage", "text_rows", "tokens_stage",
    "write_health",
]  # fmt: skip


def analysis_stages(
    run: Run, settings: AuditSettings, bundle: ModelBundle, scorers: Sequence[Scorer] | None, until: str = "summary"
) -> None:
    """Features → clusters → hypotheses → labels → summary → tokens → report.

    ``scorers`` are the detectors of the scores, for single tokens; without them (None) rows keep what they have.
    """
    store = FeatureStore(run.file(artifacts.FEATURES))
    cluster_stage(run, settings, store)
    if until == "cluster":
        return
    signals = hypotheses_stage(run, settings, store)
    labels_stage(run, settings, store, bundle)
    summary_stage(run, settings, store, signals)
    tokens_stage(run, store, bundle)
    if scorers is not None:
        scored_tokens_stage(run, bundle, scorers)
    report_stage(run, settings, store, lambda: signals)
