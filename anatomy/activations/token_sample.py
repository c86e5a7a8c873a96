"""Token lengths of a uniform sample of rows, in bounded memory and without their number: exact for small sets.

A row's number draws for it. While the sample is not full every row is in it; when it is, half of the draws leave it
and do not come in any more, again and again: of N rows some 8,192 · (1 + log₂(N / 8,192) / 2) are tokenised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from anatomy.data.health import RowHealth, SampledTokens
from anatomy.data.lengths import LengthTable
from anatomy.types import SPANS

MOST_SAMPLED = 8192
"""Shares of so many rows are known to 1.1 points (95 %); between half and all of them are kept of a large set."""


class _Measured(NamedTuple):
    draw: int
    lengths: tuple[int, ...]
    cut: tuple[bool, ...]
    usable: bool


class TokenSample:
    """Lengths and cuts of sampled rows."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._below = 1 << 64
        self._rows = 0
        self._measured: list[_Measured] = []

    def wants(self, index: int) -> bool:
        """Whether this row is to be measured; asked once for each row."""
        self._rows += 1
        return self._draw(index) < self._below

    def add(self, index: int, lengths: Mapping[str, int], cut: Mapping[str, bool], usable: bool) -> None:
        """Take in a row that is wanted."""
        spans = (tuple(lengths[span] for span in SPANS), tuple(bool(cut[span]) for span in SPANS))
        self._measured.append(_Measured(self._draw(index), *spans, usable))
        while len(self._measured) > MOST_SAMPLED:
            self._below //= 2
            self._measured = [row for row in self._measured if row.draw < self._below]

    def add_to(self, health: RowHealth) -> RowHealth:
        """The health with lengths in tokens and the sampled rows that are cut, by span."""
        tables = {span: LengthTable() for span in SPANS}
        for row in self._measured:
            for span, length in zip(SPANS, row.lengths, strict=True):
                if row.usable:
                    tables[span].add(length)
        cut = {span: sum(row.cut[place] for row in self._measured) for place, span in enumerate(SPANS)}
        sampled = SampledTokens(rows=len(self._measured), of=self._rows) if self._below < 1 << 64 else None
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
