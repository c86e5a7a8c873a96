"""Rows of contexts grouped by prompt and by shared text, and the sizes that a comparison of inside and outside needs.

A context is any set of rows. Contexts may overlap, and a prompt may have rows both inside and outside. A *cell* holds
the rows of one prompt inside one context. Outside sums are totals minus inside sums, so only inside rows are read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from anatomy.statistics.clustered import ClusteredMean, clustered_mean, power_sums
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.shared_texts import Bundles


class TextCells(NamedTuple):
    """Bundles of every text that a row of the context has, and the rows of the context in each."""

    bundle: np.ndarray
    group: sp.csr_array  # indicator [bundles, rows of the context]
    inside: np.ndarray  # rows of the bundle inside
    shared: np.ndarray  # the texts


class Cells(NamedTuple):
    """Rows of one context and, for each cell, the rows it holds, its prompt, and that prompt's rows in and out."""

    rows: np.ndarray
    group: sp.csr_array  # indicator [cells, rows]
    prompt: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    texts: TextCells | None  # None where no text recurs under different prompts

    def sums(self, values_nM: np.ndarray) -> np.ndarray:
        """Sum of each cell's rows; rows are sorted by prompt, so that a row is its cell where none repeats."""
        return self.group @ values_nM if len(self.prompt) < len(self.rows) else values_nM


class Geometry(NamedTuple):
    """Numbers that depend on the membership of rows and not on any signal; arrays over K contexts."""

    inside: ClusteredMean
    outside: ClusteredMean
    prompts_K: np.ndarray  # prompts with a row inside
    half_rows_2K: np.ndarray  # inside rows in halves A, B
    square_inside_K: np.ndarray  # Σ_g i_g²
    square_outside_K: np.ndarray  # Σ_g o_g²
    product_K: np.ndarray  # Σ_g i_g o_g


def context_cells(member_KN: sp.csr_array, frame: RowFrame) -> list[Cells]:
    """The cells of every context (row of ``member_KN``)."""
    prompts, size_G = frame.prompts, frame.prompts.size_G
    cells = []
    for k in range(member_KN.shape[0]):
        rows = member_KN.indices[member_KN.indptr[k] : member_KN.indptr[k + 1]]
        rows = rows[np.argsort(prompts.code_N[rows], kind="stable")]
        prompt, cell, inside = np.unique(prompts.code_N[rows], return_inverse=True, return_counts=True)
        group = sp.csr_array((np.ones(len(rows)), (cell, np.arange(len(rows)))), shape=(len(prompt), len(rows)))
        texts = _text_cells(rows, frame.bundles) if frame.bundles.any else None
        cells.append(Cells(rows, group, prompt, inside, size_G[prompt] - inside, texts))
    return cells


def _text_cells(rows: np.ndarray, shared: Bundles) -> TextCells:
    member_nQ = shared.member_NQ[rows]
    texts = np.unique(shared.shared_Q[member_nQ.indices])
    bundle = np.flatnonzero(np.isin(shared.shared_Q, texts))
    group = sp.csr_array(member_nQ.tocsc()[:, bundle].T)
    return TextCells(bundle, group, np.asarray(group.sum(axis=1)).reshape(-1), texts)


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
