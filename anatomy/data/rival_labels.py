"""Several things that say which response is better, columns or scores: they have to agree, or the user chooses."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace

from anatomy.data.readers import Record, Source
from anatomy.data.reading import FileReading
from anatomy.data.winners import Winner
from anatomy.errors import RowsError

WHAT_TO_RUN = 2
"""Readings for which the commands that compare them are written out."""


def agreed(source: Source, reading: FileReading, rows: str) -> FileReading:
    """The reading of a file, if all that says which response is better says the same.

    Raises:
        RowsError: two differ; with the flags that choose one.
    """
    winners = [winner for winner in (reading.winner, *reading.rivals) if winner is not None]
    count, apart = _differences(winners, source.records())
    if not apart:
        note = f"{_named(winners)} say the same of every row"
        return replace(reading, rivals=(), notes=(*reading.notes, note))
    flags = " or ".join(f"`{winner.choose}`" for winner in winners)
    audits = [
        (f"by-{place}", f"`anatomy audit {shlex.quote(rows)} {winner.choose} --out by-{place}`")
        for place, winner in enumerate(winners[:WHAT_TO_RUN], 1)
    ]
    both = "both" if len(winners) == WHAT_TO_RUN else "all"
    raise RowsError(
        f"{source.name}: {_named(winners)} {both} say which response is better, and differ in {apart:,} of {count:,} "
        f"rows; choose with {flags}, or audit each and compare: {', '.join(run for _, run in audits)}, "
        f"`anatomy compare {' '.join(out for out, _ in audits)}`"
    )


def _named(winners: Sequence[Winner]) -> str:
    return " and ".join(f"`{winner.column}`" for winner in winners)


def _differences(winners: Sequence[Winner], records: Iterable[Record]) -> tuple[int, int]:
    """Rows, and those of them in which two winners differ.

    A score beside a tie, or a tie of scores beside a label, is no difference. A column that may be meant either way is
    compared with the first winner alone, in the way that differs less.
    """
    labels = [(winner.reads(), winner.outcome) for winner in winners if not winner.flag]
    loose = [(winner.reads(), winner.outcome) for winner in winners if winner.flag and not winner.either_way]
    open_ways = [(winner.reads(), winner.outcome) for winner in winners if winner.either_way]
    rows = apart = 0
    same, other = [0] * len(open_ways), [0] * len(open_ways)
    for record in records:
        rows += 1
        if record.fault:
            continue
        said = {place for read, outcome in labels if (place := outcome(read(record.values))) is not None}
        scored = {place for read, outcome in loose if (place := outcome(read(record.values))) is not None}
        sides = {place for place in (*said, *(scored if not said or max(said) >= 0 else ())) if place is not None}
        apart += len(sides) > 1
        first = min(sides) if len(sides) == 1 else -1
        for number, (read, outcome) in enumerate(open_ways):
            place = outcome(read(record.values)) if first >= 0 else None
            same[number] += place is not None and place == first
            other[number] += place is not None and place != first
    return rows, max([apart, *map(min, same, other)])
