"""Clusters: pooled features are grouped by what fires together, and rows by what fires in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.clusterings import (
    DataClusters,
    FeatureClusters,
    cluster_features,
    cluster_responses,
    cluster_rows,
)
from anatomy.clusters.feature_clusters import default_min_fires
from anatomy.clusters.stored_clusters import StoredClusters, read_stored
from anatomy.errors import RunError
from anatomy.hypotheses.signals import response_signals
from anatomy.progress import logger
from anatomy.runs.stage_facts import ClusterFacts, CorpusFacts
from anatomy.settings import ClusterSettings
from anatomy.stages.stage import Audit, Stage
from anatomy.statistics.prompts import Prompts

KINDS = {"R": "response", "P": "prompt", "S": "shift"}


def _work(audit: Audit) -> ClusterFacts:
    """Write both clusterings; without a group of features that fires together, every row is silent."""
    run, settings, store = audit.run, audit.settings, audit.run.features
    responses = _responses(audit)
    found = cluster_features(store.shards, store.n_rows, settings, settings.prompt_statistic, settings.seed)
    activity_NM = response_signals(store.shards(), responses.label_F, settings.tau).activity_NM
    rows = cluster_rows(activity_NM, Prompts.from_ids(store.prompt_ids), settings, settings.seed)
    artifacts.write_table(run.file(artifacts.CLUSTERS), _table(responses, found))
    artifacts.write_table(run.file(artifacts.DATA_CLUSTERS), _data_table(store.row_ids, rows))
    return ClusterFacts.model_validate({
        **found.resolved,
        "response_origin": responses.origin,
        "response_clusters": len(responses.clusters),
        "prompt_clusters": len(found.prompt_stability_K),
        "shift_clusters": len(found.shift_stability_M),
        "data_clusters": int(rows.label_N.max(initial=0)),
        "silent_rows": int((rows.label_N == 0).sum()),
        "data_levels": 1 + len(rows.coarser_LN),
        "context_prompts": rows.context_prompts,
    })  # fmt: skip


def _responses(audit: Audit) -> StoredClusters:
    """Response clusters of the corpus that came with the SAE, else of these rows."""
    run, settings, store = audit.run, audit.settings, audit.run.features
    stored = run.file(artifacts.RESPONSE_CLUSTERS)
    corpus = run.facts("corpus_clusters", CorpusFacts)
    if corpus is not None and corpus.used and not settings.cluster_on_rows:
        responses = read_stored(stored, run.sae.fingerprint)
        made_from = f"a corpus of {responses.origin.prompts:,} prompts ({', '.join(responses.origin.sources)})"
    else:
        min_prompts = settings.min_fires or default_min_fires(store.n_rows)
        name = Path(run.recorded_settings.rows).name
        groups, origin = cluster_responses(store.shards, settings, min_prompts, settings.seed, [name])
        responses = StoredClusters.of(groups, run.sae.fingerprint, origin)
        made_from = f"these rows ({origin.prompts:,} prompts)"
    if responses.n_features != store.n_features:
        raise RunError(f"{stored}: clusters of {responses.n_features} features, and the SAE has {store.n_features}; "
                       "run the audit again")  # fmt: skip
    if not responses.clusters:
        logger.warning(f"{nothing_together(str(run.path), responses)}; named concepts are tested alone")
    logger.info(f"response clusters: {len(responses.clusters):,} from {made_from}, "
                f"{responses.origin.clustered:,} of {responses.n_features:,} features")  # fmt: skip
    return responses


def nothing_together(where: str, found: StoredClusters) -> str:
    """What is said where features have no structure that a half of the prompts shows again."""
    return (
        f"{where}: no features fire together beyond chance on the {found.origin.prompts} prompts of these rows (chance "
        f"makes correlations up to {found.origin.chance:.2f}), so they make no clusters; give more rows, or an SAE "
        "with clusters of its own (`anatomy sae cluster`)"
    )


def _table(responses: StoredClusters, found: FeatureClusters) -> pa.Table:
    kinds = {
        "R": (responses.label_F, responses.stability_M),
        "P": (found.prompt_F, found.prompt_stability_K),
        "S": (found.shift_F, found.shift_stability_M),
    }
    lines = [
        (feature, KINDS[prefix], f"{prefix}{label}", float(stability[label - 1]))
        for prefix, (labels_F, stability) in kinds.items()
        for feature, label in enumerate(labels_F)
        if label
    ]
    names = ("feature", "kind", "cluster", "stability")
    return pa.table(dict(zip(names, zip(*lines, strict=True), strict=True)))


def _data_table(row_ids: Sequence[str], rows: DataClusters) -> pa.Table:
    return pa.table({
        "row_id": row_ids,
        "cluster": [f"D{label}" for label in rows.label_N],
        "coarser": pa.array([[f"D{label}" for label in row] for row in rows.coarser_LN.T], pa.list_(pa.string())),
        "cosine": rows.cosine_N,
    })  # fmt: skip


CLUSTER_STAGE = Stage(
    name="cluster",
    work=_work,
    outputs=(artifacts.CLUSTERS, artifacts.DATA_CLUSTERS),
    inputs=(artifacts.FEATURES,),
    optional=(artifacts.RESPONSE_CLUSTERS,),
    settings=frozenset(ClusterSettings.model_fields) - {"response_clusters"} | {"prompt_statistic", "seed"},
)
