"""Quantiles of lengths in bounded memory."""

from __future__ import annotations

import math
from collections import Counter

from anatomy.data.health import SpanLengths

EXACT_BELOW = 1000


class LengthTable:
    """Distribution of non-negative integers: exact below 1,000, to three significant digits (0.5 %) above.

    Mean and maximum are exact. At most 900 counters for each power of ten, however many lengths are added.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._sum, self.max = 0, 0

    def add(self, length: int) -> None:
        step = 1 if length < EXACT_BELOW else 10 ** (len(str(length)) - 3)
        self._counts[round(length / step) * step] += 1
        self._sum += length
        self.max = max(self.max, length)

    def quantile(self, share: float) -> int:
        """Smallest length that at least ``share`` of all lengths do not exceed (numpy's ``inverted_cdf``)."""
        rank = max(1, math.ceil(share * self._counts.total()))
        for length in sorted(self._counts):
            rank -= self._counts[length]
            if rank <= 0:
                return length
        return 0

    @property
    def mean(self) -> float:
        """Mean length; 0 if nothing was added."""
        return self._sum / max(1, self._counts.total())

    def described(self, unit: str) -> SpanLengths:
        """Mean, quantiles and maximum as a part of the health."""
        p5, p50, p95 = (self.quantile(share) for share in (0.05, 0.5, 0.95))
        return SpanLengths(unit=unit, mean=round(self.mean, 1), p5=p5, p50=p50, p95=p95, max=self.max)
