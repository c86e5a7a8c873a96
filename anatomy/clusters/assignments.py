"""Which cluster each feature and each row of a run belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy.artifacts import CLUSTERS, DATA_CLUSTERS
from anatomy.errors import RunError

CLUSTER_COLUMNS = {"feature": "int64", "kind": "string", "cluster": "string", "stability": "double"}
"""Columns of ``clusters.parquet``: a line for each feature of a response, prompt or shift cluster.

``stability`` is the cluster's: the share of its pairs of features, found together on one half of the prompts, that are
found together on the other half too, 0 to 1.
"""
DATA_CLUSTER_COLUMNS = {"row_id": "string", "cluster": "string", "coarser": "list<string>", "cosine": "float"}
"""Columns of ``data_clusters.parquet``: a line for each row; ``coarser`` are the clusters that hold its own, the
smallest first.
"""


CLUSTER = re.compile(r"[RPSD]\d{1,9}", re.ASCII)
ColumnValues = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Clusters:
    """Cluster of each feature (``*_F``) and row (``data_N``), 0 for none; cosine of each row to its own centroid.

    ``coarser_LN`` has the cluster of each row at coarser levels, the finest of them first; each is a union of clusters
    of the level before. Numbers of data clusters are distinct over all levels.
    ``stability`` of clusters of features by their ids, 0 to 1.
    """

    response_F: Int[np.ndarray, " F"]
    shift_F: Int[np.ndarray, " F"]
    prompt_F: Int[np.ndarray, " F"]
    data_N: Int[np.ndarray, " N"]
    cosine_N: Float[np.ndarray, " N"]
    coarser_LN: Int[np.ndarray, "L N"] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    stability: Mapping[str, float] = field(default_factory=dict)

    @property
    def data_levels(self) -> list[Int[np.ndarray, " N"]]:
        """The data cluster of each row at every level, the finest first."""
        return [self.data_N, *self.coarser_LN]

    @property
    def prompt_view(self) -> tuple[int, int]:
        """How many shift clusters there are, and how many prompt clusters."""
        return int(self.shift_F.max(initial=0)), int(self.prompt_F.max(initial=0))

    def rows_of(self, number: int) -> Bool[np.ndarray, " N"]:
        """Which rows are in data cluster ``number`` (above 0), whatever its level."""
        return np.asarray(np.any([level_N == number for level_N in self.data_levels], axis=0))

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
        stability = dict(zip(features["cluster"], features["stability"], strict=True))
        if not all(0 <= value <= 1 for value in stability.values()):
            raise RunError(f"{CLUSTERS}: a stability that is not between 0 and 1; run the audit again")
        return cls(
            response_F=labels["response"],
            shift_F=labels["shift"],
            prompt_F=labels["prompt"],
            data_N=np.array([_number(cluster) for cluster in rows["cluster"]], np.int64),
            cosine_N=np.array(rows["cosine"], np.float32),
            coarser_LN=_levels(rows["coarser"]),
            stability=stability,
        )


def _levels(coarser: Sequence[Sequence[str]]) -> Int[np.ndarray, "L N"]:
    depths = {len(clusters) for clusters in coarser}
    if len(depths) > 1:
        raise RunError(f"{DATA_CLUSTERS}: rows have clusters of different numbers of levels; run the audit again")
    numbers = [[_number(cluster) for cluster in clusters] for clusters in coarser]
    return np.array(numbers, np.int64).reshape(len(numbers), -1 if numbers else 0).T


def _number(cluster: str) -> int:
    if not CLUSTER.fullmatch(cluster):
        raise RunError(f"{cluster[:20]!r} is no cluster; run the audit again")
    return int(cluster[1:])
