"""Inside versus outside a context: ``Δ = mean_in(u) − mean_out(u)`` with honest uncertainty (method.md §5–6).

Two tests are made. The one with the larger p is reported, with its z and interval:

* **own variance**: ``Var Δ = Σ_g (A_g/n_in − B_g/n_out)²``; ``A_g`` and ``B_g`` sum prompt g's deviations inside and
  outside, with the corrections and degrees of freedom of ``clustered.py``. A prompt with rows on both sides contributes
  a covariance. With one row per prompt this is exactly Welch's test.
* **pooled variance**: ``s_p²·[(1−ρ)(1/n_in + 1/n_out) + ρ Σ_g h_g²]`` with ``h_g = i_g/n_in − o_g/n_out``; ρ is the
  correlation of u within prompts, over all rows. With one row per prompt this is exactly Student's test. It is needed
  because a rare concept that happens to be absent from a small context has no variance there, and Welch's z explodes.

Departures from the paper, whose Welch z (``z_welch``) treats all rows as independent: these two tests, halves by
prompt instead of by row, and an effect at equal length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Num

from anatomy.statistics.clustered import half_width, two_sided_p
from anatomy.statistics.context_sums import Cells, Geometry, SignalSums, context_cells, geometry, signal_sums
from anatomy.statistics.effects import Effects, positive, rounding, spread
from anatomy.statistics.prompts import Prompts, prompt_totals

_COLUMNS = 128  # signals handled at once: bounds memory, and keeps a context's rows in the processor's cache


class _AllRows(NamedTuple):
    """Sums over all rows of one block of signals, centred on their means; arrays [M]."""

    n: int
    prompts: int
    square: np.ndarray  # Σ_rows u²
    prompt_square: np.ndarray  # Σ_g T_g²
    by_size: np.ndarray  # Σ_g n_g T_g
    half_b: np.ndarray  # Σ_rows u over half B
    half_rows_2: np.ndarray  # rows in halves A, B
    rounding: np.ndarray  # variance that counts as none


class _Means(NamedTuple):
    """Means and sample variances inside and outside; arrays [K, M]."""

    mean_in: np.ndarray
    mean_out: np.ndarray
    var_in: np.ndarray
    var_out: np.ndarray
    var_pooled: np.ndarray


def contrast_effects(
    u_NM: Num[np.ndarray, "N M"], member_KN: sp.csr_array, prompts: Prompts, length_N: Float[np.ndarray, " N"]
) -> Effects:
    """Effects of every context and signal: arrays [K, M].

    Args:
        u_NM: signed signals of the rows.
        member_KN: indicator of the rows of each context; all other rows are its outside. Contexts may overlap.
        prompts: grouping of the same rows.
        length_N: log-length of chosen minus log-length of rejected.
    """
    if 0 in (member_KN.shape[0], u_NM.shape[1]):
        return Effects(*np.zeros((len(Effects._fields), member_KN.shape[0], u_NM.shape[1])))
    cells = context_cells(member_KN, prompts)
    shape = geometry(cells, prompts)
    blocks = [
        _contrast_block(u_NM[:, start : start + _COLUMNS].astype(np.float64), cells, shape, prompts, length_N)
        for start in range(0, u_NM.shape[1], _COLUMNS)
    ]
    return Effects(*(np.concatenate(part, axis=1) for part in zip(*blocks, strict=True)))


def _contrast_block(
    u_NM: np.ndarray, cells: list[Cells], shape: Geometry, prompts: Prompts, length_N: np.ndarray
) -> Effects:
    rounding_M = rounding(u_NM)
    u_NM = u_NM - u_NM.mean(axis=0)
    total_GM = prompt_totals(u_NM, prompts)
    whole = _all_rows(u_NM, total_GM, prompts, rounding_M)
    sums = signal_sums(u_NM, total_GM, cells, prompts)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        means = _means(sums, shape, whole)
        effect = means.mean_in - means.mean_out  # method.md §5, Δ
        error, df, p = governing(effect, _own_error(sums, means, shape, whole), _pooled_error(means, shape, whole))
        width = half_width(error, df)
        welch = np.sqrt(means.var_in / _column(shape.inside.n) + means.var_out / _column(shape.outside.n))
        half_a, half_b = _halves(sums, shape, whole)
        return Effects(
            effect=effect,
            low=effect - width,
            high=effect + width,
            adjusted=_at_equal_length(u_NM, sums.total, shape, cells, length_N),
            d=effect / np.sqrt(_or_nan(means.var_pooled)),
            z=effect / error,
            z_welch=effect / _or_nan(welch),  # method.md §5, Welch z
            p=p,
            half_a=half_a,
            half_b=half_b,
        )


def _all_rows(u_NM: np.ndarray, total_GM: np.ndarray, prompts: Prompts, rounding_M: np.ndarray) -> _AllRows:
    half_b = int(prompts.half_N.sum())
    return _AllRows(
        n=len(u_NM),
        prompts=len(total_GM),
        square=np.einsum("nm,nm->m", u_NM, u_NM),
        prompt_square=np.einsum("gm,gm->m", total_GM, total_GM),
        by_size=prompts.size_G.astype(np.float64) @ total_GM,
        half_b=prompts.half_G.astype(np.float64) @ total_GM,
        half_rows_2=np.array([len(u_NM) - half_b, half_b]),
        rounding=rounding_M,
    )


def _means(sums: SignalSums, shape: Geometry, whole: _AllRows) -> _Means:
    n_in, n_out = _column(shape.inside.n), _column(shape.outside.n)
    mean_in, mean_out = sums.total / n_in, -sums.total / n_out  # u is centred: its total is 0
    var_in = positive((sums.square - n_in * mean_in**2) / (n_in - 1), whole.rounding)
    var_out = positive((whole.square - sums.square - n_out * mean_out**2) / (n_out - 1), whole.rounding)
    var_pooled = ((n_in - 1) * var_in + (n_out - 1) * var_out) / (whole.n - 2)
    return _Means(mean_in, mean_out, var_in, var_out, var_pooled)


def _own_error(sums: SignalSums, means: _Means, shape: Geometry, whole: _AllRows) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom from each mean's own variance; the squares of A and B are expanded."""
    n_in, correct_in, df_in = map(_column, shape.inside)
    n_out, correct_out, df_out = map(_column, shape.outside)
    ii, oo, io = map(_column, (shape.square_inside_K, shape.square_outside_K, shape.product_K))
    a, b = means.mean_in, means.mean_out

    def inside_square(mean: np.ndarray) -> np.ndarray:  # Σ_g (S_g − i_g·mean)²
        found: np.ndarray = sums.cell_square - 2 * mean * sums.by_inside + mean**2 * ii
        return found

    everyone = whole.prompt_square - 2 * b * whole.by_size + b**2 * (ii + 2 * io + oo)  # Σ_g (T_g − n_g b)²
    shared = sums.cross - b * (sums.total_by_inside + sums.by_inside + sums.by_outside) + b**2 * (ii + io)
    square_in = positive(inside_square(a), whole.n * whole.rounding)  # Σ_g A_g²
    square_out = positive(everyone - 2 * shared + inside_square(b), whole.n * whole.rounding)  # Σ_g B_g²
    product = sums.cross - sums.cell_square - b * sums.by_outside  # Σ_g A_g B_g, with the next line
    product = product - a * (sums.total_by_inside - sums.by_inside) + a * b * io

    part_in, part_out = correct_in * square_in / n_in**2, correct_out * square_out / n_out**2
    covariance = np.sqrt(correct_in * correct_out) * product / (n_in * n_out)
    satterthwaite = (part_in + part_out) ** 2 / (part_in**2 / df_in + part_out**2 / df_out)
    error = np.sqrt(positive(part_in + part_out - 2 * covariance, whole.rounding / whole.n))
    return error, np.minimum(satterthwaite, whole.prompts - 1)


def _pooled_error(means: _Means, shape: Geometry, whole: _AllRows) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom from one variance for both means and one correlation within prompts."""
    n_in, n_out = _column(shape.inside.n), _column(shape.outside.n)
    ii, oo, io = map(_column, (shape.square_inside_K, shape.square_outside_K, shape.product_K))
    excess = (ii + 2 * io + oo)[0] - whole.n  # Σ n_g² − N: 0 where no prompt repeats
    ratio = whole.prompt_square / (_or_nan(whole.square) / whole.n)
    correlation = np.nan_to_num(np.clip((ratio - whole.n) / excess, 0, 1)) if excess > 0 else 0.0
    prompts = ii / n_in**2 + oo / n_out**2 - 2 * io / (n_in * n_out)  # Σ_g h_g²
    factor = (1 - correlation) * (1 / n_in + 1 / n_out) + correlation * prompts
    error = np.sqrt(means.var_pooled * factor)
    return error, np.full(error.shape, whole.prompts - 2.0)


def governing(
    effect: np.ndarray, own: tuple[np.ndarray, np.ndarray], pooled: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error, degrees of freedom and p of the test with the larger p; NaN if either test cannot be made."""
    p_own, p_pooled = two_sided_p(effect, *own), two_sided_p(effect, *pooled)
    error, df = (np.where(p_pooled > p_own, *pair) for pair in zip(pooled, own, strict=True))
    p = np.maximum(p_own, p_pooled)
    return np.where(np.isnan(p), np.nan, error), df, p


def _halves(sums: SignalSums, shape: Geometry, whole: _AllRows) -> tuple[np.ndarray, np.ndarray]:
    """Δ on halves A and B of the prompts; NaN if a half has no row inside, or none outside."""
    inside = (sums.total - sums.half_b, sums.half_b)
    everyone = (-whole.half_b, whole.half_b)
    rows = zip(shape.half_rows_2K[:, :, None], whole.half_rows_2, strict=True)
    deltas = [
        part / _or_nan(n_in) - (total - part) / _or_nan(n - n_in)
        for part, total, (n_in, n) in zip(inside, everyone, rows, strict=True)
    ]
    return deltas[0], deltas[1]


def _at_equal_length(
    u_NM: np.ndarray, total_KM: np.ndarray, shape: Geometry, cells: list[Cells], length_N: np.ndarray
) -> np.ndarray:
    """Coefficient of 1{inside} when u is regressed on it and on the length difference (Frisch–Waugh–Lovell)."""
    length_N = length_N - length_N.mean()
    inside_K = np.array([length_N[c.rows].sum() for c in cells])
    slope_K = inside_K / spread(length_N)  # of 1{inside} on length
    residual_KM = total_KM - np.outer(slope_K, length_N @ u_NM)
    square_K = shape.inside.n * shape.outside.n / len(u_NM) - slope_K * inside_K
    found: np.ndarray = residual_KM / _column(_or_nan(np.where(square_K > 1e-9 * shape.inside.n, square_K, 0)))
    return found


def _column(values_K: np.ndarray) -> np.ndarray:
    return np.asarray(values_K)[:, None]


def _or_nan(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)
