"""Pools of responses as sparse features: those of pairs, of rollouts, or the model's own ones.

Memory is linear in rows: a sparse matrix of features for each side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from einops import rearrange
from jaxtyping import Float, Int, Shaped

from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.signals import above
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


def flat(values_NS: Shaped[np.ndarray, "N S"]) -> Shaped[np.ndarray, " J"]:
    """Values of the sides in the order of responses."""
    return rearrange(values_NS, "n s -> (s n)")
