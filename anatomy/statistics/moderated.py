"""The standard error of inside minus outside from a context's own spread, moderated by that of all rows.

A variance is estimated by few prompts, or by few rows that are not 0, badly: ``(8·v_pooled + df·v_own) / (8 + df)``
counts the pooled one like 8 degrees of freedom (empirical Bayes with a fixed prior, as in Smyth 2004) and has 8 + df.
Own degrees of freedom are those of ``clustered.py``, less where the signal's tails are heavy: a variance of n values
of kurtosis κ is as sure as one of ``2n/(κ − 1)`` normal ones, and a concept in 1 % of the rows has a κ of 100. A
context whose rows vary more than those of the set borrows nothing it does not have: its prior has the variance of its
own rows (only the correlation within prompts is that of the set) and ``8·(v_pooled/v_rows)²`` degrees of freedom, and
its tails count as ``v_pooled/v_rows`` of those of the set.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anatomy.statistics.context_cells import Geometry
from anatomy.statistics.context_squares import Squares, Whole
from anatomy.statistics.effects import positive
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.shared_texts import TextPart, with_texts

PRIOR = 8.0
"""Degrees of freedom of the pooled variance in the moderated one."""


class PooledSpread(NamedTuple):
    """Spread of a score over all rows: arrays [M] or [K, M]."""

    n: int
    prompts: int
    variance: np.ndarray
    correlation: np.ndarray  # within prompts
    certainty: np.ndarray  # 2 / (κ − 1) of the prompts' means, at most 1
    scale_2K: np.ndarray  # variance of a row inside, and outside, of a context, over that of any row


def pooled(everyone: Whole, prompts: Prompts) -> PooledSpread:
    """Variance, correlation within prompts and certainty of scores that sum to 0."""
    n, n_prompts = everyone.score_NM.shape[0], len(everyone.total_GM)
    square = np.einsum("nm,nm->m", everyone.score_NM, everyone.score_NM)
    excess = everyone.size_square - n  # 0 where no prompt repeats
    mean_GM = everyone.total_GM / prompts.size_G[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = everyone.prompt_square / (square / n)
        correlation = np.nan_to_num(np.clip((ratio - n) / excess, 0, 1)) if excess > 0 else np.zeros(square.shape)
        kurtosis = n_prompts * (mean_GM**4).sum(axis=0) / (mean_GM**2).sum(axis=0) ** 2
        certainty = np.minimum(1, 2 / np.maximum(kurtosis - 1, 1e-9))
        return PooledSpread(n, n_prompts, square / (n - 1), correlation, certainty, np.ones((2, 1)))


def moderated_error(
    squares: Squares, shape: Geometry, spread: PooledSpread, rounding_M: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom of every difference, [K, M]; NaN or infinite for a single prompt."""
    n_in, correct_in, df_in = (np.asarray(part)[:, None] for part in shape.inside)
    n_out, correct_out, df_out = (np.asarray(part)[:, None] for part in shape.outside)
    ii, oo, io = (part[:, None] for part in (shape.square_inside_K, shape.square_outside_K, shape.product_K))
    rho, certainty = spread.correlation, np.nan_to_num(spread.certainty)
    scale_in, scale_out = spread.scale_2K[:, :, None]
    pooled_in, pooled_out = scale_in * spread.variance, scale_out * spread.variance
    row_in = np.maximum(pooled_in, squares.rows / (n_in - 1))
    alike = np.nan_to_num(pooled_in / row_in)
    prior_in = PRIOR * alike**2
    weight_in, weight_out = df_in * (alike * certainty + 1 - alike), df_out * certainty

    inside = _moderated(_sound(squares.inside, n_in, rounding_M) * correct_in / n_in**2, weight_in,
                        row_in * ((1 - rho) / n_in + rho * ii / n_in**2), prior_in)  # fmt: skip
    outside = _moderated(_sound(squares.outside, n_out, rounding_M) * correct_out / n_out**2, weight_out,
                         pooled_out * ((1 - rho) / n_out + rho * oo / n_out**2), PRIOR)  # fmt: skip
    covariance = _moderated(np.sqrt(correct_in * correct_out) * squares.product / (n_in * n_out), weight_in,
                            np.sqrt(row_in * pooled_out) * rho * io / (n_in * n_out), prior_in)  # fmt: skip
    variance = positive(inside + outside - 2 * covariance, rounding_M / spread.n)
    df = (inside + outside) ** 2 / (inside**2 / (prior_in + weight_in) + outside**2 / (PRIOR + weight_out))
    df = np.minimum(df, spread.prompts - 2)
    variance, df = with_texts(variance, df, TextPart(squares.text_added, squares.text_squares))
    return np.sqrt(variance), df


def _moderated(own: np.ndarray, df: np.ndarray, other: np.ndarray, prior: np.ndarray | float) -> np.ndarray:
    return np.asarray((prior * other + df * own) / (prior + df))


def _sound(square: np.ndarray, n: np.ndarray, rounding_M: np.ndarray) -> np.ndarray:
    return positive(square, n * rounding_M)
