"""The observed shift: the change of a mean from before to after, with intervals and reliability over prompts.

Every number is a shift under weights on prompts (``statistics/resampling.py``): ``Σ_g w_g T_g / Σ_g w_g n_g``, with
``T_g`` a prompt's summed differences and ``n_g`` its rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from anatomy.statistics.prompts import Prompts
from anatomy.statistics.resampling import Resampling, percentile_interval
from anatomy.validation.context_rule import Context

COLUMNS = 4096
"""Number of readouts resampled at once, which bounds memory at draws × columns."""


class Observed(NamedTuple):
    """Shifts [M], their 95 % interval, and the shifts in random halves of the prompts and with groups left out."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    half_a: np.ndarray  # [S, M]
    half_b: np.ndarray  # [S, M]
    groups: np.ndarray  # [20, M]: with one twentieth of the prompts left out


def observe(
    difference_NM: Float[np.ndarray, "N M"] | sp.csr_array,
    context: Context,
    prompts: Prompts,
    weights: Resampling,
    contrast: bool = False,
) -> Observed:
    """The shift of every readout inside a context.

    Args:
        difference_NM: after minus before, for each row.
        contrast: subtract the shift in the rest of the rows.
    """
    parts = []
    for start in range(0, difference_NM.shape[1], COLUMNS):
        shifts = _Shifts(difference_NM[:, start : start + COLUMNS], context, prompts, contrast)
        low, high = percentile_interval(shifts.under(weights.draws_BG), len(shifts.inside.used_G))
        halves = shifts.under(weights.half_SG), shifts.under(1 - weights.half_SG)
        value = shifts.under(np.ones((1, weights.draws_BG.shape[1])))[0]
        parts.append(Observed(value, low, high, *halves, shifts.under(weights.without_WG)))
    return Observed(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))


class _Sums:
    """Summed differences and numbers of rows, for each prompt with rows in a set."""

    def __init__(self, difference_NM: np.ndarray | sp.csr_array, member_N: Bool[np.ndarray, " N"], prompts: Prompts):
        rows = np.flatnonzero(member_N)
        self.used_G, code = np.unique(prompts.code_N[rows], return_inverse=True)
        shape = (len(self.used_G), len(rows))
        indicator = sp.csr_array((np.ones(len(rows)), (code, np.arange(len(rows)))), shape=shape)
        total = indicator @ difference_NM[rows].astype(np.float64)
        self.total_GM = total.toarray() if sp.issparse(total) else np.asarray(total)
        self.count_G = np.bincount(code, minlength=len(self.used_G)).astype(np.float64)

    def mean(self, weight_WG: np.ndarray) -> np.ndarray:
        used_WG = weight_WG[:, self.used_G]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(used_WG @ self.total_GM) / (used_WG @ self.count_G)[:, None]


class _Shifts:
    def __init__(self, difference_NM: np.ndarray | sp.csr_array, context: Context, prompts: Prompts, contrast: bool):
        self.inside = _Sums(difference_NM, context.inside_N, prompts)
        self.rest = _Sums(difference_NM, context.rest_N, prompts) if contrast else None

    def under(self, weight_WG: np.ndarray) -> np.ndarray:
        inside = self.inside.mean(weight_WG)
        return inside if self.rest is None else inside - self.rest.mean(weight_WG)
