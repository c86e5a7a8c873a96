"""Which features are strong on the same responses: correlations on several halves of the prompts, from one pass.

The strength of a feature on a response is its maximum there. Prompts fall into ``BLOCKS`` random blocks; products are
counted once for each block, and a half of the prompts is the sum of half of the blocks. Only the upper triangle is
visited, a panel of features at a time; nothing dense of shape F × F exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

BLOCKS = 6
"""Blocks of prompts; they make ten pairs of halves without a common prompt."""
NULL_FEATURES = 512
NULL_SHARE = 1e-4
EDGES_EACH = 20
_PANEL_CELLS = 1 << 26  # products counted at once over all blocks: 256 MiB of float32
_BLOCK_CELLS = 1 << 20  # pairs judged at once: what a processor's cache holds
_CHUNK_CELLS = 1 << 23
_DENSE_ABOVE = 0.045  # firing share above which float32 matrix products beat sparse ones (measured, one AVX2 core)


class Activity(NamedTuple):
    """How strongly each feature fires on S responses, and the prompt of each response."""

    strength_SF: sp.csr_array
    prompt_S: Int[np.ndarray, " S"]


class Graph(NamedTuple):
    """Weighted undirected edges between features; ``source < target``, each pair once."""

    source: Int[np.ndarray, " E"]
    target: Int[np.ndarray, " E"]
    weight: Float[np.ndarray, " E"]
    n_features: int


def frequent_features(activity: Activity, min_prompts: int) -> Int[np.ndarray, " A"]:
    """Features that fire under at least ``min_prompts`` prompts; of others no correlation is known."""
    rows, features = activity.strength_SF.nonzero()
    width = activity.strength_SF.shape[1]
    seen = np.unique(activity.prompt_S[rows].astype(np.int64) * width + features)
    return np.flatnonzero(np.bincount(seen % width, minlength=width) >= min_prompts)


def halves_of(blocks: int = BLOCKS) -> Bool[np.ndarray, "H K"]:
    """All halves of the blocks; two that stand behind one another have no block in common."""
    first = [half for half in combinations(range(blocks), blocks // 2) if 0 in half]
    inside = np.zeros((2 * len(first), blocks), bool)
    for place, half in enumerate(first):
        inside[2 * place, list(half)] = True
        inside[2 * place + 1] = ~inside[2 * place]
    return inside


def blocks_of_prompts(prompt_S: Int[np.ndarray, " S"], generator: np.random.Generator) -> Int[np.ndarray, " S"]:
    """A random block for each prompt, as even as can be; responses to a prompt stay together."""
    known, place_S = np.unique(prompt_S, return_inverse=True)
    return (generator.permutation(len(known)) % BLOCKS)[place_S]


def half_graphs(
    activity: Activity,
    features: Int[np.ndarray, " A"],
    block_S: Int[np.ndarray, " S"],
    halves_HK: Bool[np.ndarray, "H K"],
    least: float,
    fraction: float,
) -> list[Graph]:
    """For each half of the prompts, the pairs of ``features`` whose correlation is above ``least``.

    Args:
        features: ascending; edges name features by their numbers among all.
        block_S: block of each response.
        halves_HK: which blocks make up each half.
        fraction: of all pairs, at most this share is kept in each half, the strongest; 20 for each feature in any case.
    """
    order = np.argsort(block_S, kind="stable")
    bounds = np.searchsorted(block_S[order], np.arange(halves_HK.shape[1] + 1))
    strength_SA = sp.csr_array(activity.strength_SF[order][:, features].astype(np.float32))
    halves = [_Half.of(strength_SA, bounds, inside_K) for inside_K in halves_HK]
    keep = max(int(fraction * len(features) * (len(features) - 1) / 2), EDGES_EACH * len(features))
    tops = [_TopPairs(keep, least) for _ in halves]
    for start, products_KPA in _block_products(strength_SA, bounds) if keep else ():
        for half, inside_K, top in zip(halves, halves_HK, tops, strict=True):
            for place, correlation in half.correlations(products_KPA[inside_K], start):
                top.add(place, correlation)
    edges = [top.result() for top in tops]
    return [
        Graph(features[source], features[target], weight, activity.strength_SF.shape[1])
        for source, target, weight in edges
    ]


def chance_correlation(
    activity: Activity,
    features: Int[np.ndarray, " A"],
    inside_S: Bool[np.ndarray, " S"],
    generator: np.random.Generator,
) -> float:
    """The correlation above which one in 10,000 pairs is, of up to 512 features that have nothing in common.

    The prompts are put into another random order for each feature, and its strengths move with them: its rate and its
    dependence within prompts stay, what it shares with other features goes.
    """
    chosen = np.sort(generator.permutation(features)[:NULL_FEATURES])
    inside = np.flatnonzero(inside_S)
    part = Activity(activity.strength_SF[inside][:, chosen], activity.prompt_S[inside])
    moved = shuffled(part, generator)
    residual_SA = moved.strength_SF.toarray().astype(np.float32)
    residual_SA -= residual_SA.mean(axis=0)
    norm_A = np.linalg.norm(residual_SA, axis=0)
    residual_SA /= np.where(norm_A > 0, norm_A, np.inf)
    pairs = (residual_SA.T @ residual_SA)[np.triu_indices(len(chosen), k=1)]
    return float(np.quantile(pairs, 1 - NULL_SHARE)) if len(pairs) else 0.0


def shuffled(activity: Activity, generator: np.random.Generator) -> Activity:
    """The same responses, ordered by prompt, with the strengths of each feature moved as in a chance correlation."""
    order_S = np.argsort(activity.prompt_S, kind="stable")
    prompts, prompt_S = np.unique(activity.prompt_S[order_S], return_inverse=True)
    strength = sp.csc_array(activity.strength_SF[order_S])
    place_S = np.empty(len(order_S), np.int64)
    rows = strength.indices.copy()
    for start, stop in pairwise(strength.indptr):
        place_S[np.argsort(generator.permutation(len(prompts))[prompt_S], kind="stable")] = np.arange(len(order_S))
        rows[start:stop] = place_S[strength.indices[start:stop]]
    moved_SF = sp.csr_array(sp.csc_array((strength.data, rows, strength.indptr), shape=strength.shape))
    return Activity(moved_SF, activity.prompt_S[order_S])


class _Half(NamedTuple):
    """What a half's correlations need beside its products: each feature's sum over √S, and its deviation times √S."""

    part_A: np.ndarray
    deviation_A: np.ndarray

    @classmethod
    def of(cls, strength_SA: sp.csr_array, bounds: np.ndarray, inside_K: np.ndarray) -> _Half:
        mine_SA = strength_SA[np.repeat(inside_K, np.diff(bounds))]
        values, width = mine_SA.data.astype(np.float64), mine_SA.shape[1]
        part_A = np.bincount(mine_SA.indices, values, width) / np.sqrt(max(mine_SA.shape[0], 1))
        square_A = np.bincount(mine_SA.indices, values**2, width)
        variance_A = square_A - part_A**2
        steady_A = variance_A <= 1e-6 * square_A  # rounding is left
        return cls(part_A.astype(np.float32), np.where(steady_A, np.inf, np.sqrt(np.maximum(variance_A, 0))))

    def correlations(self, products_KPA: np.ndarray, start: int) -> Iterator[tuple[int, np.ndarray]]:
        """Correlations of features ``start..`` (rows) with features ``start..`` (columns), some rows at a time."""
        _, n_rows, n_columns = products_KPA.shape
        deviation_A = self.deviation_A[start:].astype(np.float32)
        step = max(1, _BLOCK_CELLS // n_columns)
        for row in range(0, n_rows, step):
            rows = slice(row, min(row + step, n_rows))
            found = products_KPA[:, rows, row:].sum(axis=0)
            mine = slice(start + row, start + rows.stop)
            found -= self.part_A[mine, None] * self.part_A[start + row :]
            found /= deviation_A[row:]
            found /= deviation_A[rows, None]
            yield start + row, found


def _block_products(strength_SA: sp.csr_array, bounds: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``(start, products)`` for panels of features: products[k, i, j] = Σ over block k of start+i times start+j.

    Columns are cut once for a panel: cutting a sparse matrix's columns costs as much as multiplying it.
    """
    n_samples, n_features = strength_SA.shape
    dense = strength_SA.nnz > _DENSE_ABOVE * n_samples * n_features
    blocks = [slice(*ends) for ends in pairwise(bounds)]
    panel = max(1, min(1024, _PANEL_CELLS // (n_features * len(blocks))))
    for start in range(0, n_features, panel):
        right = strength_SA[:, start:]
        width = min(panel, n_features - start)
        yield start, np.stack([(_dense_product if dense else _sparse_product)(right[rows], width) for rows in blocks])


def _sparse_product(right: sp.csr_array, width: int) -> np.ndarray:
    return np.asarray((right[:, :width].T.tocsr() @ right).toarray())


def _dense_product(right: sp.csr_array, width: int) -> np.ndarray:
    product = np.zeros((width, right.shape[1]), dtype=np.float32)
    chunk = max(256, _CHUNK_CELLS // right.shape[1])
    for start in range(0, right.shape[0], chunk):
        values = right[start : start + chunk].toarray()
        product += values[:, :width].T @ values
    return product


class _TopPairs:
    """The ``keep`` heaviest pairs above ``least``, in memory of a few times ``keep``, by a rising threshold."""

    def __init__(self, keep: int, least: float) -> None:
        self.keep, self.threshold, self.held = keep, least, 0
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, start: int, weight: np.ndarray) -> None:
        row, column = np.nonzero(np.triu(weight > self.threshold, k=1))
        pairs = ((row + start).astype(np.int32), (column + start).astype(np.int32), weight[row, column])
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
