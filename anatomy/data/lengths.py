"""Quantiles of lengths in bounded memory."""

from __future__ import annotations

import math
from collections import Counter

from anatomy.data.health_parts import SpanLengths

EXACT_BELOW = 1000
MOST_NEW = 4096


class LengthTable:
    """Distribution of non-negative integers: exact below 1,000, to three significant digits (0.5 %) above.

    Mean and maximum are exact. At most 900 counters for each power of ten, however many lengths are added.
    """

    def __init__(self) -> None:
        self._new: list[int] = []
        self._counts: Counter[int] = Counter()
        self._sum = self._max = 0

    def add(self, length: int) -> None:
        """Take a length into account; many are counted together."""
        self._new.append(length)
        if len(self._new) == MOST_NEW:
            self._take_over()

    def _take_over(self) -> None:
        for length, number in Counter(self._new).items():
            step = 1 if length < EXACT_BELOW else 10 ** (len(str(length)) - 3)
            self._counts[round(length / step) * step] += number
        self._sum += sum(self._new)
        self._max = max([self._max, *self._new])
        self._new.clear()

    def quantile(self, share: float) -> int:
        """Smallest length that at least ``share`` of all lengths do not exceed (numpy's ``inverted_cdf``)."""
        self._take_over()
        rank = max(1, math.ceil(share * self._counts.total()))
        for length in sorted(self._counts):
            rank -= self._counts[length]
            if rank <= 0:
                return length
        return 0

    @property
    def max(self) -> int:
        """Largest length; 0 if nothing was added."""
        self._take_over()
        return self._max

    @property
    def mean(self) -> float:
        """Mean length; 0 if nothing was added."""
        self._take_over()
        return self._sum / max(1, self._counts.total())

    def described(self, unit: str) -> SpanLengths:
        """Mean, quantiles and maximum as a part of the health."""
        p5, p50, p95 = (self.quantile(share) for share in (0.05, 0.5, 0.95))
        return SpanLengths(unit=unit, mean=round(self.mean, 1), p5=p5, p50=p50, p95=p95, max=self.max)
