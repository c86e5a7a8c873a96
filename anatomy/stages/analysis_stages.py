"""Pooled features and scores → clusters and tested hypotheses; no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.clusters.clusterings import cluster_features, cluster_rows
from anatomy.concepts.scores import read_scores
from anatomy.data.rows_table import read_rows
from anatomy.errors import RunError
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.baselines import trivial_baselines
from anatomy.hypotheses.signals import response_signals
from anatomy.hypotheses.testing import Signals, read_signals
from anatomy.hypotheses.views import Responses
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings, ClusterSettings, HypothesisSettings
from anatomy.stages.health_file import write_health


def cluster_stage(run: Run, settings: AuditSettings, store: FeatureStore) -> None:
    """``features/`` → ``clusters.parquet`` (feature → cluster) and ``data_clusters.parquet`` (row → cluster)."""

    def work() -> dict[str, Any]:
        statistic = settings.prompt_statistic
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
        "features": run.require("harvest")["fingerprint"],
        "settings": settings.model_dump(
            mode="json", include=set(ClusterSettings.model_fields) | {"prompt_statistic", "seed"}
        ),
    }
    run.stage("cluster", depends, [artifacts.CLUSTERS, artifacts.DATA_CLUSTERS], work)


def read_clusters(run: Run, store: FeatureStore) -> Clusters:
    """The clusterings of a run as arrays of numbers."""
    table = artifacts.read_table(run.file(artifacts.CLUSTERS)).to_pydict()
    labels = {kind: np.zeros(store.n_features, np.int64) for kind in ("response", "prompt", "shift")}
    for feature, kind, cluster in zip(table["feature"], table["kind"], table["cluster"], strict=True):
        labels[kind][feature] = int(cluster[1:])
    data = artifacts.read_table(run.file(artifacts.DATA_CLUSTERS)).to_pydict()
    if data["row_id"] != list(store.row_ids):
        raise RunError(f"{run.path}: data clusters and features are of different rows; run `anatomy cluster` again")
    return Clusters(
        response_F=labels["response"],
        shift_F=labels["shift"],
        prompt_F=labels["prompt"],
        data_N=np.array([int(cluster[1:]) for cluster in data["cluster"]], np.int64),
        cosine_N=np.array(data["cosine"], np.float32),
    )


def concept_responses(run: Run, store: FeatureStore) -> Responses:
    """Standardised chosen-minus-rejected scores of the run's concepts, one column each (none: no columns)."""
    names = list(run.require("scores")["facts"]["concepts"])
    columns = []
    for name in names:
        scores = read_scores(run.file(artifacts.SCORES) / name)
        if scores.row_ids != list(store.row_ids):
            raise RunError(f"{run.path}: scores of `{name}` and features are of different rows; run the audit again")
        columns.append(scores.standardised_difference())
    return Responses(np.stack(columns, axis=1) if columns else np.zeros((store.n_rows, 0)), names)


def run_signals(run: Run, settings: AuditSettings, store: FeatureStore) -> Signals:
    """Signals of every row: clusters', and those of the concepts that were scored."""
    return read_signals(store, read_clusters(run, store), settings, concept_responses(run, store))


def hypotheses_stage(run: Run, settings: AuditSettings, store: FeatureStore) -> Signals:
    """Clusters → ``hypotheses.parquet`` and the trivial baselines; returns the signals of every row."""
    signals = run_signals(run, settings, store)

    def work() -> dict[str, Any]:
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
        "features": run.require("harvest")["fingerprint"],
        "scores": run.require("scores")["fingerprint"],
        "settings": settings.model_dump(mode="json", include=set(HypothesisSettings.model_fields) | {"seed"}),
    }
    run.stage("hypotheses", depends, [artifacts.HYPOTHESES], work)
    write_health(run)
    return signals


def _response_texts(run: Run) -> Iterator[tuple[str, str]]:
    for stored in read_rows(run.file(artifacts.ROWS)):
        yield str(stored.pair.chosen[-1]["content"]), str(stored.pair.rejected[-1]["content"])
