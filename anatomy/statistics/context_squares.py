"""Squares of what each prompt and text adds to the difference of a mean inside a context and the mean outside.

Scores are what a row adds to a mean, deviations from it for a plain mean. Inside scores are those of the context's own
fit; outside scores are those of all rows, taken from their own mean, so that totals minus inside sums suffice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anatomy.statistics.context_cells import Cells, TextCells
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import prompt_totals
from anatomy.statistics.shared_texts import Bundles


class _TextTotals(NamedTuple):
    """Sums of all rows in each bundle, and the part of each text in the square of the mean of all rows."""

    shared: Bundles
    total_QM: np.ndarray
    part_XM: np.ndarray
    rest_Q: np.ndarray  # 1 − share of the rows for whole texts, else 1


class Whole(NamedTuple):
    """M scores of all N rows, which sum to 0, with their sums by prompt and by text."""

    score_NM: np.ndarray
    total_GM: np.ndarray
    prompt_square: np.ndarray  # Σ_g T_g²
    by_size: np.ndarray  # Σ_g n_g T_g
    size_square: float  # Σ_g n_g²
    texts: _TextTotals | None


class Squares(NamedTuple):
    """Squares of a context's parts, [M], or of all contexts', [K, M]; A and B sum a prompt's scores inside and outside.

    The part of the texts is of the difference of means; the other squares are of sums.
    """

    rows: np.ndarray  # Σ_rows s², inside
    inside: np.ndarray  # Σ_g A_g²
    outside: np.ndarray  # Σ_g B_g²
    product: np.ndarray  # Σ_g A_g B_g
    text_added: np.ndarray
    text_squares: np.ndarray


def whole(score_NM: np.ndarray, frame: RowFrame) -> Whole:
    """Sums of the scores of all rows."""
    total_GM = prompt_totals(score_NM, frame.prompts)
    size_G = frame.prompts.size_G.astype(np.float64)
    return Whole(
        score_NM=score_NM,
        total_GM=total_GM,
        prompt_square=np.einsum("gm,gm->m", total_GM, total_GM),
        by_size=size_G @ total_GM,
        size_square=float((size_G**2).sum()),
        texts=_text_totals(score_NM, frame.bundles) if frame.bundles.any else None,
    )


def context_squares(own_nM: np.ndarray, inside_nM: np.ndarray, c: Cells, everyone: Whole) -> Squares:
    """Squares of one context.

    Args:
        own_nM: the inside rows' scores in the context's own fit; they sum to 0.
        inside_nM: the same rows' scores in the fit of all rows.
        c: cells of the context.
        everyone: scores of all rows.
    """
    n_in, n_out = len(c.rows), len(everyone.score_NM) - len(c.rows)
    mean_out = -inside_nM.sum(axis=0) / n_out
    own, inside = c.sums(own_nM), c.sums(inside_nM)
    straddles = c.outside.any()
    totals = everyone.total_GM[c.prompt] if straddles else inside
    touched = totals - np.outer(c.inside + c.outside, mean_out)
    square = everyone.prompt_square - 2 * mean_out * everyone.by_size + mean_out**2 * everyone.size_square
    square -= np.einsum("gm,gm->m", touched, touched)
    product = np.zeros(len(mean_out))
    if straddles:
        outside = totals - inside - np.outer(c.outside, mean_out)
        square += np.einsum("gm,gm->m", outside, outside)
        product = np.einsum("gm,gm->m", own, outside)
    added, squares = np.zeros((2, len(mean_out)))
    if everyone.texts is not None and c.texts is not None:
        added, squares = _texts(own_nM, inside_nM, mean_out, c.texts, everyone.texts, (n_in, n_out))
    rows = np.einsum("nm,nm->m", own_nM, own_nM)
    return Squares(rows, np.einsum("gm,gm->m", own, own), square, product, added, squares)


def _text_totals(score_NM: np.ndarray, shared: Bundles) -> _TextTotals:
    total_QM = shared.member_NQ.T @ score_NM
    share_Q = shared.size_Q / len(score_NM)
    part_XM = shared.by_shared(shared.coefficients(share_Q)[:, None] * total_QM**2)
    return _TextTotals(shared, total_QM, part_XM, _left(share_Q, shared.whole_Q))


def _texts(
    own_nM: np.ndarray,
    inside_nM: np.ndarray,
    mean_out: np.ndarray,
    c: TextCells,
    everyone: _TextTotals,
    sizes: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """What texts add to the variance of the difference, and the sum of squares of each text's part: two arrays [M].

    Texts without a row inside are part of the outside mean alone; their squares are those of all rows.
    """
    (n_in, n_out), shared = sizes, everyone.shared
    whole_Q, size_Q = shared.whole_Q[c.bundle], shared.size_Q[c.bundle]
    outside_QM = everyone.total_QM[c.bundle] - c.group @ inside_nM - np.outer(size_Q - c.inside, mean_out)
    left_in, left_out = (_left(count / n, whole_Q) for count, n in ((c.inside, n_in), (size_Q - c.inside, n_out)))
    carried_QM = (c.group @ own_nM) / (n_in * left_in[:, None]) - outside_QM / (n_out * left_out[:, None])
    place = np.searchsorted(c.shared, shared.shared_Q[c.bundle])
    part_XM = np.zeros((len(c.shared), len(mean_out)))
    np.add.at(part_XM, place, shared.sign_Q[c.bundle, None] * carried_QM**2)
    others_XM = np.delete(everyone.part_XM, c.shared, axis=0) / n_out**2
    added = part_XM.sum(axis=0) + others_XM.sum(axis=0)
    return np.maximum(added, 0), (part_XM**2).sum(axis=0) + (others_XM**2).sum(axis=0)


def _left(share_Q: np.ndarray, whole_Q: np.ndarray) -> np.ndarray:
    """``1 − share`` for whole texts, NaN where nothing is left, else 1."""
    return np.where(whole_Q, np.where(share_Q < 1 - 1e-9, 1 - share_Q, np.nan), 1.0)
