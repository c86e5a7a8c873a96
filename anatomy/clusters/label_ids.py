"""Numbering shared by every clustering, and the stability of clusters: 0 is "none", clusters are 1..M by size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

LEAST_STABILITY = 0.5
"""Response clusters below are left out, prompt and shift clusters are marked."""


def by_size(raw_X: Int[np.ndarray, " X"], min_size: int = 1) -> Int[np.ndarray, " X"]:
    """Renumber ``raw_X`` (negative: unassigned) to 1..M by decreasing size, then by first member; 0 for the rest.

    Groups of fewer than ``min_size`` members are dissolved to 0.
    """
    groups, first, codes, sizes = np.unique(raw_X, return_index=True, return_inverse=True, return_counts=True)
    kept = (groups >= 0) & (sizes >= min_size)
    order = np.lexsort((first, -sizes))
    order = order[kept[order]]
    number = np.zeros(len(groups), dtype=np.int64)
    number[order] = np.arange(1, len(order) + 1)
    return number[codes]


def sizes(labels_X: Int[np.ndarray, " X"]) -> Int[np.ndarray, " M"]:
    """Members of clusters 1..M."""
    return np.bincount(labels_X, minlength=1)[1:]


def membership(labels_F: Int[np.ndarray, " F"]) -> sp.csr_array:
    """A [F, M] indicator of clusters 1..M; label 0 is in none."""
    features = np.flatnonzero(labels_F)
    shape = (len(labels_F), int(labels_F.max(initial=0)))
    return sp.csr_array((np.ones(len(features), np.float32), (features, labels_F[features] - 1)), shape=shape)


def pair_stability(label_X: Int[np.ndarray, " X"], halves: Sequence[Int[np.ndarray, " X"]]) -> Float[np.ndarray, " M"]:
    """For each cluster, the share of its pairs, together on one half of the data, that are on the other half too.

    Σ 2·[together on both halves] / Σ ([on the first] + [on the second]), over pairs of members and pairs of halves.

    Args:
        label_X: the clusters.
        halves: clusterings of halves of the data: the first pair of halves, then the second.
    """
    either_M, both_M = np.zeros(len(sizes(label_X))), np.zeros(len(sizes(label_X)))
    for first_X, second_X in zip(halves[::2], halves[1::2], strict=True):
        either_M += _pairs_inside(label_X, first_X) + _pairs_inside(label_X, second_X)
        joint_X = first_X * (int(second_X.max(initial=0)) + 1) + second_X
        both_M += 2 * _pairs_inside(label_X, np.where((first_X > 0) & (second_X > 0), joint_X, 0))
    return np.asarray(both_M / np.maximum(either_M, 1))


def _pairs_inside(label_X: np.ndarray, other_X: np.ndarray) -> np.ndarray:
    """Pairs of members of each cluster that ``other_X`` has together."""
    inside = (label_X > 0) & (other_X > 0)
    width = int(other_X.max(initial=0)) + 1
    cells, count = np.unique(label_X[inside] * width + other_X[inside], return_counts=True)
    return np.bincount(cells // width - 1, count * (count - 1) / 2, len(sizes(label_X)))
