"""Whether the ratings of a set say anything: their range, and whether ratings of a row contradict each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from statistics import fmean
from typing import Any, NamedTuple

from anatomy.data.column_names import LENGTH, RANK, SCORE, words_of
from anatomy.data.health_parts import NotedRow, RatedRows
from anatomy.types import SIDES

_OVERALL = re.compile(r"(?:overall|fine[-_ ]?grained|avg|average|mean|total)[-_ ]?(?:score|rating|reward)?")
"""Names of ratings that sum up the others; single aspects may well disagree."""
SCALES = (1.0, 5.0, 10.0, 100.0)
"""Highest ratings of usual scales: the first that holds all of a column's is taken for its scale."""
TOP, BOTTOM = 0.9, 0.25
"""Shares of a scale: one rating of a response above the one contradicts another below the other."""
LOOSE = 0.4
"""Share of the scale seen so far below which (or above the rest of it) a rating is kept until the scale is known."""
EXAMPLES = 3
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


class Side(NamedTuple):
    """The overall rating of one response, and the mean of what else rates it."""

    overall: float
    others: float


class RatingConflicts:
    """Responses whose overall rating is at one end of its scale and their other ratings at the other end.

    The scales are known when all rows are seen; until then the distinct pairs of ratings that may conflict are kept.
    """

    def __init__(self) -> None:
        self._most, self._least = Side(0.0, 0.0), Side(1.0, 1.0)
        self._kept: Counter[Side] = Counter()
        self._rows: dict[Side, list[int]] = {}

    def add(self, metadata: Mapping[str, Any], row: int) -> None:
        """Take the ratings of a row into account."""
        found = _sides_of(metadata)
        for side in found:
            self._most = Side(*map(max, self._most, side))
            self._least = Side(*map(min, self._least, side))
        odd = next((side for side in found if self._apart(side, 1 - LOOSE, LOOSE)), None)
        if odd is not None:
            kept = Side(*(round(value, 2) for value in odd))
            self._kept[kept] += 1
            rows = self._rows.setdefault(kept, [])
            if len(rows) < EXAMPLES:
                rows.append(row)

    def _apart(self, side: Side, top: float, bottom: float) -> bool:
        """Whether one rating is above a share of its scale, and the other below another share."""
        places = []
        for value, most, least in zip(side, self._most, self._least, strict=True):
            scale = next((scale for scale in SCALES if most <= scale), most)
            low = least if scale > 1 else min(least, 0.0)
            places.append((value - low) / (scale - low))
        return max(places) >= top and min(places) <= bottom

    def found(self) -> tuple[int, list[NotedRow]]:
        """How many rows have such a response, and the first of them."""
        odd = [side for side in self._kept if self._apart(side, TOP, BOTTOM)]
        rows = sorted((row, side) for side in odd for row in self._rows[side])[:EXAMPLES]
        notes = [
            NotedRow(index=row, excerpt=f"overall {side.overall:g}, but {side.others:g} else") for row, side in rows
        ]
        return sum(self._kept[side] for side in odd), notes


def _sides_of(metadata: Mapping[str, Any]) -> list[Side]:
    """The ratings of either response, where a row has an overall one and others."""
    found = []
    for overall, others in _rating_stems(tuple(metadata)):
        one = metadata[overall]
        more = [float(metadata[name]) for name in others if _is_number(metadata[name])]
        if _is_number(one) and more:
            found.append(Side(float(one), fmean(more)))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


@lru_cache(maxsize=256)
def _rating_stems(names: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """For each side its overall rating among columns, and those that sum up single aspects, else those of aspects."""
    found = []
    for side in SIDES:
        stems = {name.removesuffix(f"_{side}"): name for name in names if name.endswith(f"_{side}")}
        rated = {
            stem: name for stem, name in stems.items()
            if (words := set(words_of(stem))) & set(SCORE) and not words & {*RANK, *LENGTH}
        }  # fmt: skip
        overall = next((name for stem, name in rated.items() if "overall" in words_of(stem)), rated.get("score"))
        rest = {stem: name for stem, name in rated.items() if name != overall and stem != "score"}
        means = [name for stem, name in rest.items() if _OVERALL.fullmatch(stem.lower())]
        if overall is not None and rest:
            found.append((overall, means or list(rest.values())))
    return found
