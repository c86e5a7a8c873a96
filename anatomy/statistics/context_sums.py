"""Sums of signals inside contexts, by prompt: all that a comparison of inside and outside needs, in one pass.

A context is any set of rows. Contexts may overlap, and a prompt may have rows both inside and outside. A *cell* holds
the rows of one prompt inside one context. Outside sums are totals minus inside sums, so only inside rows are read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from anatomy.statistics.clustered import ClusteredMean, clustered_mean, power_sums
from anatomy.statistics.prompts import Prompts


class Cells(NamedTuple):
    """Rows of one context and, for each cell, the rows it holds, its prompt, and that prompt's rows in and out."""

    rows: np.ndarray
    group: sp.csr_array  # indicator [cells, rows]
    prompt: np.ndarray
    inside: np.ndarray
    outside: np.ndarray


class Geometry(NamedTuple):
    """Numbers that depend on the membership of rows and not on any signal; arrays over K contexts."""

    inside: ClusteredMean
    outside: ClusteredMean
    prompts_K: np.ndarray  # prompts with a row inside
    half_rows_2K: np.ndarray  # inside rows in halves A, B
    square_inside_K: np.ndarray  # Σ_g i_g²
    square_outside_K: np.ndarray  # Σ_g o_g²
    product_K: np.ndarray  # Σ_g i_g o_g


class SignalSums(NamedTuple):
    """Sums over the rows or cells of each context, [K, M]. S is a prompt's sum inside, T its sum over all rows."""

    total: np.ndarray  # Σ_rows u
    square: np.ndarray  # Σ_rows u²
    half_b: np.ndarray  # Σ_rows u over half B
    by_inside: np.ndarray  # Σ_g i_g S_g
    by_outside: np.ndarray  # Σ_g o_g S_g
    cell_square: np.ndarray  # Σ_g S_g²
    cross: np.ndarray  # Σ_g S_g T_g
    total_by_inside: np.ndarray  # Σ_g i_g T_g


def context_cells(member_KN: sp.csr_array, prompts: Prompts) -> list[Cells]:
    """The cells of every context (row of ``member_KN``)."""
    size_G = prompts.size_G
    cells = []
    for k in range(member_KN.shape[0]):
        rows = member_KN.indices[member_KN.indptr[k] : member_KN.indptr[k + 1]]
        rows = rows[np.argsort(prompts.code_N[rows], kind="stable")]  # so that a row is its cell where none repeats
        prompt, cell, inside = np.unique(prompts.code_N[rows], return_inverse=True, return_counts=True)
        group = sp.csr_array((np.ones(len(rows)), (cell, np.arange(len(rows)))), shape=(len(prompt), len(rows)))
        cells.append(Cells(rows, group, prompt, inside, size_G[prompt] - inside))
    return cells


def geometry(cells: list[Cells], prompts: Prompts) -> Geometry:
    """Sizes, small-sample constants and overlaps of the contexts."""
    everywhere = power_sums(prompts.size_G)
    inside = np.array([power_sums(c.inside) for c in cells])
    outside = np.array([everywhere - power_sums(c.inside + c.outside) + power_sums(c.outside) for c in cells])
    half_b = np.array([c.inside[prompts.half_G[c.prompt]].sum() for c in cells])
    return Geometry(
        inside=clustered_mean(inside),
        outside=clustered_mean(outside),
        prompts_K=np.array([len(c.prompt) for c in cells]),
        half_rows_2K=np.stack([inside[:, 0] - half_b, half_b]),
        square_inside_K=inside[:, 1],
        square_outside_K=outside[:, 1],
        product_K=np.array([(c.inside * c.outside).sum() for c in cells], dtype=np.float64),
    )


def signal_sums(u_NM: np.ndarray, total_GM: np.ndarray, cells: list[Cells], prompts: Prompts) -> SignalSums:
    """Sums of M signals in every context.

    Args:
        u_NM: signals in float64, centred so that differences of squares keep their digits.
        total_GM: sum of each prompt's rows.
    """
    return SignalSums(*np.stack([_cell_sums(u_NM, total_GM, c, prompts.half_G) for c in cells], axis=1))


def _cell_sums(u_NM: np.ndarray, total_GM: np.ndarray, c: Cells, half_G: np.ndarray) -> np.ndarray:
    inside = u_NM[c.rows]
    repeated = len(c.prompt) < len(c.rows)
    sums = c.group @ inside if repeated else inside
    weights = np.stack([np.ones(len(c.prompt)), half_G[c.prompt], c.inside, c.outside])
    total, half_b, by_inside, by_outside = weights @ sums
    cell_square = np.einsum("gm,gm->m", sums, sums)
    square = np.einsum("nm,nm->m", inside, inside) if repeated else cell_square
    cross, total_by_inside = cell_square, by_inside  # where no prompt straddles, S is T
    if c.outside.any():
        totals = total_GM[c.prompt]
        cross, total_by_inside = np.einsum("gm,gm->m", sums, totals), c.inside @ totals
    return np.stack([total, square, half_b, by_inside, by_outside, cell_square, cross, total_by_inside])
