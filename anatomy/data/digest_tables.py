"""Sets and counts of 64-bit digests in little memory: 8 bytes for each that is known, 8 more for its count.

Digests are kept sorted, and new ones apart until there are many: all additions together take linear time. Two different
contents share a digest in one of ten million sets of a million rows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np
from jaxtyping import Int64, UInt64

FEWEST_NEW = 1 << 16
"""New digests are taken over when they are so many, and a sixteenth of the known ones."""
KIND = "Q"


class DigestSet:
    """Digests seen so far."""

    def __init__(self) -> None:
        self._known, self._new = array(KIND), set[int]()

    def __contains__(self, digest: int) -> bool:
        if digest in self._new:
            return True
        place = bisect_left(self._known, digest)
        return place < len(self._known) and self._known[place] == digest

    def add(self, digest: int) -> None:
        """Take in a digest that is not yet in the set."""
        self._new.add(digest)
        if len(self._new) >= max(FEWEST_NEW, len(self._known) // 16):
            self._known.extend(self._new)
            self._new.clear()
            np.frombuffer(self._known, np.uint64).sort(kind="stable")


class DigestCounts:
    """How often each digest was added."""

    def __init__(self) -> None:
        self._known: UInt64[np.ndarray, " K"] = np.empty(0, np.uint64)
        self._counts: Int64[np.ndarray, " K"] = np.empty(0, np.int64)
        self._new = array(KIND)

    def add(self, digest: int) -> None:
        """Count a digest once more."""
        self._new.append(digest)
        if len(self._new) >= max(FEWEST_NEW, len(self._known) // 4):
            self._take_over()

    def counts(self) -> Int64[np.ndarray, " K"]:
        """How often each distinct digest was added, in no order that means anything."""
        self._take_over()
        return self._counts

    def _take_over(self) -> None:
        new, number = np.unique(np.frombuffer(self._new, np.uint64), return_counts=True)
        self._new = array(KIND)
        digests, counts = np.concatenate([self._known, new]), np.concatenate([self._counts, number])
        order = np.argsort(digests, kind="stable")
        digests, counts = digests[order], counts[order]
        first = np.flatnonzero(np.diff(digests, prepend=~digests[:1]))
        self._known = digests[first]
        self._counts = np.add.reduceat(counts, first) if len(first) else counts
