"""Means of rows that are dependent within a prompt: variance correction, degrees of freedom, p and q values.

A mean over rows is ``Σ_g w_g μ_g``, with ``w_g`` the share of prompt g. Its sandwich variance ``Σ_g A_g² / n²``, with
``A_g`` the sum of prompt g's deviations from the mean, is too small when prompts are few or uneven, because the mean
follows the large ones. If prompts are independent and the rows of each agree wholly (the hardest dependence), its
expectation is ``tr Q = Σw² − 2Σw³ + (Σw²)²``, while the true variance is ``Σw²``. We divide by the ratio and take
Satterthwaite's ``(tr Q)² / tr Q²`` degrees of freedom (Bell & McCaffrey 2002). With prompts of equal size, and so with
one row per prompt, these are exactly ``G/(G−1)`` and ``G−1``: the textbook variance and Student's t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy import special, stats

POWERS = np.arange(1, 6)


class ClusteredMean(NamedTuple):
    """Small-sample constants of a mean over rows that are clustered by prompt; arrays over contexts, or scalars."""

    n: np.ndarray
    correction: np.ndarray  # of the sandwich variance; infinite for one prompt
    df: np.ndarray


def power_sums(size_G: Shaped[np.ndarray, " G"]) -> Float[np.ndarray, " 5"]:
    """``Σ_g n_g^p`` for p = 1..5, all that :func:`clustered_mean` needs of the sizes of prompts."""
    return np.asarray((size_G.astype(np.float64)[:, None] ** POWERS).sum(axis=0))


def clustered_mean(sums_K5: Float[np.ndarray, "*K 5"]) -> ClusteredMean:
    """Constants of a mean from the power sums of its prompts' sizes; ``df`` is NaN for a single prompt."""
    n = sums_K5[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        _, w2, w3, w4, w5 = np.moveaxis(sums_K5 / n[..., None] ** POWERS, -1, 0)  # Σ_g w_g^p
        trace = w2 - 2 * w3 + w2**2
        trace_square = w4 + 4 * w2 * w4 - 4 * w5 + 2 * w3**2 - 4 * w2**2 * w3 + w2**4
        single = trace <= 1e-12 * w2
        correction = np.where(single, np.inf, w2 / trace)
        return ClusteredMean(n, correction, np.where(single, np.nan, trace**2 / trace_square))


def taken_off(mean: ClusteredMean, columns: np.ndarray) -> ClusteredMean:
    """Constants of a mean beside which so many columns were fitted; ``df`` is 0 where they leave none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.maximum(mean.df - columns, 0)
        factor = np.where(df > 0, (mean.df + 1) / np.maximum(mean.df + 1 - columns, 1), 1)
        return ClusteredMean(mean.n, mean.correction * factor, df)


def two_sided_p(effect: np.ndarray, error: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Two-sided p of ``effect / error`` by Student's t; NaN (untested) if the error is 0, infinite or unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        testable = (error > 0) & np.isfinite(error) & (df > 0)
        return np.where(testable, 2 * special.stdtr(df, -np.abs(effect / error)), np.nan)


def half_width(error: np.ndarray, df: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Half the width of the t interval; NaN if there is no test."""
    with np.errstate(invalid="ignore"):
        found: np.ndarray = special.stdtrit(df, 0.5 + level / 2) * error
        return found


def q_values(p: Float[np.ndarray, " H"]) -> Float[np.ndarray, " H"]:
    """Benjamini–Hochberg q over all tested pairs of a view; untested ones (NaN) stay NaN and are not counted."""
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested], method="bh")
    return q
