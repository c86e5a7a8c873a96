"""Per-row signals of clusters, from pooled features (method.md §5–6). Memory is N × M: shards are read one at a time.

Every sign follows the labels: positive means more in the chosen response.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from anatomy.clusters.feature_clusters import SIGMA_FLOOR, Moments, Shard, prompt_values, shift_values
from anatomy.clusters.label_ids import membership, sizes


class ResponseSignals(NamedTuple):
    """Signals of response clusters 1..M per row (method.md §5)."""

    activity_NM: Float[np.ndarray, "N M"]  # s ≥ 0, both sides together: clusters the rows
    disparity_NM: Float[np.ndarray, "N M"]  # u in [-1, 1]: tested


class ShiftSignals(NamedTuple):
    """Signals of shift clusters 1..M per row (method.md §6), in standard deviations of a feature's D.

    ``shift_NM + offset_M`` is the same score without centring: its sign flips with the labels.
    """

    shift_NM: Float[np.ndarray, "N M"]
    offset_M: Float[np.ndarray, " M"]


def response_signals(shards: Iterable[Shard], labels_F: Int[np.ndarray, " F"], tau: float = 0.01) -> ResponseSignals:
    """``s`` and ``u`` of every row from firing frequencies; ``labels_F``: 0 none, 1..M."""
    member_FM, size_M = membership(labels_F), np.maximum(sizes(labels_F), 1).astype(np.float32)
    activity, disparity = [], []
    for shard in shards:
        chosen, rejected = shard.matrix("chosen", "freq"), shard.matrix("rejected", "freq")
        present = above(chosen, tau) - above(rejected, tau)
        activity.append(_dense((chosen + rejected) @ member_FM))  # method.md §5, s
        disparity.append(_dense(present @ member_FM) / size_M)  # method.md §5, u
    return ResponseSignals(np.concatenate(activity), np.concatenate(disparity))


def own_activity(shards: Iterable[Shard], labels_F: Int[np.ndarray, " F"]) -> Float[np.ndarray, "N M"]:
    """``s`` of single responses: twice their activity, so that it compares with that of pairs."""
    member_FM = membership(labels_F)
    return np.concatenate([_dense(2 * shard.matrix("response", "freq") @ member_FM) for shard in shards])


def prompt_scores(
    shards: Iterable[Shard], labels_F: Int[np.ndarray, " F"], statistic: str = "freq", score: str = "fires"
) -> Float[np.ndarray, "N K"]:
    """``c[i,k] = mean_{f∈A_k} ρ(P[i,f])``; ρ is the firing indicator (``fires``) or the value (method.md §6)."""
    member_FK, size_K = membership(labels_F), np.maximum(sizes(labels_F), 1).astype(np.float32)
    values = (prompt_values(shard, statistic) for shard in shards)
    scored = (above(part, 0.0) if score == "fires" else part for part in values)
    return np.concatenate([_dense(part @ member_FK) / size_K for part in scored])


def shift_signals(
    shards: Iterable[Shard], labels_F: Int[np.ndarray, " F"], moments: Moments, statistic: str = "freq"
) -> ShiftSignals:
    """``u[i,m] = mean_{g∈R_m} (D[i,g] − μ_g)/max(σ_g, 1e−6)`` ; μ, σ of ``D`` over all rows (method.md §6)."""
    weight_F = 1 / np.maximum(moments.std_F, SIGMA_FLOOR)
    size_M = np.maximum(sizes(labels_F), 1)
    weight_FM = sp.csr_array(sp.diags_array(weight_F) @ membership(labels_F).astype(np.float64) / size_M)
    offset_M = np.asarray(moments.mean_F @ weight_FM)
    rows = [shift_values(shard, statistic).astype(np.float64) @ weight_FM for shard in shards]
    return ShiftSignals(np.concatenate([(part.toarray() - offset_M).astype(np.float32) for part in rows]), offset_M)


def top_rows(c_NK: Float[np.ndarray, "N K"], n_top: int, rank_N: Int[np.ndarray, " N"]) -> sp.csr_array:
    """``S(k)``: a [K, N] indicator of the up to ``n_top`` rows with the largest ``c[i,k] > 0`` (method.md §6).

    Scores tie often (all rows of a prompt do); ties go by ``rank_N`` (:attr:`Prompts.rank_N`), not by file order.
    """
    order_N = np.argsort(rank_N, kind="stable")
    n_top = min(n_top, len(order_N))
    chosen = []
    for c_N in np.ascontiguousarray(c_NK.T)[:, order_N]:
        least = max(np.partition(c_N, -n_top)[-n_top], np.finfo(np.float32).tiny)
        above, level = np.flatnonzero(c_N > least), np.flatnonzero(c_N == least)
        chosen.append(np.sort(order_N[np.concatenate([above, level[: n_top - len(above)]])]))
    return indicator(chosen, len(c_NK))


def members(labels_N: Int[np.ndarray, " N"]) -> sp.csr_array:
    """A [K, N] indicator of disjoint clusters 1..K; label 0 is in none."""
    return indicator([np.flatnonzero(labels_N == k) for k in range(1, labels_N.max(initial=0) + 1)], len(labels_N))


def indicator(rows: Sequence[np.ndarray], n_rows: int) -> sp.csr_array:
    """A [K, N] indicator of K sets of rows, each an array of ascending places."""
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    return sp.csr_array((np.ones(len(indices), dtype=bool), indices, indptr), shape=(len(rows), n_rows))


def above(values: sp.csr_array, threshold: float) -> sp.csr_array:
    """1 where an entry exceeds ``threshold`` (≥ 0), else 0."""
    return sp.csr_array(((values.data > threshold).astype(np.float32), values.indices, values.indptr), values.shape)


def _dense(values: sp.csr_array) -> np.ndarray:
    return np.asarray(values.toarray(), dtype=np.float32)
