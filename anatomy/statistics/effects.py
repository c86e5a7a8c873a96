"""The numbers of an effect, and effects over the whole set (method.md §5; the whole-set view is ours).

An effect is a mean signed signal: a positive one favours the chosen side. Its standard error is clustered by prompt and
by response text (``clustered.py``, ``shared_texts.py``), and halves hold whole prompts. No number is infinite: if no
test can be made (no variance, or one prompt), z, p and the interval are NaN, and the pair counts as untested.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from anatomy.statistics.clustered import clustered_mean, half_width, power_sums, taken_off, two_sided_p
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import prompt_totals
from anatomy.statistics.shared_texts import text_part, with_texts

STABLE_EPSILON = 1e-6  # method.md §5, ε


class Effects(NamedTuple):
    """Effects as one array per number, [K, M] (contexts × signals) or [M] (whole set); > 0 favours the chosen side."""

    effect: np.ndarray
    low: np.ndarray  # 95 % interval of ``effect``
    high: np.ndarray
    d: np.ndarray  # Cohen's d, pooled variance
    z: np.ndarray  # effect / standard error of the reported test, clustered by prompt and by response text
    z_welch: np.ndarray  # the paper's z, which takes rows as independent
    p: np.ndarray
    half_a: np.ndarray
    half_b: np.ndarray


def stable(half_a: np.ndarray, half_b: np.ndarray) -> np.ndarray:
    """Whether both halves differ from 0 with one sign (``SC``, method.md §5); half of all nulls pass."""
    with np.errstate(invalid="ignore"):
        large = np.minimum(np.abs(half_a), np.abs(half_b)) > STABLE_EPSILON
        return np.asarray(large & (np.sign(half_a) == np.sign(half_b)))


def mean_effects(u_NM: Num[np.ndarray, "N M"], frame: RowFrame) -> Effects:
    """Mean of each signal over all rows, tested against 0 with errors clustered by prompt and text: arrays [M].

    Args:
        u_NM: signed signals.
        frame: prompts and response texts of the same rows.
    """
    u_NM = u_NM.astype(np.float64)
    prompts, n, mean_M = frame.prompts, len(u_NM), u_NM.mean(axis=0)
    centred_NM = u_NM - mean_M
    with np.errstate(divide="ignore", invalid="ignore"):
        variance_M = positive((centred_NM**2).sum(axis=0) / (n - 1), rounding(u_NM))
        deviation_M = np.sqrt(np.where(variance_M > 0, variance_M, np.nan))
        error_M, df_M = mean_error(centred_NM, frame)
        error_M = np.where((variance_M > 0) & np.isfinite(error_M) & (error_M > 0), error_M, np.nan)
        width_M = half_width(error_M, df_M)
        return Effects(
            effect=mean_M,
            low=mean_M - width_M,
            high=mean_M + width_M,
            d=mean_M / deviation_M,
            z=mean_M / error_M,
            z_welch=mean_M / deviation_M * np.sqrt(n),
            p=two_sided_p(mean_M, error_M, df_M),
            half_a=_half_mean(u_NM, ~prompts.half_N),
            half_b=_half_mean(u_NM, prompts.half_N),
        )


def mean_error(
    centred_NM: Float[np.ndarray, "N M"], frame: RowFrame, columns: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of the mean and its degrees of freedom from deviations that sum to 0: two arrays [M].

    ``columns`` is how many were fitted beside the mean.
    """
    rows = taken_off(clustered_mean(power_sums(frame.prompts.size_G)), np.asarray(columns))
    variance_M = rows.correction * (prompt_totals(centred_NM, frame.prompts) ** 2).sum(axis=0)
    df_M = np.full(variance_M.shape, rows.df)
    if frame.bundles.any:
        variance_M, df_M = with_texts(variance_M, df_M, text_part(centred_NM, frame.bundles))
    return np.sqrt(variance_M) / len(centred_NM), df_M


def rounding(u_NM: Float[np.ndarray, "N M"]) -> Float[np.ndarray, " M"]:
    """Variance below which a signal, or a part of it, is constant except for float64 rounding; one per signal."""
    return np.asarray(np.maximum(1e-12 * u_NM.var(axis=0), 1e-24 * (u_NM**2).mean(axis=0)))


def positive(variance: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The variance, or exactly 0 if it is at most ``least`` (see :func:`rounding`)."""
    return np.where(variance > least, variance, 0.0)


def _half_mean(u_NM: np.ndarray, rows_N: np.ndarray) -> np.ndarray:
    return u_NM[rows_N].mean(axis=0) if rows_N.any() else np.full(u_NM.shape[1], np.nan)
