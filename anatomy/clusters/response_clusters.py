"""Response-feature clusters: features that fire on the same responses (method.md §4; paper, B.1.1).

Every feature is a binary variable "fired on this sample". Over the four joint states of two features,
``nMI(g,h) = MI(g,h) / sqrt(H_g · H_h)``; the strongest share of all pairs become weighted edges, and Leiden finds
communities. Counts are integers of at most ``S``, so every ``n·log n`` comes from one table and no logarithm is taken
per pair. Only the upper triangle is visited, a block of features at a time; nothing dense of shape F × F exists.

Departures and choices: features that fire on no sample or on all have no entropy, so no nMI; they are in no pair.
Pairs that never fire together count as pairs (their nMI may be high). The paper names no Leiden objective; we
maximise weighted modularity, with igraph's own Leiden (leidenalg finds the same modularity in twelve times the time).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from anatomy.clusters.label_ids import by_size, sizes

_PANEL_CELLS = 1 << 23  # pairs counted at once: 32 MiB of float32
_BLOCK_CELLS = 1 << 20  # pairs scored at once: what a processor's cache holds
_DENSE_ABOVE = 0.045  # firing share above which float32 matrix products beat sparse ones (measured, one AVX2 core)


COMMUNITY_SIZE = 80  # the paper's 65,536 features over 814 clusters
RESOLUTIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Graph(NamedTuple):
    """Weighted undirected edges between features; ``source < target``, each pair once."""

    source: Int[np.ndarray, " E"]
    target: Int[np.ndarray, " E"]
    weight: Float[np.ndarray, " E"]
    n_features: int


def cofiring_graph(fires_SF: sp.csr_array, edge_fraction: float = 0.01) -> Graph:
    """The top ``edge_fraction`` of all off-diagonal feature pairs by normalised mutual information.

    Args:
        fires_SF: non-zero where feature f fired on sample s (a response); values are ignored.
        edge_fraction: share of the ``A(A-1)/2`` pairs of the A features that fire on some samples but not on all.

    Returns:
        Edges with nMI in (0, 1], in the numbering of ``fires_SF``. Pairs of zero nMI are never edges.
    """
    n_samples, n_features = fires_SF.shape
    fired = (fires_SF.data != 0).astype(np.float32)
    indicator_SF = sp.csr_array((fired, fires_SF.indices, fires_SF.indptr), shape=fires_SF.shape, copy=True)
    indicator_SF.eliminate_zeros()
    count_F = np.bincount(indicator_SF.indices, minlength=n_features)
    active = np.flatnonzero((count_F > 0) & (count_F < n_samples))
    keep = int(edge_fraction * len(active) * (len(active) - 1) / 2)
    top = _TopPairs(keep)
    if keep:
        table = _n_log_n(n_samples)
        for start, joint in _joint_counts(indicator_SF[:, active]):
            top.add(start, _nmi(joint, count_F[active], start, table))
    source, target, weight = top.result()
    return Graph(active[source], active[target], weight, n_features)


def leiden_communities(
    graph: Graph, seed: int, min_community: int = 4, resolution: float = 1.0
) -> Int[np.ndarray, " F"]:
    """Leiden communities by weighted modularity: labels 1..M by decreasing size.

    0 marks a feature in no community of at least ``min_community`` members; it is a sentinel, never tested. A higher
    ``resolution`` gives more and smaller communities. Nothing of the labels of rows is used.
    """
    import igraph

    edges = np.column_stack([graph.source, graph.target])
    network = igraph.Graph(n=graph.n_features, edges=edges)
    igraph.set_random_number_generator(random.Random(seed))
    partition = network.community_leiden(
        "modularity", weights=graph.weight.tolist(), resolution=resolution, n_iterations=-1
    )
    return by_size(np.asarray(partition.membership, dtype=np.int64), min_community)


def scaled_resolution(graph: Graph, seed: int, min_community: int = 4) -> float:
    """The smallest power of two at which communities hold at most ``COMMUNITY_SIZE`` features on average.

    Plain modularity lumps a graph of few thousand features into a handful of communities (its resolution limit), each
    a mixture of concepts; the paper's graph of 65,536 gave 814.
    """
    for resolution in RESOLUTIONS:
        found = sizes(leiden_communities(graph, seed, min_community, resolution))
        if not len(found) or found.mean() <= COMMUNITY_SIZE:
            return resolution
    return RESOLUTIONS[-1]


def _n_log_n(n: int) -> Float[np.ndarray, " n1"]:
    counts = np.arange(n + 1, dtype=np.float64)
    return counts * np.log(np.maximum(counts, 1))


def _joint_counts(indicator_SF: sp.csr_array) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(start, counts)`` for blocks of features: counts[i, j] = samples on which start+i and start+j fire.

    Columns are cut once for a panel of blocks: cutting a sparse matrix's columns costs as much as multiplying it.
    """
    n_samples, n_features = indicator_SF.shape
    dense = indicator_SF.nnz > _DENSE_ABOVE * n_samples * n_features
    transposed = indicator_SF.T.tocsr()
    panel, block = (max(1, min(1024, cells // n_features)) for cells in (_PANEL_CELLS, _BLOCK_CELLS))
    for start in range(0, n_features, panel):
        left, right = transposed[start : start + panel], indicator_SF[:, start:]
        counts = _dense_product(left, right) if dense else (left @ right).toarray()
        for row in range(0, len(counts), block):
            yield start + row, counts[row : row + block, row:]


def _dense_product(left: sp.csr_array, right: sp.csr_array) -> np.ndarray:
    """``left @ right`` by dense products over samples; float32 counts are exact below 2**24."""
    product = np.zeros((left.shape[0], right.shape[1]), dtype=np.float32)
    by_sample = left.T.tocsr()
    chunk = max(256, _PANEL_CELLS // right.shape[1])
    for start in range(0, right.shape[0], chunk):
        rows = slice(start, start + chunk)
        product += by_sample[rows].toarray().T @ right[rows].toarray()
    return product


def _nmi(joint: np.ndarray, count_F: np.ndarray, start: int, table: np.ndarray) -> np.ndarray:
    """nMI of features ``start..`` (rows) with features ``start..`` (columns), from counts over all four states."""
    n = len(table) - 1
    both = joint.astype(np.int64)
    mine, other = count_F[start : start + len(joint), None], count_F[None, start:]
    entropy_F = table[n] - table[count_F] - table[n - count_F]  # n · H
    information = table[both] + table[mine - both] + table[other - both] + table[n - mine - other + both] - table[n]
    information += entropy_F[start : start + len(joint), None] + entropy_F[None, start:]  # n · MI; method.md §4
    information /= np.sqrt(entropy_F[start : start + len(joint), None] * entropy_F[None, start:])  # method.md §4, nMI
    return np.asarray(information)


class _TopPairs:
    """The ``keep`` heaviest pairs seen, in memory of a few times ``keep``, by a rising threshold."""

    def __init__(self, keep: int) -> None:
        self.keep, self.threshold, self.held = keep, 1e-12, 0  # below 1e-12 is rounding of an nMI of zero
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, start: int, nmi: np.ndarray) -> None:
        above = np.triu(nmi > self.threshold, k=1)
        row, column = np.nonzero(above)
        pairs = ((row + start).astype(np.int32), (column + start).astype(np.int32), nmi[row, column].astype(np.float32))
        self.parts.append(pairs)
        self.held += len(row)
        if self.held > 2 * self.keep:
            self._cut()

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.held > self.keep:
            self._cut()
        if not self.parts:
            return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)
        source, target, weight = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        return source, target, weight

    def _cut(self) -> None:
        source, target, weight = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        least = np.partition(weight, -self.keep)[-self.keep]
        level = np.flatnonzero(weight == least)  # ties: the earlier pair, so that runs agree
        best = weight > least
        best[level[: self.keep - best.sum()]] = True
        self.parts = [(source[best], target[best], weight[best])]
        self.threshold, self.held = float(least), self.keep
