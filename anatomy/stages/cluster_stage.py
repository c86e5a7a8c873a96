"""Clusters: pooled features are grouped by what fires together, and rows by what fires in them."""

from __future__ import annotations

import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.clusterings import cluster_features, cluster_rows
from anatomy.errors import RunError
from anatomy.hypotheses.signals import response_signals
from anatomy.runs.stage_facts import ClusterFacts
from anatomy.settings import ClusterSettings
from anatomy.stages.stage import Audit, Stage
from anatomy.statistics.prompts import Prompts

KINDS = {"R": "response", "P": "prompt", "S": "shift"}


def _work(audit: Audit) -> ClusterFacts:
    """Write both clusterings; raise :class:`RunError` if no group of features fires together."""
    run, settings, store = audit.run, audit.settings, audit.run.features
    found = cluster_features(store.shards, store.n_rows, settings, settings.prompt_statistic, settings.seed)
    if not found.response_F.any():
        raise RunError(
            f"{run.path}: no group of features fires together on these {store.n_rows} rows, so there is nothing to "
            "test; give more rows, or lower --min-community"
        )
    kinds = {"R": found.response_F, "P": found.prompt_F, "S": found.shift_F}
    lines = [(prefix, feature, label) for prefix, labels_F in kinds.items() for feature, label in enumerate(labels_F)]
    lines = [line for line in lines if line[2]]
    table = {
        "feature": [feature for _, feature, _ in lines],
        "kind": [KINDS[prefix] for prefix, _, _ in lines],
        "cluster": [f"{prefix}{label}" for prefix, _, label in lines],
    }
    activity_NM = response_signals(store.shards(), found.response_F, settings.tau).activity_NM
    rows = cluster_rows(activity_NM, Prompts.from_ids(store.prompt_ids), settings, settings.seed)
    data = pa.table(
        {
            "row_id": store.row_ids,
            "cluster": [f"D{label}" for label in rows.label_N],
            "coarser": pa.array([[f"D{label}" for label in row] for row in rows.coarser_LN.T], pa.list_(pa.string())),
            "cosine": rows.cosine_N,
        }
    )
    artifacts.write_table(run.file(artifacts.CLUSTERS), pa.table(table))
    artifacts.write_table(run.file(artifacts.DATA_CLUSTERS), data)
    counts = {f"{KINDS[prefix]}_clusters": int(labels_F.max(initial=0)) for prefix, labels_F in kinds.items()}
    counts |= {"data_clusters": int(rows.label_N.max(initial=0)), "silent_rows": int((rows.label_N == 0).sum())}
    counts |= {"data_levels": 1 + len(rows.coarser_LN), "context_prompts": rows.context_prompts}
    return ClusterFacts.model_validate({**found.resolved, **counts})


CLUSTER_STAGE = Stage(
    name="cluster",
    work=_work,
    outputs=(artifacts.CLUSTERS, artifacts.DATA_CLUSTERS),
    inputs=(artifacts.FEATURES,),
    settings=frozenset(ClusterSettings.model_fields) | {"prompt_statistic", "seed"},
)
