"""Token lengths of a uniform sample of rows, in bounded memory and without their number: exact for small sets.

A row's number draws for it. While the sample is not full every row is in it; when it is, half of the draws leave it
and do not come in any more, again and again. Rows of which the text tells that they survive wait with their texts, up
to 32 million characters, and are tokenised only if they are still in the sample at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from anatomy.data.health import RowHealth
from anatomy.data.health_parts import SampledTokens
from anatomy.data.lengths import LengthTable
from anatomy.types import SPANS

MOST_SAMPLED = 8192
"""Shares of so many rows are known to 1.1 points (95 %); between half and all of them are kept of a large set."""


MOST_WAITING = 1 << 25
"""Characters of texts that wait."""


class MeasuredRow(NamedTuple):
    """Tokens of each span of a row, which of them are cut, and whether the row can be used."""

    lengths: tuple[int, ...]
    cut: tuple[bool, ...]
    usable: bool


Measure = Callable[[Sequence[Sequence[str]]], Sequence[MeasuredRow]]
"""Measures rows by the texts of their spans."""


class TokenSample:
    """Lengths and cuts of sampled rows."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._below = 1 << 64
        self._rows = 0
        self._measured: list[tuple[int, MeasuredRow]] = []
        self._waiting: list[tuple[int, Sequence[str]]] = []
        self._characters = 0

    def wants(self, index: int) -> bool:
        """Whether this row is to be measured; asked once for each row."""
        self._rows += 1
        return self._draw(index) < self._below

    def add(self, index: int, measured: MeasuredRow) -> None:
        """Take in a row that is wanted."""
        self._measured.append((self._draw(index), measured))
        self._halve()

    def wait(self, index: int, texts: Sequence[str], measure: Measure) -> None:
        """Take in a row that is wanted, by the texts of its spans; ``measure`` is called when too many texts wait."""
        self._waiting.append((self._draw(index), texts))
        self._characters += sum(map(len, texts))
        self._halve()
        if self._characters > MOST_WAITING:
            self._measure(measure)

    def _halve(self) -> None:
        while len(self._measured) + len(self._waiting) > MOST_SAMPLED:
            self._below //= 2
            self._measured = [row for row in self._measured if row[0] < self._below]
            self._waiting = [row for row in self._waiting if row[0] < self._below]
            self._characters = sum(len(text) for _, texts in self._waiting for text in texts)

    def _measure(self, measure: Measure) -> None:
        measured = measure([texts for _, texts in self._waiting])
        self._measured += zip((draw for draw, _ in self._waiting), measured, strict=True)
        self._waiting, self._characters = [], 0

    def add_to(self, health: RowHealth, measure: Measure) -> RowHealth:
        """The health with lengths in tokens and the sampled rows that are cut, by span."""
        self._measure(measure)
        rows = [measured for _, measured in self._measured]
        tables = {span: LengthTable() for span in SPANS}
        for row in rows:
            for span, length in zip(SPANS, row.lengths, strict=True):
                if row.usable:
                    tables[span].add(length)
        cut = {span: sum(row.cut[place] for row in rows) for place, span in enumerate(SPANS)}
        sampled = SampledTokens(rows=len(rows), of=self._rows) if self._below < 1 << 64 else None
        return health.model_copy(
            update={
                "lengths": {span: table.described("tokens") for span, table in tables.items()},
                "truncated": cut,
                "sampled": sampled,
            }
        )

    def _draw(self, index: int) -> int:
        drawn = hashlib.blake2b(b"%d,%d" % (self._seed, index), digest_size=8).digest()
        return int.from_bytes(drawn, "little")
