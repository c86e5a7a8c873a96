"""Numbering shared by every clustering: 0 is "none", clusters are 1..M by decreasing size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def by_size(raw_X: Int[np.ndarray, " X"], min_size: int = 1) -> Int[np.ndarray, " X"]:
    """Renumber ``raw_X`` (negative: unassigned) to 1..M by decreasing size, then by first member; 0 for the rest.

    Groups of fewer than ``min_size`` members are dissolved to 0.
    """
    groups, first, codes, sizes = np.unique(raw_X, return_index=True, return_inverse=True, return_counts=True)
    kept = (groups >= 0) & (sizes >= min_size)
    order = np.lexsort((first, -sizes))
    order = order[kept[order]]
    number = np.zeros(len(groups), dtype=np.int64)
    number[order] = np.arange(1, len(order) + 1)
    return number[codes]


def sizes(labels_X: Int[np.ndarray, " X"]) -> Int[np.ndarray, " M"]:
    """Members of clusters 1..M."""
    return np.bincount(labels_X, minlength=1)[1:]
