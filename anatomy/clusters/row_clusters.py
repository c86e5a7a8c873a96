"""Data clusters: rows that express the same concepts on either side (method.md §5).

Rows are clustered on the symmetric activity ``s`` (chosen plus rejected), so that testing the signed disparity ``u``
inside a cluster is not circular. Each centroid is the unit-length mean direction of its rows (spherical k-means); of
several random starts the one of largest mean cosine counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from sklearn.cluster import kmeans_plusplus

from anatomy.clusters.label_ids import by_size

STARTS, START_ROWS = 10, 20_000
"""Starts of k-means, and the rows on which they are compared; the best one continues with all rows."""


def silent_rows(s_NM: Float[np.ndarray, "N M"], fraction: float = 0.05) -> Bool[np.ndarray, " N"]:
    """Rows of the silent bucket: the ``fraction`` with the smallest ``‖s_i‖₂``, and any row without activity at all."""
    norm_N = np.linalg.norm(s_NM, axis=1)
    silent_N = norm_N == 0
    silent_N[np.argsort(norm_N, kind="stable")[: int(fraction * len(norm_N))]] = True
    return np.asarray(silent_N)


def spherical_kmeans(
    s_NM: Float[np.ndarray, "N M"],
    k: int,
    seed: int,
    silent_N: Bool[np.ndarray, " N"] | None = None,
    gain: float = 5e-4,
) -> Int[np.ndarray, " N"]:
    """Labels of rows: 0 for the silent bucket, 1..K by decreasing size for the others.

    Args:
        s_NM: symmetric activity, ≥ 0 (any unit; rows are normalised here).
        k: clusters; lowered to the number of active rows where those are fewer.
        seed: of the k-means++ starts.
        silent_N: from :func:`silent_rows`; default: only the rows without activity.
        gain: it stops when a step raises the mean cosine to the centroids by no more than this share of it.
    """
    silent_N = silent_rows(s_NM, 0.0) if silent_N is None else silent_N
    raw_N = np.full(len(s_NM), -1, dtype=np.int64)
    unit_NM = unit(s_NM[~silent_N].astype(np.float32))
    if len(unit_NM):
        raw_N[~silent_N] = _assign(unit_NM, min(k, len(unit_NM)), np.random.default_rng(seed), gain)
    return by_size(raw_N)


def centroids(s_NM: Float[np.ndarray, "N M"], label_N: Int[np.ndarray, " N"]) -> Float[np.ndarray, "K M"]:
    """Unit-length mean direction of the rows of each label 0..K."""
    return unit(sums(unit(s_NM), label_N))


def sums(values_NM: Float[np.ndarray, "N M"], label_N: Int[np.ndarray, " N"]) -> Float[np.ndarray, "K M"]:
    """Sums of the rows of each label 0..K."""
    return np.asarray(_indicator(label_N, int(label_N.max(initial=0)) + 1) @ values_NM)


def nearest(
    s_XM: Float[np.ndarray, "X M"], centre_KM: Float[np.ndarray, "K M"], silent_norm: float
) -> Int[np.ndarray, " X"]:
    """Label of new rows by :func:`centroids` of labels 0..K-1: the one above 0 of largest cosine.

    0 where ``‖s‖₂ ≤ silent_norm`` or nothing fires.
    """
    norm_X = np.linalg.norm(s_XM, axis=1)
    label_X = (unit(s_XM) @ centre_KM[1:].T).argmax(axis=1) + 1
    return np.where((norm_X <= silent_norm) | (norm_X == 0), 0, label_X)


def _assign(unit_NM: np.ndarray, k: int, generator: np.random.Generator, gain: float) -> np.ndarray:
    few = len(unit_NM) <= START_ROWS
    sample = unit_NM if few else unit_NM[np.sort(generator.choice(len(unit_NM), START_ROWS, replace=False))]
    found = [_from_start(sample, k, generator, gain) for _ in range(STARTS)]
    best = max(found, key=lambda one: one.fit)
    return best.label_N if few else _settled(unit_NM, best.centroid_KM, gain).label_N


class _Settled(NamedTuple):
    """Labels, the centroids that gave them, and the mean cosine of rows to these."""

    label_N: np.ndarray
    centroid_KM: np.ndarray
    fit: float


def _from_start(unit_NM: np.ndarray, k: int, generator: np.random.Generator, gain: float) -> _Settled:
    start = generator.choice(len(unit_NM), min(len(unit_NM), 10 * k), replace=False)
    centroid_KM, _ = kmeans_plusplus(unit_NM[start], k, random_state=int(generator.integers(2**31)))
    return _settled(unit_NM, centroid_KM, gain)


def _settled(unit_NM: np.ndarray, centroid_KM: np.ndarray, gain: float) -> _Settled:
    k, fit = len(centroid_KM), -np.inf
    while True:
        cosine_NK = unit_NM @ centroid_KM.T
        labels_N, best_N = cosine_NK.argmax(axis=1), cosine_NK.max(axis=1)
        _refill(labels_N, best_N, k)
        last, fit = fit, float(best_N.mean(dtype=np.float64))
        if fit - last <= gain * fit:
            return _Settled(np.asarray(labels_N), centroid_KM, fit)
        centroid_KM = unit(_indicator(labels_N, k) @ unit_NM)


def _refill(labels_N: np.ndarray, cosine_N: np.ndarray, k: int) -> None:
    """Give each empty cluster the worst-placed row of a cluster that keeps another (in place)."""
    size_K = np.bincount(labels_N, minlength=k)
    worst = iter(np.argsort(cosine_N, kind="stable"))
    for empty in np.flatnonzero(size_K == 0):
        row = next(row for row in worst if size_K[labels_N[row]] > 1)
        size_K[labels_N[row]] -= 1
        labels_N[row] = empty


def _indicator(labels_N: np.ndarray, k: int) -> sp.csr_array:
    rows = np.arange(len(labels_N))
    return sp.csr_array((np.ones(len(rows), np.float32), (labels_N, rows)), shape=(k, len(rows)))


def unit(rows: Float[np.ndarray, "X M"]) -> Float[np.ndarray, "X M"]:
    """Each row scaled to length 1; a row of zeros stays zero."""
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norm, np.finfo(np.float32).tiny))
