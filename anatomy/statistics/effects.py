"""The numbers of an effect, and effects over the whole set (method.md §5; the whole-set view is ours).

An effect is a mean signed signal: a positive one favours the chosen side. Its standard error is clustered by prompt
(``clustered.py``), and halves hold whole prompts. No number is infinite: if no test can be made (no variance, or one
prompt), z, p and the interval are NaN, and the pair counts as untested.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from anatomy.statistics.clustered import clustered_mean, half_width, power_sums, two_sided_p
from anatomy.statistics.prompts import Prompts, prompt_totals

STABLE_EPSILON = 1e-6  # method.md §5, ε


class Effects(NamedTuple):
    """Effects as one array per number, [K, M] (contexts × signals) or [M] (whole set); > 0 favours the chosen side."""

    effect: np.ndarray
    low: np.ndarray  # 95 % interval of ``effect``
    high: np.ndarray
    adjusted: np.ndarray  # the effect at equal log-length of chosen and rejected
    d: np.ndarray  # Cohen's d, pooled variance
    z: np.ndarray  # effect / standard error of the reported test, clustered by prompt
    z_welch: np.ndarray  # the paper's z, which takes rows as independent
    p: np.ndarray
    half_a: np.ndarray
    half_b: np.ndarray


def stable(half_a: np.ndarray, half_b: np.ndarray) -> np.ndarray:
    """Whether both halves differ from 0 with one sign (``SC``, method.md §5); half of all nulls pass."""
    with np.errstate(invalid="ignore"):
        large = np.minimum(np.abs(half_a), np.abs(half_b)) > STABLE_EPSILON
        return np.asarray(large & (np.sign(half_a) == np.sign(half_b)))


def mean_effects(u_NM: Num[np.ndarray, "N M"], prompts: Prompts, length_N: Float[np.ndarray, " N"]) -> Effects:
    """Mean of each signal over all rows, tested against 0 with errors clustered by prompt: arrays [M].

    Args:
        u_NM: signed signals.
        prompts: grouping of the rows.
        length_N: log-length of chosen minus log-length of rejected; ``adjusted`` is u's intercept on it.
    """
    u_NM = u_NM.astype(np.float64)
    n, mean_M = len(u_NM), u_NM.mean(axis=0)
    centred_NM = u_NM - mean_M
    rows = clustered_mean(power_sums(prompts.size_G))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance_M = positive((centred_NM**2).sum(axis=0) / (n - 1), rounding(u_NM))
        deviation_M = np.sqrt(np.where(variance_M > 0, variance_M, np.nan))
        error_M = np.sqrt(rows.correction * (prompt_totals(centred_NM, prompts) ** 2).sum(axis=0)) / n
        error_M = np.where((variance_M > 0) & np.isfinite(error_M) & (error_M > 0), error_M, np.nan)
        width_M = half_width(error_M, rows.df)
        slope_M = (length_N - length_N.mean()) @ centred_NM / spread(length_N)
        return Effects(
            effect=mean_M,
            low=mean_M - width_M,
            high=mean_M + width_M,
            adjusted=mean_M - slope_M * length_N.mean(),
            d=mean_M / deviation_M,
            z=mean_M / error_M,
            z_welch=mean_M / deviation_M * np.sqrt(n),
            p=two_sided_p(mean_M, error_M, rows.df),
            half_a=_half_mean(u_NM, ~prompts.half_N),
            half_b=_half_mean(u_NM, prompts.half_N),
        )


def rounding(u_NM: Float[np.ndarray, "N M"]) -> Float[np.ndarray, " M"]:
    """Variance below which a signal, or a part of it, is constant except for float64 rounding; one per signal."""
    return np.asarray(np.maximum(1e-12 * u_NM.var(axis=0), 1e-24 * (u_NM**2).mean(axis=0)))


def positive(variance: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The variance, or exactly 0 if it is at most ``least`` (see :func:`rounding`)."""
    return np.where(variance > least, variance, 0.0)


def spread(length_N: Float[np.ndarray, " N"]) -> float:
    """``Σ (ℓ − ℓ̄)²``, or a tiny number instead of 0, so that equal lengths adjust nothing."""
    return max(float(((length_N - length_N.mean()) ** 2).sum()), float(np.finfo(np.float64).tiny))


def _half_mean(u_NM: np.ndarray, rows_N: np.ndarray) -> np.ndarray:
    return u_NM[rows_N].mean(axis=0) if rows_N.any() else np.full(u_NM.shape[1], np.nan)
