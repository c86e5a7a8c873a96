"""Effects adjusted for length and authors: what is left of a mean when they take what they can explain.

With nuisance columns X (``nuisance.py``), the adjusted mean of a signal u is ``mean(u − X β̂)``, β̂ the least squares fit
of u on X without an intercept. Equally it is ``Σ r_i u_i / n`` with r the residual of the constant 1 on X. Raw mean =
part of the nuisance + adjusted mean, exactly. The *support* ``Σ r² / n`` is the share of the label that X does not
determine: 0 if the longer side always wins. A row's score is ``r_i e_i``, with ``e = u − X β̂ − r δ`` and ``δ = adjusted
/ support`` the residual on X and 1; the variance is that of the sum of the scores, by prompt and by text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Num

from anatomy.statistics.clustered import half_width, taken_off
from anatomy.statistics.context_cells import Cells, Geometry, context_cells, geometry
from anatomy.statistics.context_squares import Squares, context_squares, whole
from anatomy.statistics.contrast import COLUMNS
from anatomy.statistics.effects import mean_error, rounding
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.moderated import moderated_error, pooled
from anatomy.statistics.nuisance import Nuisance, nuisance

NO_SUPPORT = 1e-9
"""Share of the label that is rounding only."""
CONTEXT_PROMPTS, FEWEST_COLUMNS = 12, 2
"""Prompts that each column needs inside a context and outside, and columns that are used in any case."""


class Adjusted(NamedTuple):
    """An adjusted effect with its 95 % interval, and the support; arrays [K, M] or [M]. NaN where it is not known."""

    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray
    support: np.ndarray


class Adjustments(NamedTuple):
    """Effects adjusted for length, for authors, and for both; authors are NaN where no authors are known."""

    length: Adjusted
    author: Adjusted
    both: Adjusted


def mean_adjustments(u_NM: Num[np.ndarray, "N M"], frame: RowFrame) -> Adjustments:
    """Adjusted means over all rows: arrays [M].

    Args:
        u_NM: signed signals, whose sign follows the labels (not centred).
        frame: length, authors, prompts and response texts of the same rows.
    """
    return _each(nuisance(frame), lambda part: _mean_adjusted(u_NM, part.everywhere, frame), u_NM.shape[1:])


def contrast_adjustments(u_NM: Num[np.ndarray, "N M"], member_KN: sp.csr_array, frame: RowFrame) -> Adjustments:
    """Adjusted mean inside minus adjusted mean outside, each by its own fit: arrays [K, M].

    Args:
        u_NM: signed signals, whose sign follows the labels (not centred).
        member_KN: indicator of the rows of each context.
        frame: length, authors, prompts and response texts of the same rows.
    """
    size = (member_KN.shape[0], u_NM.shape[1])
    if 0 in size:
        return Adjustments(*[Adjusted(*np.zeros((4, *size)))] * 3)
    cells = context_cells(member_KN, frame)
    shape = geometry(cells, frame.prompts)
    return _each(nuisance(frame), lambda part: _contrast_adjusted(u_NM, part, cells, shape, frame), size)


def _each(columns: Nuisance, adjust: Callable[[Nuisance], Adjusted], size: tuple[int, ...]) -> Adjustments:
    """The three adjustments, by a function of the columns that are to explain."""
    nothing_N0 = np.zeros((len(columns.length_NL), 0))
    length = adjust(columns._replace(pair_NA=nothing_N0, author_NB=nothing_N0))
    if not columns.pair_NA.shape[1]:
        return Adjustments(length, Adjusted(*np.full((4, *size), np.nan)), length)
    return Adjustments(length, adjust(columns._replace(length_NL=nothing_N0)), adjust(columns))


def _mean_adjusted(u_NM: np.ndarray, x_NP: np.ndarray, frame: RowFrame) -> Adjusted:
    label = _label(x_NP)
    blocks = []
    for start in range(0, u_NM.shape[1], COLUMNS):
        fit = _fitted(u_NM[:, start : start + COLUMNS].astype(np.float64), x_NP, label)
        error_M, df_M = mean_error(fit.score_NM, frame, label.rank)
        blocks.append(_interval(fit.adjusted_M, error_M, df_M, np.asarray(label.support)))
    return _joined(blocks, u_NM.shape[1:])


class _Label(NamedTuple):
    """The constant 1 on columns X over n rows: inverse of the Gram matrix, residual, support, rank of X."""

    inverse_PP: np.ndarray
    left_n: np.ndarray
    support: float
    rank: int


class _Fit(NamedTuple):
    """Adjusted means, and the scores of the rows, which sum to 0."""

    adjusted_M: np.ndarray
    score_NM: np.ndarray


def _label(x_nP: np.ndarray) -> _Label:
    inverse_PP, rank = _inverse(x_nP.T @ x_nP)
    left_n = 1 - x_nP @ (inverse_PP @ x_nP.sum(axis=0))
    return _Label(inverse_PP, left_n, float(np.clip(left_n.mean(), 0, 1)), rank)


def _fitted(u_nM: np.ndarray, x_nP: np.ndarray, label: _Label) -> _Fit:
    adjusted_M = label.left_n @ u_nM / len(u_nM)
    delta_M = adjusted_M / label.support if label.support > NO_SUPPORT else np.zeros(len(adjusted_M))
    rest_nM = _rest(u_nM, x_nP, label) - np.outer(label.left_n, delta_M)
    return _Fit(adjusted_M, label.left_n[:, None] * rest_nM)


def _rest(u_nM: np.ndarray, x_nP: np.ndarray, label: _Label) -> np.ndarray:
    """``u − X β̂``."""
    return np.asarray(u_nM - x_nP @ (label.inverse_PP @ (x_nP.T @ u_nM)))


def _inverse(gram_PP: np.ndarray) -> tuple[np.ndarray, int]:
    """Inverse of a Gram matrix without the directions in which the columns do not vary, and its rank."""
    size_P = np.sqrt(np.maximum(np.diag(gram_PP), 0))
    size_P = np.where(size_P > 0, size_P, np.inf)
    value_P, vector_PP = np.linalg.eigh(gram_PP / np.outer(size_P, size_P))
    kept = value_P > 1e-9
    vector_PP = vector_PP[:, kept] / size_P[:, None]
    return (vector_PP / value_P[kept]) @ vector_PP.T, int(kept.sum())


class _ContextFit(NamedTuple):
    """One context: columns and label of its rows, and what is left of 1 outside, as coefficients of all columns."""

    x_nP: np.ndarray
    every_nP: np.ndarray
    inside: _Label
    outside_P: np.ndarray
    support_out: float
    rank_out: int


def _contrast_adjusted(
    u_NM: np.ndarray, columns: Nuisance, cells: list[Cells], shape: Geometry, frame: RowFrame
) -> Adjusted:
    """Adjusted in two steps: the fit over all rows, whose columns are many, and the few of each context's own fit."""
    x_NP, n_length = np.hstack([columns.length_NL, columns.author_NB]), columns.length_NL.shape[1]
    fits = [_context_fit(x_NP, n_length, c, prompts_out) for c, prompts_out in
            zip(cells, len(frame.prompts.half_G) - shape.prompts_K, strict=True)]  # fmt: skip
    label, everywhere = _label(x_NP), _label(columns.everywhere)
    blocks = []
    for start in range(0, u_NM.shape[1], COLUMNS):
        rest_NM = _rest(u_NM[:, start : start + COLUMNS].astype(np.float64), columns.everywhere, everywhere)
        blocks.append(_adjusted_block(rest_NM, x_NP, label, fits, cells, shape, frame))
    return _joined(blocks, (len(cells), u_NM.shape[1]))


def _context_fit(x_NP: np.ndarray, n_length: int, c: Cells, prompts_out: int) -> _ContextFit:
    every_nP = x_NP[c.rows]
    inside_P = _usable((every_nP != 0).sum(axis=0), n_length, len(c.prompt))
    outside_P = _usable((x_NP != 0).sum(axis=0) - (every_nP != 0).sum(axis=0), n_length, prompts_out)
    n_out = len(x_NP) - len(c.rows)
    gram_PP = (x_NP.T @ x_NP - every_nP.T @ every_nP)[np.ix_(outside_P, outside_P)]
    inverse_PP, rank = _inverse(gram_PP)
    sum_P = (x_NP.sum(axis=0) - every_nP.sum(axis=0))[outside_P]
    coefficient_P = np.zeros(x_NP.shape[1])
    coefficient_P[outside_P] = inverse_PP @ sum_P
    support_out = float(np.clip(1 - sum_P @ inverse_PP @ sum_P / n_out, 0, 1))
    x_nP = every_nP[:, inside_P]
    return _ContextFit(x_nP, every_nP, _label(x_nP), coefficient_P, support_out, rank)


def _usable(rows_P: np.ndarray, n_length: int, prompts: int) -> np.ndarray:
    """Places of the columns that so many prompts can bear: half of them of length, where there are others."""
    most = max(FEWEST_COLUMNS, prompts // CONTEXT_PROMPTS)
    authors = n_length + np.argsort(-rows_P[n_length:], kind="stable")
    authors = authors[rows_P[authors] >= CONTEXT_PROMPTS // 2]
    lengths = np.flatnonzero(rows_P[:n_length])
    n_authors = min(len(authors), max(most // 2, most - len(lengths)))
    return np.concatenate([lengths[: most - n_authors], authors[:n_authors]])


def _adjusted_block(
    u_NM: np.ndarray,
    x_NP: np.ndarray,
    label: _Label,
    fits: list[_ContextFit],
    cells: list[Cells],
    shape: Geometry,
    frame: RowFrame,
) -> Adjusted:
    everyone = whole(_fitted(u_NM, x_NP, label).score_NM, frame)
    total_M, column_PM = u_NM.sum(axis=0), x_NP.T @ u_NM
    effects, squares = [], []
    for c, fit in zip(cells, fits, strict=True):
        inside_nM = u_NM[c.rows]
        own = _fitted(inside_nM, fit.x_nP, fit.inside)
        rest_M = total_M - inside_nM.sum(axis=0) - fit.outside_P @ (column_PM - fit.every_nP.T @ inside_nM)
        effects.append(own.adjusted_M - rest_M / (len(u_NM) - len(c.rows)))
        squares.append(context_squares(own.score_NM, everyone.score_NM[c.rows], c, everyone))
    effect_KM, squares_KM = np.stack(effects), Squares(*map(np.stack, zip(*squares, strict=True)))
    support_2K = np.array([[fit.inside.support, fit.support_out] for fit in fits]).T
    spread = pooled(everyone, frame.prompts)._replace(scale_2K=support_2K / max(label.support, NO_SUPPORT))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        error_KM, df_KM = moderated_error(squares_KM, _fewer(shape, fits), spread, rounding(u_NM))
    return _interval(effect_KM, error_KM, df_KM, support_2K.min(axis=0)[:, None])


def _fewer(shape: Geometry, fits: list[_ContextFit]) -> Geometry:
    """Small-sample constants with the columns of each side taken off its degrees of freedom."""
    inside = taken_off(shape.inside, np.array([fit.inside.rank for fit in fits]))
    return shape._replace(inside=inside, outside=taken_off(shape.outside, np.array([fit.rank_out for fit in fits])))


def _interval(effect: np.ndarray, error: np.ndarray, df: np.ndarray, support: np.ndarray) -> Adjusted:
    """The effect with its interval; no interval where nothing is left of the label, or where there is no error."""
    with np.errstate(invalid="ignore"):
        known = (error > 0) & np.isfinite(error) & (df > 0) & (support > NO_SUPPORT)
        width = np.where(known, half_width(np.where(known, error, np.nan), np.where(known, df, np.nan)), np.nan)
    return Adjusted(effect, effect - width, effect + width, np.broadcast_to(support, effect.shape))


def _joined(blocks: list[Adjusted], size: tuple[int, ...]) -> Adjusted:
    if not blocks:
        return Adjusted(*np.zeros((4, *size)))
    return Adjusted(*(np.concatenate(part, axis=-1) for part in zip(*blocks, strict=True)))
