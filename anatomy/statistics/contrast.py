"""Inside versus outside a context: ``Δ = mean_in(u) − mean_out(u)`` with honest uncertainty (method.md §5–6).

``Var Δ = Σ_g (A_g/n_in − B_g/n_out)²``; ``A_g`` and ``B_g`` sum prompt g's deviations inside and outside, with the
corrections and degrees of freedom of ``clustered.py``. A prompt with rows on both sides contributes a covariance, and
texts that recur under different prompts add to it (``shared_texts.py``). Each of the three parts is moderated
(``moderated.py``): a context of few prompts, or one from which a rare concept happens to be absent, says little about
its own spread, and Welch's z explodes.

Departures from the paper, whose Welch z (``z_welch``) treats all rows as independent: this variance, and halves by
prompt instead of by row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Num

from anatomy.statistics.clustered import half_width, two_sided_p
from anatomy.statistics.context_cells import Cells, Geometry, context_cells, geometry
from anatomy.statistics.context_squares import Squares, Whole, context_squares, whole
from anatomy.statistics.effects import Effects, positive, rounding
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.moderated import PooledSpread, moderated_error, pooled
from anatomy.statistics.prompts import Prompts

COLUMNS = 128
"""Signals handled at once: bounds memory, and keeps a context's rows in the processor's cache."""


class _ContextSums(NamedTuple):
    """Sums over the rows of each context, [K, M]."""

    total: np.ndarray
    square: np.ndarray
    half_b: np.ndarray  # over half B


class _Means(NamedTuple):
    """Means and sample variances inside and outside; arrays [K, M]."""

    mean_in: np.ndarray
    mean_out: np.ndarray
    var_in: np.ndarray
    var_out: np.ndarray
    var_pooled: np.ndarray


def contrast_effects(u_NM: Num[np.ndarray, "N M"], member_KN: sp.csr_array, frame: RowFrame) -> Effects:
    """Effects of every context and signal: arrays [K, M].

    Args:
        u_NM: signed signals of the rows.
        member_KN: indicator of the rows of each context; all other rows are its outside. Contexts may overlap.
        frame: prompts and response texts of the same rows.
    """
    if 0 in (member_KN.shape[0], u_NM.shape[1]):
        return Effects(*np.zeros((len(Effects._fields), member_KN.shape[0], u_NM.shape[1])))
    cells = context_cells(member_KN, frame)
    shape = geometry(cells, frame.prompts)
    blocks = [
        _contrast_block(u_NM[:, start : start + COLUMNS].astype(np.float64), cells, shape, frame)
        for start in range(0, u_NM.shape[1], COLUMNS)
    ]
    return Effects(*(np.concatenate(part, axis=1) for part in zip(*blocks, strict=True)))


def _contrast_block(u_NM: np.ndarray, cells: list[Cells], shape: Geometry, frame: RowFrame) -> Effects:
    rounding_M = rounding(u_NM)
    everyone = whole(u_NM - u_NM.mean(axis=0), frame)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sums, squares = _context_sums(everyone, cells, frame.prompts)
        means = _means(sums, everyone, shape, rounding_M)
        effect = means.mean_in - means.mean_out  # method.md §5, Δ
        error, df = moderated_error(squares, shape, _pooled(means, everyone, frame.prompts), rounding_M)
        width = half_width(error, df)
        welch = np.sqrt(means.var_in / column(shape.inside.n) + means.var_out / column(shape.outside.n))
        half_a, half_b = _halves(sums, shape, everyone, frame.prompts)
        return Effects(
            effect=effect,
            low=effect - width,
            high=effect + width,
            d=effect / np.sqrt(or_nan(means.var_pooled)),
            z=effect / or_nan(error),
            z_welch=effect / or_nan(welch),  # method.md §5, Welch z
            p=two_sided_p(effect, error, df),
            half_a=half_a,
            half_b=half_b,
        )


def _context_sums(everyone: Whole, cells: list[Cells], prompts: Prompts) -> tuple[_ContextSums, Squares]:
    sums, squares = [], []
    for c in cells:
        inside = everyone.score_NM[c.rows]
        half_b = prompts.half_G[prompts.code_N[c.rows]].astype(np.float64)
        total = inside.sum(axis=0)
        sums.append(_ContextSums(total, np.einsum("nm,nm->m", inside, inside), half_b @ inside))
        squares.append(context_squares(inside - total / len(inside), inside, c, everyone))
    return _ContextSums(*map(np.stack, zip(*sums, strict=True))), Squares(*map(np.stack, zip(*squares, strict=True)))


def _means(sums: _ContextSums, everyone: Whole, shape: Geometry, rounding_M: np.ndarray) -> _Means:
    n, n_in, n_out = len(everyone.score_NM), column(shape.inside.n), column(shape.outside.n)
    mean_in, mean_out = sums.total / n_in, -sums.total / n_out  # u is centred: its total is 0
    square = np.einsum("nm,nm->m", everyone.score_NM, everyone.score_NM)
    var_in = positive((sums.square - n_in * mean_in**2) / (n_in - 1), rounding_M)
    var_out = positive((square - sums.square - n_out * mean_out**2) / (n_out - 1), rounding_M)
    var_pooled = ((n_in - 1) * var_in + (n_out - 1) * var_out) / (n - 2)
    return _Means(mean_in, mean_out, var_in, var_out, var_pooled)


def _pooled(means: _Means, everyone: Whole, prompts: Prompts) -> PooledSpread:
    """Spread of all rows around the means inside and outside; the correlation is of all rows around one mean."""
    return pooled(everyone, prompts)._replace(variance=means.var_pooled)


def _halves(sums: _ContextSums, shape: Geometry, everyone: Whole, prompts: Prompts) -> tuple[np.ndarray, np.ndarray]:
    """Δ on halves A and B of the prompts; NaN if a half has no row inside, or none outside."""
    half_b, n = prompts.half_G.astype(np.float64) @ everyone.total_GM, len(everyone.score_NM)
    n_b = int(prompts.half_N.sum())
    inside, everyone_2 = (sums.total - sums.half_b, sums.half_b), (-half_b, half_b)
    rows = zip(shape.half_rows_2K[:, :, None], (n - n_b, n_b), strict=True)
    deltas = [
        part / or_nan(n_in) - (total - part) / or_nan(n_half - n_in)
        for part, total, (n_in, n_half) in zip(inside, everyone_2, rows, strict=True)
    ]
    return deltas[0], deltas[1]


def column(values_K: np.ndarray) -> np.ndarray:
    """The values of contexts, beside signals: [K, 1]."""
    return np.asarray(values_K)[:, None]


def or_nan(values: np.ndarray) -> np.ndarray:
    """The values that are above 0, else NaN."""
    return np.where(values > 0, values, np.nan)
