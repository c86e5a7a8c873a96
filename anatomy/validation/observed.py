"""The observed shift: the change of a mean from before to after, with intervals and reliability over prompts.

Rows of one prompt are not independent, so prompts are what is resampled, split and left out. All three are weights on
prompts: a shift under weights ``w`` is ``Σ_g w_g T_g / Σ_g w_g n_g``, with ``T_g`` a prompt's summed differences and
``n_g`` its rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float
from scipy import stats

from anatomy.statistics.prompts import Prompts
from anatomy.validation.context_rule import Context

LEVEL = 0.95
COLUMNS = 4096
"""Readouts resampled at once: bounds memory at resamples × columns numbers."""


class Observed(NamedTuple):
    """Shifts [M], their 95 % interval, and their values in random halves of the prompts, [S, M]."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    half_a: np.ndarray
    half_b: np.ndarray
    groups: np.ndarray  # [20, M]: with one twentieth of the prompts left out


class Resampling(NamedTuple):
    """Weights on prompts: bootstrap draws [B, G], halves [S, G] (0 or 1), delete-a-group [20, G]."""

    draws_BG: Float[np.ndarray, "B G"]
    half_SG: Float[np.ndarray, "S G"]
    without_WG: Float[np.ndarray, "W G"]


def resampling(n_prompts: int, seed: int, draws: int = 1000, splits: int = 20, groups: int = 20) -> Resampling:
    """Weights for ``n_prompts`` prompts, by the seed."""
    generator = np.random.default_rng(seed)
    draws_BG = generator.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=draws).astype(np.float64)
    order_SG = np.stack([generator.permutation(n_prompts) for _ in range(splits)])
    part_G = generator.permutation(n_prompts) % min(groups, n_prompts)
    without_WG = (part_G[None] != np.arange(part_G.max() + 1)[:, None]).astype(np.float64)
    return Resampling(draws_BG, (order_SG % 2).astype(np.float64), without_WG)


def observe(
    difference_NM: Float[np.ndarray, "N M"] | sp.csr_array,
    context: Context,
    prompts: Prompts,
    weights: Resampling,
    contrast: bool = False,
) -> Observed:
    """The shift of every readout inside a context (``contrast``: minus the shift in the rest).

    Args:
        difference_NM: after minus before, of each row.
    """
    parts = []
    for start in range(0, difference_NM.shape[1], COLUMNS):
        shifts = _Shifts(difference_NM[:, start : start + COLUMNS], context, prompts, contrast)
        low, high = interval(shifts.under(weights.draws_BG), len(shifts.inside.used_G))
        halves = shifts.under(weights.half_SG), shifts.under(1 - weights.half_SG)
        value = shifts.under(np.ones((1, weights.draws_BG.shape[1])))[0]
        parts.append(Observed(value, low, high, *halves, shifts.under(weights.without_WG)))
    return Observed(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))


class _Sums:
    """Sums of differences and rows of the prompts that have rows in a set."""

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


def interval(draws_BM: Float[np.ndarray, "B M"], n_prompts: int) -> tuple[np.ndarray, np.ndarray]:
    """Expanded percentile interval (Hesterberg 2015): at these percentiles a bootstrap of n prompts covers like t.

    Draws in which a column is no number are left out; ends are NaN for one prompt or where no draw is left.
    """
    kept = draws_BM[np.isfinite(draws_BM).all(axis=1)]  # draws in which the context (and the rest) has a prompt
    if n_prompts < 2 or not len(kept):
        nothing = np.full(draws_BM.shape[1], np.nan)
        return nothing, nothing
    tail = stats.norm.cdf(np.sqrt(n_prompts / (n_prompts - 1)) * stats.t.ppf((1 - LEVEL) / 2, n_prompts - 1))
    low, high = np.quantile(kept, [tail, 1 - tail], axis=0)
    return low, high
