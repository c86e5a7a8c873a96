"""Rows that share a response text under different prompts, and what they add to the variance of a sum.

A text that recurs is one observation, however many prompts it stands under. Rows depend if they share the prompt or a
text, on either side, so the variance of a sum of scores s is ``Σ_ij s_i s_j`` over dependent rows. By inclusion and
exclusion that is the part of the prompts plus, for every text t that stands under more than one prompt,
``(Σ_t s)² − Σ_g (Σ_{t,g} s)²``, minus the same for every pair of texts. Each of these sums is a *bundle* of rows with a
sign. A text that makes up the share w of the rows hides behind the mean that it makes itself; its sum is divided by
``1 − w``, which is the change of the mean when the text is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int


class Bundles(NamedTuple):
    """Q signed bundles of the N rows that share a text or a pair of texts across prompts; Q is 0 if none does."""

    member_NQ: sp.csr_array
    sign_Q: Float[np.ndarray, " Q"]
    whole_Q: np.ndarray  # the bundle holds all rows of a text
    shared_Q: Int[np.ndarray, " Q"]  # the text, or pair of texts, that it belongs to
    size_Q: Float[np.ndarray, " Q"]  # rows

    @property
    def any(self) -> bool:
        """Whether a text recurs under different prompts."""
        return bool(len(self.sign_Q))

    def by_shared(self, values_QM: np.ndarray) -> np.ndarray:
        """Sums over the bundles of each text or pair of texts: [X, M]."""
        names, place = np.unique(self.shared_Q, return_inverse=True)
        indicator = sp.csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(len(names), len(place)))
        return np.asarray(indicator @ values_QM)

    def coefficients(self, share_Q: np.ndarray) -> np.ndarray:
        """What the square of each bundle's sum counts; NaN for a text that all rows share, which leaves no test.

        Args:
            share_Q: share of the weight of all rows that the bundle has, in 0–1.
        """
        with np.errstate(divide="ignore"):
            left_Q = np.where(share_Q < 1 - 1e-9, 1 - share_Q, np.nan)
            return np.asarray(self.sign_Q * np.where(self.whole_Q, left_Q**-2.0, 1.0))


class TextPart(NamedTuple):
    """What shared texts add to a variance, and the sum of squares of each text's part; arrays [M]."""

    added: np.ndarray
    squares: np.ndarray


def bundles(text_N2: Int[np.ndarray, "N 2"] | None, prompt_N: Int[np.ndarray, " N"]) -> Bundles:
    """Bundles of the rows.

    Args:
        text_N2: a number for each text: chosen, rejected. None: texts are not known, and no row shares one.
        prompt_N: a number for each row's prompt.
    """
    n = len(prompt_N)
    if text_N2 is None:
        return _stacked([], n)
    row, text = np.unique(np.stack([np.repeat(np.arange(n), 2), text_N2.reshape(-1)]), axis=1)
    recurs = _recurring(text, prompt_N[row])
    low_N, high_N = text_N2.min(axis=1), text_N2.max(axis=1)
    pair_N = low_N.astype(np.int64) * (int(high_N.max(initial=0)) + 1) + high_N
    both = _recurring(pair_N, prompt_N)
    rows = np.flatnonzero(both)
    parts = [(row[recurs], text[recurs], 1.0), (rows, pair_N[both], -1.0)]
    return _stacked([(part, names, prompt_N, sign) for part, names, sign in parts if len(part)], n)


def text_part(score_NM: Float[np.ndarray, "N M"], shared: Bundles, weight_N: np.ndarray | None = None) -> TextPart:
    """The part of ``Σ_ij s_i s_j`` that shared texts add to the part of the prompts.

    Args:
        score_NM: scores that sum to 0 over the rows.
        weight_N: weight of each row in the mean (≥ 0); default: all equal.
    """
    weight_N = np.ones(len(score_NM)) if weight_N is None else weight_N
    sum_QM = shared.member_NQ.T @ score_NM
    coefficient_Q = shared.coefficients(shared.member_NQ.T @ weight_N / weight_N.sum())
    part_XM = shared.by_shared(coefficient_Q[:, None] * sum_QM**2)
    return TextPart(np.maximum(part_XM.sum(axis=0), 0), (part_XM**2).sum(axis=0))


def with_texts(variance: np.ndarray, df: np.ndarray, part: TextPart) -> tuple[np.ndarray, np.ndarray]:
    """Variance and degrees of freedom with the part of the texts, each of which is one square (Satterthwaite).

    A test that one text carries keeps about one degree of freedom.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = variance + part.added
        return total, np.where(part.squares > 0, total**2 / (variance**2 / df + part.squares), df)


def _recurring(name: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """Which places have a name that stands with more than one prompt."""
    names, code = np.unique(name, return_inverse=True)
    distinct = np.unique(np.stack([code, prompt]), axis=1)[0]
    return np.asarray(np.bincount(distinct, minlength=len(names))[code] > 1)


def _stacked(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]], n: int) -> Bundles:
    """The bundles of (rows, names, prompts, sign): one for each name, one of opposite sign for each name and prompt."""
    rows, columns, sign, whole, shared = [], [], [], [], []
    count = names_before = 0
    for row, name, prompt_N, way in parts:
        names, code = np.unique(name, return_inverse=True)
        cells, cell = np.unique(np.stack([code, prompt_N[row]]), axis=1, return_inverse=True)
        rows += [row, row]
        columns += [count + code, count + len(names) + cell.reshape(-1)]
        sign += [np.full(len(names), way), np.full(cells.shape[1], -way)]
        whole += [np.full(len(names), way > 0), np.zeros(cells.shape[1], bool)]
        shared += [names_before + np.arange(len(names)), names_before + cells[0]]
        count, names_before = count + len(names) + cells.shape[1], names_before + len(names)
    if not parts:
        nothing = np.zeros(0)
        return Bundles(sp.csr_array((n, 0)), nothing, nothing.astype(bool), nothing.astype(np.int64), nothing)
    place = np.concatenate(rows), np.concatenate(columns)
    member_NQ = sp.csr_array((np.ones(len(place[0])), place), shape=(n, count))
    size_Q: np.ndarray = np.asarray(member_NQ.sum(axis=0)).reshape(-1)
    return Bundles(member_NQ, np.concatenate(sign), np.concatenate(whole), np.concatenate(shared), size_Q)
