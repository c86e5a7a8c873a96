"""The spans and tokens that show what a cluster is about, drawn from the pooled features.

A shard says for each span and feature its greatest activation and the token where it was reached. Summed over the
features of a cluster, that gives *hits*: the tokens of a span at which the cluster is strongest. Only sampled rows are
read, one shard at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

HITS_PER_SPAN = 3
"""Positions kept for one cluster in one span."""
PER_PROMPT = 2
"""Exemplars of a cluster that may share a prompt."""


class SpanShard(Protocol):
    """A block of consecutive rows of the feature store."""

    def matrix(self, span: str, statistic: str) -> Any:
        """CSR array [rows of the shard, F]: ``freq``, ``max``, or ``at`` (position of the maximum, plus one)."""
        ...


class Hits(NamedTuple):
    """Per hit: span (position in the sample), cluster (> 0), token position in the span, summed activation."""

    span: Int[np.ndarray, " H"]
    cluster: Int[np.ndarray, " H"]
    position: Int[np.ndarray, " H"]
    value: Float[np.ndarray, " H"]

    def of(self, spans_S: Bool[np.ndarray, " S"]) -> Hits:
        """The hits in some of the spans."""
        return Hits(*(part[spans_S[self.span]] for part in self))


class Spans(NamedTuple):
    """S sampled spans: their rows, their sides, each cluster's activity (column 0 is for no cluster), the hits.

    Activity is the sum over the cluster's features of the share of the span's tokens on which they fire.
    """

    row_S: Int[np.ndarray, " S"]
    side_S: Sequence[str]
    activity_SM: Float[np.ndarray, "S M"]
    hits: Hits


Assign = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(rows, features) → the cluster each of these activations counts for; 0 = none."""


def by_feature(labels_F: Int[np.ndarray, " F"]) -> Assign:
    """Activations count for the cluster of their feature."""
    return lambda _, feature_E: labels_F[feature_E]


def blocks(
    shards: Iterable[SpanShard], rows: Int[np.ndarray, " R"], span: str
) -> Iterator[tuple[SpanShard, np.ndarray, np.ndarray]]:
    """For each shard that holds some of the ascending ``rows``: the shard, these rows, and where they are in it."""
    start = 0
    for shard in shards:
        stop = start + shard.matrix(span, "freq").shape[0]
        inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
        if inside.size:
            yield shard, inside, inside - start
        start = stop


def gather(
    shards: Callable[[], Iterable[SpanShard]],
    rows: Int[np.ndarray, " R"],
    sides: Sequence[str],
    assign: Assign,
    n_clusters: int,
) -> Spans:
    """Read the ``sides`` of ascending ``rows``: activity of clusters 0 … ``n_clusters`` and their hits.

    Memory: one shard, plus sampled spans × clusters.
    """
    side_S: list[str] = []
    row_parts, activity, hits = [], [], []
    for side in sides:
        for shard, inside, local in blocks(shards(), rows, side):
            frequency = shard.matrix(side, "freq")[local].tocoo()
            cluster_E = assign(inside[frequency.row], frequency.col)
            shape = (inside.size, n_clusters + 1)
            summed = sparse.coo_array((frequency.data, (frequency.row, cluster_E)), shape=shape)
            activity.append(summed.toarray().astype(np.float32))
            found = _shard_hits(shard.matrix(side, "max")[local], shard.matrix(side, "at")[local], inside, assign)
            hits.append(found._replace(span=found.span + len(side_S)))
            row_parts.append(inside)
            side_S += [side] * inside.size
    if not row_parts:
        nothing = np.zeros(0, np.int64)
        return Spans(
            nothing, [], np.zeros((0, n_clusters + 1), np.float32), Hits(nothing, nothing, nothing, np.zeros(0))
        )
    joined = Hits(*(np.concatenate(part) for part in zip(*hits, strict=True)))
    return Spans(np.concatenate(row_parts), side_S, np.concatenate(activity), joined)


def _shard_hits(maximum: Any, at: Any, rows: np.ndarray, assign: Assign) -> Hits:
    """Per span and cluster, the positions at which the features' maxima sum to most."""
    maximum, at = maximum.tocsr(), at.tocsr()
    maximum.sort_indices()
    at.sort_indices()
    maximum, at = maximum.tocoo(), at.tocoo()
    if not np.array_equal(maximum.col, at.col) or not np.array_equal(maximum.row, at.row):
        raise ValueError("`max` and `at` of one span differ in which features fire")
    cluster_E = assign(rows[maximum.row], maximum.col)
    keep_E = cluster_E > 0
    position_E = at.data[keep_E].astype(np.int64) - 1
    dims = (len(rows), int(cluster_E.max(initial=0)) + 1, int(position_E.max(initial=0)) + 1)
    key_E = np.ravel_multi_index((maximum.row[keep_E], cluster_E[keep_E], position_E), dims)
    key_H, group_E = np.unique(key_E, return_inverse=True)
    value_H = np.bincount(group_E, weights=maximum.data[keep_E], minlength=key_H.size)
    span_H, cluster_H, position_H = np.unravel_index(key_H, dims)
    return _strongest(Hits(span_H, cluster_H, position_H, value_H))


def _strongest(hits: Hits) -> Hits:
    """The ``HITS_PER_SPAN`` largest of each span and cluster, strongest first; ties go to the earlier token."""
    order = np.lexsort((hits.position, -hits.value, hits.cluster, hits.span))
    span, cluster = hits.span[order], hits.cluster[order]
    first = np.ones(order.size, bool)
    first[1:] = (span[1:] != span[:-1]) | (cluster[1:] != cluster[:-1])
    start = np.flatnonzero(first)
    rank = np.arange(order.size) - np.repeat(start, np.diff(np.append(start, order.size)))
    return Hits(*(part[order[rank < HITS_PER_SPAN]] for part in hits))


def choose(
    score_S: Float[np.ndarray, " S"], prompt_S: Sequence[str], nearest: int, random: int, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Positions of the ``nearest`` highest scores > 0 and of ``random`` others with a score > 0.

    At most two of all chosen share a prompt; ties in score go to the earlier span.
    """
    used: dict[str, int] = {}
    firing = np.flatnonzero(score_S > 0)
    best = _take(firing[np.argsort(-score_S[firing], kind="stable")], prompt_S, nearest, used)
    others = np.setdiff1d(firing, best)
    return best, sorted(_take(rng.permutation(others), prompt_S, random, used))


def _take(candidates: np.ndarray, prompt_S: Sequence[str], count: int, used: dict[str, int]) -> list[int]:
    taken: list[int] = []
    for item in candidates.tolist():
        if len(taken) == count:
            break
        if used.get(prompt_S[item], 0) < PER_PROMPT:
            used[prompt_S[item]] = used.get(prompt_S[item], 0) + 1
            taken.append(item)
    return taken
