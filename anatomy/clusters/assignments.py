"""Which cluster each feature and each row of a run belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anatomy.artifacts import CLUSTERS
from anatomy.errors import RunError

CLUSTER_COLUMNS = {"feature": "int64", "kind": "string", "cluster": "string"}
"""Columns of ``clusters.parquet``: a line for each feature of a response, prompt or shift cluster."""
DATA_CLUSTER_COLUMNS = {"row_id": "string", "cluster": "string", "cosine": "float"}
"""Columns of ``data_clusters.parquet``: a line for each row."""


CLUSTER = re.compile(r"[RPSD]\d{1,9}", re.ASCII)
ColumnValues = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Clusters:
    """Cluster of each feature (``*_F``) and row (``data_N``), 0 for none; cosine of each row to its own centroid."""

    response_F: Int[np.ndarray, " F"]
    shift_F: Int[np.ndarray, " F"]
    prompt_F: Int[np.ndarray, " F"]
    data_N: Int[np.ndarray, " N"]
    cosine_N: Float[np.ndarray, " N"]

    @classmethod
    def from_columns(cls, features: ColumnValues, rows: ColumnValues, n_features: int) -> Clusters:
        """The clusters in the columns of both tables.

        Raises:
            RunError: they are not clusters of ``n_features`` features.
        """
        labels = {kind: np.zeros(n_features, np.int64) for kind in ("response", "prompt", "shift")}
        for feature, kind, cluster in zip(features["feature"], features["kind"], features["cluster"], strict=True):
            if kind not in labels or not 0 <= feature < n_features:
                raise RunError(f"{CLUSTERS}: not clusters of these features; run the audit again")
            labels[kind][feature] = _number(cluster)
        return cls(
            response_F=labels["response"],
            shift_F=labels["shift"],
            prompt_F=labels["prompt"],
            data_N=np.array([_number(cluster) for cluster in rows["cluster"]], np.int64),
            cosine_N=np.array(rows["cosine"], np.float32),
        )


def _number(cluster: str) -> int:
    if not CLUSTER.fullmatch(cluster):
        raise RunError(f"{cluster[:20]!r} is no cluster; run the audit again")
    return int(cluster[1:])
