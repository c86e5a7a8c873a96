"""Stream preference rows as pairs, from anywhere and in any known format.

Rows are read one at a time and nothing is kept of them. A random sample takes a first pass that only counts.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from anatomy.data.faults import Fault
from anatomy.data.formats import recognise, to_pair
from anatomy.data.readers import Record, Source
from anatomy.data.sources import find_sources
from anatomy.errors import RowsError
from anatomy.settings import RowFormat, RowSettings
from anatomy.types import Pair

HEAD = 32
"""Rows of each file from which its format is recognised."""


class PairStream:
    """The rows that settings name, iterable any number of times; ``format`` is known before the first row is read.

    Iterating yields a :class:`Pair`, or a :class:`Fault` for a row that cannot become one, in source order.

    Raises:
        RowsError: the set as a whole cannot be read (see ``anatomy.data.readers`` and ``formats``).
    """

    def __init__(self, settings: RowSettings) -> None:
        self.settings = settings
        self.sources = find_sources(settings)
        self.format = next(self._formats())

    def _formats(self) -> Iterator[RowFormat]:
        """Format of each file that has rows."""
        for source in self.sources:
            head = _head(source.records())
            if head:
                yield recognise(head, self.settings.format)
        raise RowsError(f"{self.settings.rows}: no rows in {_names(self.sources)}; write or download the set again")

    def __iter__(self) -> Iterator[Pair | Fault]:
        wanted = self._sampled()
        for index, record in enumerate(itertools.islice(self._records(), self.settings.limit)):
            if wanted is None or index in wanted:
                yield to_pair(record, index, self.format)

    def _records(self) -> Iterator[Record]:
        for source in self.sources:
            records = source.records()
            head = _head(records)
            if head:
                self._check_format(head)
            yield from itertools.chain(head, records)

    def _check_format(self, head: list[Record]) -> None:
        found = recognise(head, self.settings.format)
        if found != self.format:
            raise RowsError(
                f"{head[0].place}: rows in the format `{found}`, after files in the format `{self.format}`; "
                "name files of one format, or set `format`"
            )

    def _sampled(self) -> set[int] | None:
        """Positions of a uniform random sample without replacement; ``None`` for every row."""
        if self.settings.sample is None:
            return None
        rows = sum(source.count() for source in self.sources)
        rows = min(rows, self.settings.limit or rows)
        if self.settings.sample >= rows:
            return None
        return set(random.Random(self.settings.seed).sample(range(rows), self.settings.sample))


def read_pairs(settings: RowSettings) -> Iterator[Pair | Fault]:
    """Stream the rows that ``settings`` name, in order: pairs, and faults for rows that cannot become pairs.

    ``limit`` keeps the first rows; ``sample`` a seeded uniform sample of those, still in source order.

    Raises:
        RowsError: the set as a whole cannot be read; one line with file, row and remedy.
    """
    yield from PairStream(settings)


def _head(records: Iterator[Record]) -> list[Record]:
    """The first rows, up to the first that can be read if that is no earlier."""
    head = []
    for record in records:
        head.append(record)
        if len(head) >= HEAD and not all(record.fault for record in head):
            break
    return head


def _names(sources: list[Source]) -> str:
    return sources[0].name if len(sources) == 1 else f"any of {len(sources)} files"
