"""What stages leave in the manifest beside their outputs: counts, resolved settings, measurements; a type per stage.

A stage that is asked for nothing (no concepts, no rollouts) leaves no facts, and so do ``labels`` and ``summary``.
"""

from __future__ import annotations

from anatomy.clusters.stored_clusters import ClusterOrigin
from anatomy.data.health import RowHealth
from anatomy.data.health_parts import MeasuredModel, MeasuredRule, MeasuredSAE
from anatomy.runs.manifest import ScoredConcept, StageFacts


class RowsFacts(StageFacts):
    """``rows``: the health of the rows, with what the tokenizer says of them."""

    health: RowHealth


class HarvestFacts(StageFacts):
    """``harvest``: health of the SAE on the rows, and the number of its features."""

    sae: MeasuredSAE
    features: int


class ScoresFacts(StageFacts):
    """``scores``: the concepts that were scored, by name."""

    concepts: dict[str, ScoredConcept]


class ClusterFacts(StageFacts):
    """``cluster``: the settings that were scaled with the data, and how many clusters there are of each kind."""

    response_origin: ClusterOrigin
    min_fires: int
    prompt_features_kept: int
    prompt_clusters: int
    shift_features_kept: int
    shift_clusters: int
    response_clusters: int
    data_clusters: int
    data_levels: int
    context_prompts: int
    silent_rows: int


class CorpusFacts(StageFacts):
    """``corpus_clusters``: whether the response clusters of a corpus are used."""

    used: bool


class HypothesesFacts(StageFacts):
    """``hypotheses``: what predicts labels (rules, fitted models), the tests of each view, and the strongest rows."""

    explained: dict[str, MeasuredModel]
    baselines: dict[str, MeasuredRule]
    tested: dict[str, int]
    top_rows: int


class OwnFacts(StageFacts):
    """``own``: the number of the model's own responses."""

    responses: int


class RowsKept(StageFacts):
    """``tokens`` and ``scored_tokens``: the number of rows whose tokens are kept."""

    rows: int


class ReportFacts(StageFacts):
    """``report``: bytes of the page, and the number of files beside it with the plot library."""

    bytes: int
    files: int
