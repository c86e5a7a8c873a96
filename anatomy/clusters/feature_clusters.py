"""Prompt-feature and response-shift clusters for the prompt-conditioned view (method.md §6; paper, B.2).

Columns are standardised with moments of the full data; rows are sampled; a randomised SVD gives each feature the
coordinates ``ΣVᵀ[:, f]``; unit-normalised coordinates go to MiniBatchKMeans. The standardised matrix is never
formed: its product with a block of vectors is a sparse product minus a rank-one term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.sparse.linalg import LinearOperator
from sklearn.cluster import MiniBatchKMeans

from anatomy.clusters.label_ids import by_size, pair_stability

MIN_STD, MIN_MEAN_ABS, SIGMA_FLOOR = 1e-3, 1e-4, 1e-6  # method.md §6
STARTS, SPLITS = 10, 2


@runtime_checkable
class Shard(Protocol):
    """Pooled features of consecutive rows."""

    def matrix(self, span: str, statistic: str) -> sp.csr_array:
        """``span`` in prompt, chosen, rejected; ``statistic`` in max, freq."""


ShardT = TypeVar("ShardT", bound=Shard)


class Moments(NamedTuple):
    """Column moments over all N rows of one kind of feature value: ``P`` (prompt) or ``D = C − R`` (shift)."""

    n_rows: int
    fires_F: Int[np.ndarray, " F"]  # rows with P > 0, or with C > 0 or R > 0
    mean_F: Float[np.ndarray, " F"]
    std_F: Float[np.ndarray, " F"]  # population (divisor N)
    mean_abs_F: Float[np.ndarray, " F"]


def default_min_fires(n_rows: int) -> int:
    """The paper's 200 rows of 260,000, scaled to ``n_rows``; at least 20 (method.md §6, Choice)."""
    return max(20, round(200 * n_rows / 260_000))


def default_feature_clusters(n_kept: int, n_rows: int) -> int:
    """Clusters of about 20 features each, and no more than a tenth of the rows; at least 2, at most the paper's 512.

    Every pair of a prompt and a shift cluster is a test: few rows cannot pay for many.
    """
    return int(np.clip(min(n_kept // 20, n_rows // 10), 2, 512))


def prompt_values(shard: Shard, statistic: str) -> sp.csr_array:
    """``P`` of one shard (method.md §2)."""
    return shard.matrix("prompt", statistic)


def shift_values(shard: Shard, statistic: str) -> sp.csr_array:
    """``D = C − R`` of one shard (method.md §2); > 0 where the chosen response fires more."""
    found: sp.csr_array = shard.matrix("chosen", statistic) - shard.matrix("rejected", statistic)
    return found


def of_rows(
    shards: Iterable[ShardT], rows: Int[np.ndarray, " n"], read: Callable[[ShardT], sp.csr_array]
) -> sp.csr_array:
    """The matrix that ``read`` gives of each shard, of some rows of all shards (ascending places)."""
    parts, start = [], 0
    for shard in shards:
        matrix = read(shard)
        stop = start + matrix.shape[0]
        parts.append(matrix[rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start])
        start = stop
    return sp.csr_array(sp.vstack(parts, format="csr"))


def prompt_moments(shards: Iterable[Shard], statistic: str) -> Moments:
    """Moments of ``P`` over all shards, one pass."""
    values = ((part, part) for part in (prompt_values(shard, statistic) for shard in shards))
    return _moments(values)


def shift_moments(shards: Iterable[Shard], statistic: str) -> Moments:
    """Moments of ``D`` over all shards, one pass; a row counts as firing when either response does."""
    return _moments(
        (shift_values(shard, statistic), shard.matrix("chosen", statistic) + shard.matrix("rejected", statistic))
        for shard in shards
    )


def keep_prompt_features(moments: Moments, min_fires: int) -> Bool[np.ndarray, " F"]:
    """``n(P > 0) ≥ min_fires`` (method.md §6); a feature without variance is dropped too."""
    return (moments.fires_F >= min_fires) & (moments.std_F > SIGMA_FLOOR)


def keep_shift_features(moments: Moments, min_fires: int) -> Bool[np.ndarray, " F"]:
    """``n(C>0 ∨ R>0) ≥ min_fires``, ``std(D) ≥ 1e−3``, ``mean|D| ≥ 1e−4`` (method.md §6)."""
    return (moments.fires_F >= min_fires) & (moments.std_F >= MIN_STD) & (moments.mean_abs_F >= MIN_MEAN_ABS)


def embed_features(
    sample_BF: sp.csr_array, moments: Moments, kept_F: Bool[np.ndarray, " F"], dim: int, seed: int
) -> Float[np.ndarray, "A dim"]:
    """Unit-length coordinates of the A kept features: columns of ``ΣVᵀ`` of the standardised sample (method.md §6).

    Args:
        sample_BF: values of the sampled rows (about 30,000), not standardised.
        moments: of the full data, not of the sample.
        kept_F: features to embed.
        dim: SVD components; lowered to what the sample's shape allows.
        seed: of the randomised SVD.
    """
    kept = np.flatnonzero(kept_F)
    scale = 1 / np.maximum(moments.std_F[kept], SIGMA_FLOOR)
    operator = _standardised(sample_BF[:, kept].astype(np.float64), moments.mean_F[kept], scale)
    coordinates = _right_vectors(operator, min(dim, *operator.shape), seed)
    norm = np.linalg.norm(coordinates, axis=1, keepdims=True)
    return np.asarray(coordinates / np.maximum(norm, np.finfo(np.float64).tiny))


def feature_clusters(
    sample_BF: sp.csr_array, moments: Moments, kept_F: Bool[np.ndarray, " F"], k: int, dim: int, seed: int
) -> Int[np.ndarray, " F"]:
    """Labels of features: 0 for those not kept, 1..K by decreasing size; ``k`` is lowered to the features kept."""
    raw_F = np.full(len(kept_F), -1, dtype=np.int64)
    if kept_F.any():
        embedding = embed_features(sample_BF, moments, kept_F, dim, seed)
        raw_F[kept_F] = np.arange(len(embedding))
        if k < len(embedding):
            found = MiniBatchKMeans(k, random_state=seed, n_init=STARTS, batch_size=2048).fit_predict(embedding)
            raw_F[kept_F] = found
    return by_size(raw_F)


def embedded_clusters(
    sample_BF: sp.csr_array,
    prompt_B: Int[np.ndarray, " B"],
    moments: Moments,
    kept_F: Bool[np.ndarray, " F"],
    k: int,
    dim: int,
    seed: int,
) -> tuple[Int[np.ndarray, " F"], Float[np.ndarray, " K"]]:
    """Labels as of :func:`feature_clusters`, and the stability of each cluster, 0 to 1.

    The sample is cut into two halves without a common prompt (``prompt_B``: prompt of each row), ``SPLITS`` times, and
    each half is clustered with a seed of its own. Stability is that of :mod:`anatomy.clusters.response_clusters`.
    """
    label_F = feature_clusters(sample_BF, moments, kept_F, k, dim, seed)
    generator = np.random.default_rng(seed)
    halves = []
    for split in range(SPLITS):
        side_B = (generator.permutation(int(prompt_B.max(initial=-1)) + 1) % 2)[prompt_B]
        for half in (0, 1):
            sample = sample_BF[np.flatnonzero(side_B == half)]
            halves.append(feature_clusters(sample, moments, kept_F, k, dim, seed + 2 * split + half + 1)
                          if sample.shape[0] else np.zeros_like(label_F))  # fmt: skip
    return label_F, pair_stability(label_F, halves)


def _moments(parts: Iterable[tuple[sp.csr_array, sp.csr_array]]) -> Moments:
    n_rows = 0
    sums: np.ndarray | float = 0.0
    for values, activity in parts:
        data = values.data.astype(np.float64)
        weights = (data, data**2, abs(data))
        by_column = [np.bincount(values.indices, weight, values.shape[1]) for weight in weights]
        fires = np.bincount(activity.indices[activity.data > 0], minlength=activity.shape[1])
        sums = sums + np.stack([*by_column, fires])
        n_rows += values.shape[0]
    if not n_rows:
        raise ValueError("no rows: moments need at least one shard")
    total, square, absolute, fires = np.asarray(sums)
    mean = total / n_rows
    std = np.sqrt(np.maximum(square / n_rows - mean**2, 0))
    return Moments(n_rows, fires.astype(np.int64), mean, std, absolute / n_rows)


def _right_vectors(operator: LinearOperator, dim: int, seed: int, oversample: int = 10, powers: int = 4) -> np.ndarray:
    """``V Σ`` of the leading ``dim`` components: randomised SVD (Halko et al. 2011, algorithms 4.4 and 5.1).

    scikit-learn's accepts no operator, and the standardised matrix cannot be formed.
    """
    width = min(dim + oversample, *operator.shape)
    basis = np.random.default_rng(seed).standard_normal((operator.shape[1], width))
    for _ in range(powers):
        basis, _ = np.linalg.qr(operator.matmat(basis))
        basis, _ = np.linalg.qr(operator.rmatmat(basis))
    range_basis, _ = np.linalg.qr(operator.matmat(basis))
    _, sigma, axes = np.linalg.svd(operator.rmatmat(range_basis).T, full_matrices=False)
    return np.asarray((sigma[:dim, None] * axes[:dim]).T)


def _standardised(values_BA: sp.csr_array, mean_A: np.ndarray, scale_A: np.ndarray) -> LinearOperator:
    """``(X − 1μᵀ) diag(scale)`` without forming it; a dense copy would take 30,000 × F numbers."""
    offset_A = mean_A * scale_A
    transposed = values_BA.T.tocsr()

    def forward(right: np.ndarray) -> np.ndarray:
        right = right.reshape(len(scale_A), -1)
        return np.asarray(values_BA @ (scale_A[:, None] * right) - offset_A @ right)

    def backward(left: np.ndarray) -> np.ndarray:
        left = left.reshape(values_BA.shape[0], -1)
        return np.asarray(scale_A[:, None] * (transposed @ left) - np.outer(offset_A, left.sum(axis=0)))

    return LinearOperator(
        values_BA.shape, matvec=forward, matmat=forward, rmatvec=backward, rmatmat=backward, dtype=np.float64
    )
