"""Responses as sparse features, and what is read of a response: features, clusters, concepts.

A *readout* gives every response one number per name: the mean, over the features of a cluster, of their firing
frequency (``freq``), of their presence (``present``: frequency > τ) or of their standardised value (shift clusters),
or a concept's score. A shift, predicted or observed, is a change of the mean of a readout; all of them are in the
readout's own unit per response, so that predicted and observed ones can be compared.

Memory is linear in rows: a sparse matrix of features a side, and rows × readouts numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped

from anatomy.clusters.feature_clusters import SIGMA_FLOOR
from anatomy.clusters.label_ids import sizes
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.signals import above, membership
from anatomy.statistics.prompts import Prompts

Matrices = dict[tuple[str, str], sp.csr_array]


@dataclass(frozen=True)
class Pool:
    """N rows: pairs of the data (chosen, rejected) or of rollouts (chosen: after, rejected: before), or the model's own
    responses, one a row. ``J = N · S`` responses in all: the first side of every row, then the second.

    ``values_by`` holds ``(side, statistic)`` → [N, F]; ``tokens_NS`` the tokens of each side; ``residual_by``, if
    asked for, a side's mean residuals [N, D] at the SAE's layer.
    """

    values_by: Matrices
    prompts: Prompts
    tokens_NS: Int[np.ndarray, "N S"]
    tau: float = 0.01
    residual_by: Mapping[str, Float[np.ndarray, "N D"]] = field(default_factory=dict)

    @classmethod
    def read(cls, store: FeatureStore, statistics: Sequence[str], tau: float, residuals: bool = False) -> Pool:
        """The responses of a feature store; ``statistics`` of freq, max.

        Raises:
            RunError: ``residuals`` of a store that holds none.
        """
        matrices = {(side, name): store.matrix(side, name) for side in store.sides for name in statistics}
        tokens_NS = np.stack([store.tokens(side) for side in store.sides], axis=1)
        residual_by = {side: store.activations(side) for side in store.sides} if residuals else {}
        return cls(matrices, Prompts.from_ids(store.prompt_ids), tokens_NS, tau, residual_by)

    def __len__(self) -> int:
        return len(self.tokens_NS)

    @property
    def sides(self) -> list[str]:
        """Names of the sides: chosen and rejected, or response."""
        return list(dict.fromkeys(side for side, _ in self.values_by))

    def of_responses(self, values_N: Shaped[np.ndarray, " N"]) -> Shaped[np.ndarray, " J"]:
        """The value of each response's row."""
        return np.tile(values_N, self.tokens_NS.shape[1])

    def values(self, side: str, statistic: str) -> sp.csr_array:
        """``freq``, ``max``, or ``present`` = 1 where freq > τ; [N, F]."""
        if statistic == "present":
            return above(self.values_by[side, "freq"], self.tau)  # method.md §5, 1{freq > τ}
        return self.values_by[side, statistic]

    def take(self, rows: Int[np.ndarray, " n"]) -> Pool:
        """Some of the rows."""
        values = {key: sp.csr_array(matrix[rows]) for key, matrix in self.values_by.items()}
        residual_by = {side: residual_ND[rows] for side, residual_ND in self.residual_by.items()}
        return Pool(values, self.prompts.take(rows), self.tokens_NS[rows], self.tau, residual_by)

    def responses(self, statistic: str) -> sp.csr_array:
        """``values`` of all responses, [J, F]."""
        return sp.csr_array(sp.vstack([self.values(side, statistic) for side in self.sides], format="csr"))

    def residuals(self) -> Float[np.ndarray, "J D"]:
        """Mean residuals of all responses."""
        return np.concatenate([self.residual_by[side] for side in self.sides])

    @cached_property
    def residual_moments(self) -> tuple[Float[np.ndarray, "J D"], Float[np.ndarray, " D"], Float[np.ndarray, " D"]]:
        """Mean residuals of all responses in float64, their mean and their variance over the responses."""
        residual_JD = self.residuals().astype(np.float64)
        return residual_JD, residual_JD.mean(axis=0), residual_JD.var(axis=0)

    @cached_property
    def fires_F(self) -> Int[np.ndarray, " F"]:
        """Rows on which a feature fires in any response."""
        first, *rest = (self.values(side, "freq") for side in self.sides)
        either = sum(rest, first)
        return np.bincount(either.indices[either.data > 0], minlength=either.shape[1])


class Cut(NamedTuple):
    """Score from which on a response is flagged (None: the detector has no threshold), and deviation of the scores."""

    threshold: float | None
    spread: float


class Readout(NamedTuple):
    """Names and, per response of a pool, one number each."""

    ids: Sequence[str]
    values_JM: Float[np.ndarray, "J M"] | sp.csr_array

    def difference(self) -> Float[np.ndarray, "N M"] | sp.csr_array:
        """Chosen minus rejected, for a pool of pairs."""
        n = self.values_JM.shape[0] // 2
        if sp.issparse(self.values_JM):
            return sp.csr_array(self.values_JM[:n] - self.values_JM[n:])
        return np.asarray(self.values_JM[:n] - self.values_JM[n:])


def feature_readout(pool: Pool, kept_F: Bool[np.ndarray, " F"], statistic: str) -> Readout:
    """The features themselves, named ``f12``."""
    kept = np.flatnonzero(kept_F)
    return Readout([f"f{feature}" for feature in kept], pool.responses(statistic)[:, kept])


def cluster_readout(pool: Pool, labels_F: Int[np.ndarray, " F"], statistic: str, min_features: int = 1) -> Readout:
    """Mean over the features of each response cluster of ``min_features`` or more, named ``R12``.

    With ``present`` the difference of the two sides is ``u``, with ``freq`` ``v`` over the size (method.md §5).
    """
    size_M = sizes(labels_F)
    kept = np.flatnonzero(size_M >= min_features)
    values = (pool.responses(statistic) @ (membership(labels_F) / np.maximum(size_M, 1))).toarray()
    return Readout([f"R{m + 1}" for m in kept], values[:, kept].astype(np.float32))


def shift_readout(
    pool: Pool, labels_F: Int[np.ndarray, " F"], std_F: Float[np.ndarray, " F"], statistic: str
) -> Readout:
    """Mean of a feature's value over ``std_F`` (deviation of D in the data) in each shift cluster, named ``S3``.

    The difference of the sides is ``u`` of method.md §6 before centring.
    """
    weight_FM = sp.diags_array(1 / np.maximum(std_F, SIGMA_FLOOR)) @ membership(labels_F)
    values = (pool.responses(statistic) @ sp.csr_array(weight_FM / np.maximum(sizes(labels_F), 1))).toarray()
    return Readout([f"S{m + 1}" for m in range(values.shape[1])], values.astype(np.float32))


def flat(values_NS: Shaped[np.ndarray, "N S"]) -> Shaped[np.ndarray, " J"]:
    """Values of the sides in the order of responses."""
    return rearrange(values_NS, "n s -> (s n)")


def concept_readout(
    names: Sequence[str], scores: Sequence[Float[np.ndarray, "N S"]], cuts: Sequence[Cut], n_responses: int = 0
) -> Readout:
    """Return the scores of concepts: 1 for a flagged response, so that means are shares of responses, else the score
    over its deviation. Without concepts it has ``n_responses`` rows and no column.
    """
    columns = [
        flat(score_NS >= cut.threshold if cut.threshold is not None else score_NS / cut.spread)
        for score_NS, cut in zip(scores, cuts, strict=True)
    ]
    values = np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((n_responses, 0), np.float32)
    return Readout(list(names), values)
