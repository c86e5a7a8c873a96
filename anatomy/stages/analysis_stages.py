"""Pooled features and scores → clusters and tested hypotheses; no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.clusterings import cluster_features, cluster_rows
from anatomy.errors import RunError
from anatomy.hypotheses.baselines import trivial_baselines
from anatomy.hypotheses.signals import response_signals
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings, ClusterSettings, HypothesisSettings
from anatomy.stages.health_file import write_health


def cluster_stage(run: Run, settings: AuditSettings) -> None:
    """``features/`` → ``clusters.parquet`` (feature → cluster) and ``data_clusters.parquet`` (row → cluster)."""

    def work() -> dict[str, Any]:
        store, statistic = run.features, settings.prompt_statistic
        found = cluster_features(store.shards, store.n_rows, settings, statistic, settings.seed)
        kinds = {"R": found.response_F, "P": found.prompt_F, "S": found.shift_F}
        if not found.response_F.any():
            raise RunError(
                f"{run.path}: no group of features fires together on these {store.n_rows} rows, so there is nothing to "
                "test; give more rows, or lower --min-community"
            )
        columns = [(prefix, feature, label) for prefix, labels in kinds.items()
                   for feature, label in enumerate(labels) if label]  # fmt: skip
        names = {"R": "response", "P": "prompt", "S": "shift"}
        table = {
            "feature": [feature for _, feature, _ in columns],
            "kind": [names[prefix] for prefix, _, _ in columns],
            "cluster": [f"{prefix}{label}" for prefix, _, label in columns],
        }
        rows = cluster_rows(
            response_signals(store.shards(), found.response_F, settings.tau).activity_NM, settings, settings.seed
        )
        artifacts.write_table(run.file(artifacts.CLUSTERS), pa.table(table))
        data = {"row_id": store.row_ids, "cluster": [f"D{label}" for label in rows.label_N], "cosine": rows.cosine_N}
        artifacts.write_table(run.file(artifacts.DATA_CLUSTERS), pa.table(data))
        counts = {f"{names[prefix]}_clusters": int(labels.max(initial=0)) for prefix, labels in kinds.items()}
        counts |= {"data_clusters": int(rows.label_N.max(initial=0)), "silent_rows": int((rows.label_N == 0).sum())}
        return {**found.resolved, **counts}

    depends = {
        "features": run.require("harvest").fingerprint,
        "settings": settings.model_dump(
            mode="json", include=set(ClusterSettings.model_fields) | {"prompt_statistic", "seed"}
        ),
    }
    run.stage("cluster", depends, [artifacts.CLUSTERS, artifacts.DATA_CLUSTERS], work)


def hypotheses_stage(run: Run, settings: AuditSettings) -> None:
    """Clusters → ``hypotheses.parquet`` and the trivial baselines."""

    def work() -> dict[str, Any]:
        signals = run.signals
        found = signals.tested()
        artifacts.write_table(run.file(artifacts.HYPOTHESES), pa.table(found.columns()))
        baselines = trivial_baselines(_response_texts(run), signals.prompts)
        return {
            "baselines": {item.rule: item._asdict() for item in baselines},
            "tested": {view: int((found.view == view).sum()) for view in ("global", "feature", "prompt")},
            "top_rows": signals.top_rows,
        }

    depends = {
        "clusters": [run.output_hash("cluster", name) for name in (artifacts.CLUSTERS, artifacts.DATA_CLUSTERS)],
        "features": run.require("harvest").fingerprint,
        "scores": run.require("scores").fingerprint,
        "settings": settings.model_dump(mode="json", include=set(HypothesisSettings.model_fields) | {"seed"}),
    }
    run.stage("hypotheses", depends, [artifacts.HYPOTHESES], work)
    write_health(run)


def _response_texts(run: Run) -> Iterator[tuple[str, str]]:
    for stored in run.rows():
        yield str(stored.pair.chosen[-1]["content"]), str(stored.pair.rejected[-1]["content"])
