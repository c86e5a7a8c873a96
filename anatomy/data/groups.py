"""Groups of rows: what the columns of few values, such as a domain, a task or a language, divide the set into.

A column is one by its name (a word of it is ``domain``, ``task`` …, none is ``id``) or because the user asks for it. It
has at most 50 values with two rows each on average: a column of ids divides into rows.

An interval needs sums over independent groups of rows. Prompts are independent, and so are 1,024 lots that they are put
into by their hash, so that memory does not grow with the rows.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from anatomy.data.faults import IDENTICAL_PAIR, RETAINED, TIE
from anatomy.data.health_parts import GroupedRows, GroupHealth, GroupRows, ModelSides, ShareEstimate
from anatomy.data.row_map import nearest
from anatomy.errors import RowsError
from anatomy.settings import RowSettings
from anatomy.statistics.shares import clustered_share
from anatomy.types import SIDES, Pair

MOST_VALUES = 50
LEAST_ROWS = 2
"""Rows of a value, on average over the values."""
MOST_COLUMNS = 12
TOP_MODELS = 3
MOST_MODELS = 1_000
VALUE_CHARS = 100
LOTS = 1024
GROUP_WORDS = {"domain", "subset", "category", "task", "type", "language", "lang", "topic", "genre"}
ID_WORDS = {"id", "ids", "hash", "uuid", "url", "index", "count", "score"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def groups_of(metadata: Mapping[str, Any], settings: RowSettings) -> dict[str, str]:
    """The value of each column of a row that may be a group, by the column's name.

    Whether it is one for the set, ``groups`` in ``health.json`` says.
    """
    return _groups(metadata, settings.group_by or ())


def _groups(metadata: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, str]:
    columns = _columns(tuple(metadata), wanted)
    values = {column: " ".join(str(metadata[column]).split())[:VALUE_CHARS] for column in columns}
    return {column: value for column, value in values.items() if value}


@lru_cache(maxsize=256)
def _columns(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    asked = {_plain(name) for name in wanted}
    first = [name for name in names if _plain(name) in asked]
    others = [name for name in names if name not in first and _is_group(name)]
    return tuple([*first, *others][:MOST_COLUMNS])


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _is_group(name: str) -> bool:
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & GROUP_WORDS) and not words & ID_WORDS


class GroupTally:
    """Counts of the rows of one value."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.characters = dict.fromkeys(SIDES, 0)
        self.models = {side: Counter[str]() for side in SIDES}
        self._size, self._longer = (array("q", bytes(8 * LOTS)) for _ in range(2))

    def add(self, pair: Pair, status: str, models: Sequence[str | None]) -> None:
        """Count a row; lengths, models and which side is longer are those of retained rows."""
        self.statuses[status] += 1
        if status != RETAINED:
            return
        chosen, rejected = (len(pair.side(side)[-1]["content"] or "") for side in SIDES)
        lot = pair.digests.prompt % LOTS
        self._size[lot] += 1
        self._longer[lot] += (chosen > rejected) + (chosen >= rejected)  # a tie is half a win
        for side, characters, model in zip(SIDES, (chosen, rejected), models, strict=True):
            self.characters[side] += characters
            if model is not None and (model in self.models[side] or len(self.models[side]) < MOST_MODELS):
                self.models[side][model] += 1

    def found(self) -> GroupRows:
        """What is known of the value's rows."""
        retained = self.statuses[RETAINED]
        size, twice = np.frombuffer(self._size, np.int64), np.frombuffer(self._longer, np.int64)
        both = self.models["chosen"] + self.models["rejected"]
        top = sorted(both.items(), key=lambda item: (-item[1], item[0]))[:TOP_MODELS]
        return GroupRows(
            rows=self.statuses.total(),
            retained=retained,
            identical=self.statuses[IDENTICAL_PAIR],
            ties=self.statuses[TIE],
            mean_characters={side: round(total / max(1, retained), 1) for side, total in self.characters.items()},
            longer_wins=ShareEstimate.of(clustered_share(twice / 2, size)),
            models={name: ModelSides(**{side: self.models[side][name] for side in SIDES}) for name, _ in top},
        )


class GroupTable:
    """Counts of the rows added so far, by column and value."""

    def __init__(self, wanted: Sequence[str] = ()) -> None:
        self._wanted = tuple(wanted)
        self._tallies: dict[str, dict[str, GroupTally]] = {}
        self._refused: dict[str, str] = {}
        self._names: dict[str, None] = {}

    def add(self, pair: Pair, status: str, models: Sequence[str | None]) -> None:
        """Take a row into account that could be read; ``models`` wrote chosen and rejected."""
        if self._wanted and len(self._names) < MOST_VALUES:
            self._names.update(dict.fromkeys(pair.metadata))
        for column, value in _groups(pair.metadata, self._wanted).items():
            if column in self._refused:
                continue
            values = self._tallies.setdefault(column, {})
            if value not in values and len(values) == MOST_VALUES:
                self._refused[column] = f"more than {MOST_VALUES} values"
                del self._tallies[column]
                continue
            values.setdefault(value, GroupTally()).add(pair, status, models)

    def require_wanted(self, name: str) -> None:
        """Refuse a column to group by that no row has.

        Raises:
            RowsError: names the column, and those that there are.
        """
        known = {_plain(column) for column in [*self._names, *self._tallies, *self._refused]}
        for column in self._wanted:
            if _plain(column) not in known:
                raise RowsError(f"{name}: --group-by {column}: no row has such a column{nearest(column, self._names)}")

    def found(self) -> GroupHealth | None:
        """Tables of the columns that are groups, and why others are not; None without a column that may be one."""
        refused = dict(self._refused)
        columns: dict[str, GroupedRows] = {}
        for column, values in self._tallies.items():
            rows = sum(tally.statuses.total() for tally in values.values())
            if rows < LEAST_ROWS * len(values):
                refused[column] = f"fewer than {LEAST_ROWS} rows a value"
                continue
            ordered = sorted(values.items(), key=lambda item: (-item[1].statuses.total(), item[0]))
            columns[column] = GroupedRows(values={value: tally.found() for value, tally in ordered})
        return GroupHealth(columns=columns, refused=refused) if columns or refused else None
