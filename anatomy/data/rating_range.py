"""Whether the ratings of a set say anything: the range of both sides' ratings."""

from __future__ import annotations

from anatomy.data.health import RatedRows

LEAST_ROWS = 10
"""Rated rows from which constant ratings are no accident."""


class RatingRange:
    """Lowest and highest rating of either side; ``add`` the ratings of one retained row after the other."""

    def __init__(self) -> None:
        self._rows = 0
        self._low, self._high = (0.0, 0.0), (0.0, 0.0)

    def add(self, ratings: tuple[float, float] | None) -> None:
        """Take the ratings of chosen and rejected into account, if a row has them."""
        if ratings is None:
            return
        low, high = (self._low, self._high) if self._rows else (ratings, ratings)
        self._rows += 1
        if ratings != low or ratings != high:
            self._low = min(low[0], ratings[0]), min(low[1], ratings[1])
            self._high = max(high[0], ratings[0]), max(high[1], ratings[1])
        else:
            self._low, self._high = low, high

    def found(self) -> RatedRows | None:
        """The ranges; None where no row is rated."""
        if not self._rows:
            return None
        (chosen, rejected), (most_chosen, most_rejected) = self._low, self._high
        constant = self._rows >= LEAST_ROWS and self._low == self._high
        return RatedRows(
            rows=self._rows, chosen=(chosen, most_chosen), rejected=(rejected, most_rejected), constant=constant
        )
