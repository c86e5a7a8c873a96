"""A tree over data clusters: the smallest are merged until each has enough prompts, and coarser levels hold several.

Clusters are merged by what the merge costs: the sum of the cosines of rows to their centroid is ``Σ_k ‖S_k‖``, with
``S_k`` the sum of the unit rows of cluster k, so a merge of a and b costs ``‖S_a‖ + ‖S_b‖ − ‖S_a + S_b‖``. It is what
spherical k-means maximises, so each level is a clustering of the same kind (Ward's method for directions).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from anatomy.clusters.label_ids import by_size
from anatomy.clusters.row_clusters import sums, unit


def enlarged(
    s_NM: Float[np.ndarray, "N M"], label_N: Int[np.ndarray, " N"], weight_N: Float[np.ndarray, " N"], least: float
) -> Int[np.ndarray, " N"]:
    """Labels after each cluster of less weight than ``least`` was merged, the lightest first, where that costs least.

    It is merged with another such cluster if there is one, so that large clusters do not collect what is left.

    Args:
        s_NM: symmetric activity of the rows (any unit).
        label_N: 0 for none, 1..K.
        weight_N: of each row: one over the rows of its prompt, so that a cluster weighs as much as it has prompts.
        least: two clusters stay in any case.
    """
    merging = _Merging(s_NM, label_N)
    weight_K = np.bincount(label_N, weight_N, minlength=len(merging.gram_KK) + 1)[1:]
    while merging.alive.sum() > 2:
        lightest = int(np.argmin(np.where(merging.alive, weight_K, np.inf)))
        if weight_K[lightest] >= least:
            break
        cost_K, small_K = merging.costs(lightest), weight_K < least
        small_K[lightest] = False
        partner = int(np.argmin(np.where(small_K, cost_K, np.inf) if (small_K & merging.alive).any() else cost_K))
        merging.merge(partner, lightest)
        weight_K[partner] += weight_K[lightest]
    return by_size(np.where(label_N > 0, merging.group_K[label_N - 1], -1))


def coarser(
    s_NM: Float[np.ndarray, "N M"], label_N: Int[np.ndarray, " N"], wanted: Sequence[int]
) -> Int[np.ndarray, "L N"]:
    """Labels of coarser levels with ``wanted`` clusters each (decreasing), each a union of those before.

    Numbers follow those of ``label_N`` and of the level before, by decreasing size; 0 stays 0. A level of fewer
    than two clusters, or with no fewer than the one before, is left out.
    """
    merging, levels = _Merging(s_NM, label_N), []
    last = int(label_N.max(initial=0))
    for k in wanted:
        if not 2 <= k < merging.alive.sum():
            continue
        while merging.alive.sum() > k:
            merging.merge(*merging.cheapest())
        level_N = by_size(np.where(label_N > 0, merging.group_K[label_N - 1], -1))
        levels.append(np.where(level_N > 0, level_N + last, 0))
        last += k
    return np.stack(levels) if levels else np.zeros((0, len(label_N)), np.int64)


class _Merging:
    """Clusters 0..K-1 that are merged into each other: ``group_K`` is the one that each is part of now."""

    def __init__(self, s_NM: np.ndarray, label_N: np.ndarray) -> None:
        sum_KM = sums(unit(s_NM), label_N)[1:].astype(np.float64)
        self.gram_KK = sum_KM @ sum_KM.T
        self.alive = np.diag(self.gram_KK) > 0
        self.group_K = np.arange(len(sum_KM))

    def costs(self, one: int) -> np.ndarray:
        """What it costs to merge ``one`` with each other cluster; infinite with itself and with what is merged."""
        return np.asarray(self._costs(np.array([one]))[0])

    def cheapest(self) -> tuple[int, int]:
        """The two clusters that cost least to merge."""
        cost_KK = self._costs(np.arange(len(self.group_K)))
        one, other = np.unravel_index(int(np.argmin(cost_KK)), cost_KK.shape)
        return int(one), int(other)

    def merge(self, into: int, gone: int) -> None:
        """Make one cluster of two."""
        self.gram_KK[into] += self.gram_KK[gone]
        self.gram_KK[:, into] += self.gram_KK[:, gone]
        self.alive[gone] = False
        self.group_K[self.group_K == gone] = into

    def _costs(self, some: np.ndarray) -> np.ndarray:
        square_K = np.diag(self.gram_KK)
        norm_K = np.sqrt(np.maximum(square_K, 0))
        together = square_K[some, None] + square_K + 2 * self.gram_KK[some]
        cost = norm_K[some, None] + norm_K - np.sqrt(np.maximum(together, 0))
        barred = ~self.alive[some, None] | ~self.alive | (some[:, None] == np.arange(len(norm_K)))
        return np.where(barred, np.inf, cost)
