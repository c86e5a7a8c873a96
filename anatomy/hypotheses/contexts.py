"""Contexts: named sets of rows in which responses are tested, and which findings say the same as another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int

from anatomy.hypotheses.signals import indicator

GROUP = "G:"
"""How the id of a group of the user's begins."""
SHARED = 0.5
"""Share of the smaller context's rows in another one, above which the two say the same."""
MIRRORED = 0.8
"""Overlap (Jaccard) of a context with all rows outside of another, above which the two are one contrast."""


class Contexts(NamedTuple):
    """K named sets of rows; they may overlap. ``parents`` names the next larger data cluster, empty for none."""

    ids: Sequence[str]
    member_KN: sp.csr_array
    parents: Sequence[str]

    @classmethod
    def joined(cls, parts: Sequence[Contexts]) -> Contexts:
        """All contexts of several sets over the same rows."""
        member_KN = sp.csr_array(sp.vstack([part.member_KN for part in parts], format="csr"))
        ids = [name for part in parts for name in part.ids]
        return cls(ids, member_KN, [name for part in parts for name in part.parents])

    def take(self, kept: Bool[np.ndarray, " K"]) -> Contexts:
        """Some of the contexts."""
        places = np.flatnonzero(kept).tolist()
        ids, parents = ([names[place] for place in places] for names in (self.ids, self.parents))
        return Contexts(ids, self.member_KN[places], parents)

    def among(self, rows_N: Bool[np.ndarray, " N"]) -> Contexts:
        """The contexts over a subset of the rows, in their order."""
        return self._replace(member_KN=sp.csr_array(self.member_KN[:, np.flatnonzero(rows_N)]))

    def rows(self, name: str) -> Int[np.ndarray, " n"]:
        """Places of the rows of one context, ascending."""
        place = list(self.ids).index(name)
        return np.sort(self.member_KN.indices[slice(*self.member_KN.indptr[place : place + 2])])


def numbered(prefix: str, member_KN: sp.csr_array) -> Contexts:
    """Contexts that are called ``{prefix}1`` and so on."""
    n = member_KN.shape[0]
    return Contexts([f"{prefix}{place + 1}" for place in range(n)], member_KN, [""] * n)


def data_contexts(levels: Sequence[Int[np.ndarray, " N"]]) -> Contexts:
    """The data clusters of all levels, the finest first; numbers are distinct over levels, and label 0 is in none."""
    ids, rows, parents = list[str](), list[np.ndarray](), list[str]()
    for level_N, above_N in zip(levels, [*levels[1:], None], strict=True):
        for number in np.unique(level_N[level_N > 0]).tolist():
            rows.append(np.flatnonzero(level_N == number))
            ids.append(f"D{number}")
            parents.append("" if above_N is None else f"D{above_N[rows[-1][0]]}")
    return Contexts(ids, indicator(rows, len(levels[0])), parents)


def group_contexts(values: Sequence[Mapping[str, str]], columns: Mapping[str, Sequence[str]]) -> Contexts:
    """The groups of the user's own columns: ``G:column=value``.

    Args:
        values: of each row, its value of each column that may be a group.
        columns: the columns that are groups, with their values.
    """
    found: dict[str, list[int]] = {f"{GROUP}{column}={value}": [] for column in columns for value in columns[column]}
    for row, own in enumerate(values):
        for column, value in own.items():
            if column in columns:
                found.setdefault(f"{GROUP}{column}={value}", []).append(row)
    kept = {name: np.array(rows, np.int64) for name, rows in found.items() if rows}
    return Contexts(list(kept), indicator(list(kept.values()), len(values)), [""] * len(kept))


def repeated(
    p_KM: np.ndarray, effect_KM: np.ndarray, stable_KM: Bool[np.ndarray, "K M"], contexts: Contexts
) -> np.ndarray:
    """For each test the context whose finding it repeats, empty for none: [K, M] of strings.

    Tests of a response are taken by rising p, stable ones only. One repeats an earlier one that itself repeats none if
    both lean to one side and more than half of the smaller context's rows are in the other, or if they lean to opposite
    sides and one context is nearly all that the other leaves: inside against outside is then one contrast.
    """
    shared_KK, size_K = in_common(contexts.member_KN)
    same_KK, mirrored_KK = mostly_shared(shared_KK, size_K), _mirrored(shared_KK, size_K, contexts.member_KN.shape[1])
    place_KM = np.full(p_KM.shape, -1)
    for m, p_K in enumerate(p_KM.T):
        side_K, open_K = np.sign(effect_KM[:, m]), stable_KM[:, m] & ~np.isnan(p_K)
        for k in np.argsort(p_K, kind="stable"):
            if open_K[k]:
                open_K[k] = False
                repeats_K = open_K & np.where(side_K == side_K[k], same_KK[k], mirrored_KK[k])
                place_KM[repeats_K, m] = k
                open_K &= ~repeats_K
    return np.asarray(np.append(np.asarray(contexts.ids, dtype=str), "")[place_KM])


def in_common(member_KN: sp.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Rows that two contexts share, [K, K], and rows of each, [K]."""
    counted_KN = member_KN.astype(np.float32)
    return (counted_KN @ counted_KN.T).toarray(), np.diff(member_KN.indptr)


def mostly_shared(shared_KK: np.ndarray, size_K: np.ndarray) -> Bool[np.ndarray, "K K"]:
    """Which contexts share most of the smaller one's rows; arguments as of :func:`in_common`."""
    return np.asarray(shared_KK > SHARED * np.minimum(size_K[:, None], size_K))


def _mirrored(shared_KK: np.ndarray, size_K: np.ndarray, n_rows: int) -> Bool[np.ndarray, "K K"]:
    """Whether the second context is nearly what the first one leaves."""
    outside_K, only_KK = n_rows - size_K, size_K - shared_KK  # rows of the second that the first lacks
    either_KK = outside_K[:, None] + size_K - only_KK
    return np.asarray(only_KK > MIRRORED * either_KK)
