"""Whether the ratings of a set say anything: their range, and whether two overall ratings of a row disagree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from anatomy.data.health import RatedRows

_OVERALL = re.compile(r"(?:overall|fine[-_ ]?grained|avg|average|mean|total)[-_ ]?(?:score|rating|reward)?")
"""Names of ratings that sum up the others; single aspects may well disagree."""
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


def contradiction(metadata: Mapping[str, Any], ratings: tuple[float, float]) -> str | None:
    """The overall rating of a row that prefers the other side than ``ratings`` do, and by how much; None for most."""
    for stem, chosen, rejected in _overall_columns(tuple(metadata)):
        ours, theirs = metadata[chosen], metadata[rejected]
        numbers = isinstance(ours, int | float) and isinstance(theirs, int | float)
        if numbers and (ours - theirs) * (ratings[0] - ratings[1]) < 0:
            return f"{ratings[0]:g} against {ratings[1]:g}, but {stem} {ours:g} against {theirs:g}"
    return None


@lru_cache(maxsize=256)
def _overall_columns(names: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Names of overall ratings among columns, each with the columns of both sides."""
    stems = [name.removesuffix("_chosen") for name in names if name.endswith("_chosen")]
    return [(stem, f"{stem}_chosen", f"{stem}_rejected") for stem in stems
            if f"{stem}_rejected" in names and _OVERALL.fullmatch(stem.lower())]  # fmt: skip
