"""Means of rows that are dependent within a prompt: variance correction, degrees of freedom, p and q values.

A mean over rows is ``Σ_g w_g μ_g`` with ``w_g`` the share of prompt g. Its sandwich variance ``Σ_g A_g² / n²``, with
``A_g`` the sum of prompt g's deviations from the mean, is too small when prompts are few or uneven, because the mean
follows the large ones. Under independent prompts whose rows agree wholly (the hardest dependence) its expectation is
``tr Q = Σw² − 2Σw³ + (Σw²)²`` where the truth is ``Σw²``: we divide by the ratio, and take Satterthwaite's
``(tr Q)² / tr Q²`` degrees of freedom (Bell & McCaffrey 2002). With equal prompts, so with unique ones, these are
exactly ``G/(G−1)`` and ``G−1``: the textbook variance and Student's t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy import special, stats

POWERS = np.arange(1, 6)


class Arm(NamedTuple):
    """Small-sample constants of the mean of one group of rows; each an array over contexts, or a scalar."""

    n: np.ndarray
    correction: np.ndarray  # of the sandwich variance; infinite for one prompt
    df: np.ndarray


def power_sums(size_G: Shaped[np.ndarray, " G"]) -> Float[np.ndarray, " 5"]:
    """``Σ_g n_g^p`` for p = 1..5, all that :func:`arm` needs to know of the sizes of prompts."""
    return (size_G.astype(np.float64)[:, None] ** POWERS).sum(axis=0)


def arm(sums_K5: Float[np.ndarray, "*K 5"]) -> Arm:
    """Constants of a mean over ``n`` rows from the power sums of its prompts' sizes; df is NaN for one prompt."""
    n = sums_K5[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        _, w2, w3, w4, w5 = np.moveaxis(sums_K5 / n[..., None] ** POWERS, -1, 0)  # Σ_g w_g^p
        trace = w2 - 2 * w3 + w2**2
        trace_square = w4 + 4 * w2 * w4 - 4 * w5 + 2 * w3**2 - 4 * w2**2 * w3 + w2**4
        single = trace <= 1e-12 * w2
        return Arm(n, np.where(single, np.inf, w2 / trace), np.where(single, np.nan, trace**2 / trace_square))


def two_sided_p(effect: np.ndarray, error: np.ndarray, df: np.ndarray) -> np.ndarray:
    """p of ``effect / error`` against Student's t; NaN (untested) where the error is 0, infinite or unknown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        testable = (error > 0) & np.isfinite(error) & (df > 0)
        return np.where(testable, 2 * special.stdtr(df, -np.abs(effect / error)), np.nan)


def half_width(error: np.ndarray, df: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Half the width of the t interval; NaN where there is no test."""
    with np.errstate(invalid="ignore"):
        return special.stdtrit(df, 0.5 + level / 2) * error


def q_values(p: Float[np.ndarray, " H"]) -> Float[np.ndarray, " H"]:
    """Benjamini–Hochberg q over all tested pairs of a view; untested ones (NaN) stay NaN and count for nothing."""
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested], method="bh")
    return q
