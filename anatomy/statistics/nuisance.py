"""Columns for what a label may follow besides the content: length and authorship, antisymmetric under exchanged sides.

Each column changes its sign with the labels, so that the constant 1 is the label where sides are ordered by content.
Length has which side is longer, the difference ℓ of log-lengths, and the curvature of a natural spline in |ℓ|, with the
sign of ℓ. Authors have, for each pair of authors that wrote at least a few rows, which of the two is chosen; other rows
have one column for each of their authors (+1 chosen, −1 rejected).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from anatomy.statistics.frame import RowFrame

KNOTS = (0.1, 0.4, 0.7, 0.95)
"""Quantiles of the |ℓ| above 0 at which the spline bends."""
PAIR_ROWS = 10
"""Rows that a pair of authors, or an author of rare pairs, needs for a column of its own."""
PROMPTS_PER_COLUMN = 5
"""Prompts that each column of authors needs in the whole set."""
MOST_COLUMNS = 64


class Nuisance(NamedTuple):
    """Columns of N rows: length (L of them, the coarsest first), pairs of authors (A), and authors alone (B)."""

    length_NL: Float[np.ndarray, "N L"]
    pair_NA: Float[np.ndarray, "N A"]
    author_NB: Float[np.ndarray, "N B"]

    @property
    def everywhere(self) -> Float[np.ndarray, "N P"]:
        """The columns of a fit over all rows: length, and pairs of authors."""
        return np.hstack([self.length_NL, self.pair_NA])


def nuisance(frame: RowFrame) -> Nuisance:
    """The columns of the rows; A and B are 0 where no authors are known."""
    most = min(MOST_COLUMNS, len(frame.prompts.half_G) // PROMPTS_PER_COLUMN)
    pair_NA, rest_N = _pair_columns(frame.author_N2, len(frame.length_N), most)
    alone_NB = _author_columns(frame.author_N2, rest_N, most - pair_NA.shape[1])
    every_NB = _author_columns(frame.author_N2, np.ones(len(frame.length_N), bool), MOST_COLUMNS)
    return Nuisance(_length_columns(frame.length_N), np.hstack([pair_NA, alone_NB]), every_NB)


def _length_columns(length_N: np.ndarray) -> np.ndarray:
    size_N, sign_N = np.abs(length_N), np.sign(length_N)
    if not sign_N.any():
        return np.zeros((len(length_N), 0))
    knots = np.unique(np.quantile(size_N[size_N > 0], KNOTS))
    columns = [np.ones(len(length_N)), size_N]
    if len(knots) > 2:
        last, before = knots[-1], knots[-2]
        for knot in knots[:-2]:  # natural cubic: a straight line beyond the last knot
            first, second = ((last - knot) / (last - before), (before - knot) / (last - before))
            bends = [np.maximum(size_N - at, 0) ** 3 for at in (knot, before, last)]
            columns.append((bends[0] - first * bends[1] + second * bends[2]) / (last - knots[0]) ** 2)
    return np.asarray(np.stack(columns, axis=1) * sign_N[:, None])


def _pair_columns(author_N2: Int[np.ndarray, "N 2"] | None, n: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the most frequent pairs of authors, and the rows of different known authors that have none."""
    if author_N2 is None:
        return np.zeros((n, 0)), np.zeros(n, bool)
    differ_N = (author_N2 >= 0).all(axis=1) & (author_N2[:, 0] != author_N2[:, 1])
    pairs_R2 = np.sort(author_N2[differ_N], axis=1)
    _, code_R, count = np.unique(pairs_R2, axis=0, return_inverse=True, return_counts=True)
    kept = [place for place in np.argsort(-count, kind="stable")[: max(most, 0)] if count[place] >= PAIR_ROWS]
    code_N = np.full(n, -1)
    code_N[differ_N] = code_R.reshape(-1)
    sign_N = np.where(author_N2[:, 0] < author_N2[:, 1], 1.0, -1.0)
    columns = [np.where(code_N == place, sign_N, 0.0) for place in kept]
    return np.stack(columns, axis=1) if columns else np.zeros((n, 0)), differ_N & ~np.isin(code_N, kept)


def _author_columns(author_N2: Int[np.ndarray, "N 2"] | None, rows_N: np.ndarray, most: int) -> np.ndarray:
    """Columns of the most frequent authors of the given rows."""
    if author_N2 is None:
        return np.zeros((len(rows_N), 0))
    known_N = rows_N & (author_N2 >= 0).all(axis=1) & (author_N2[:, 0] != author_N2[:, 1])
    names, count = np.unique(author_N2[known_N], return_counts=True)
    kept = [name for name, rows in sorted(zip(names, count, strict=True), key=lambda item: (-item[1], item[0]))
            if rows >= PAIR_ROWS][: max(most, 0)]  # fmt: skip
    columns = [((author_N2[:, 0] == name) * 1.0 - (author_N2[:, 1] == name)) * known_N for name in kept]
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows_N), 0))
