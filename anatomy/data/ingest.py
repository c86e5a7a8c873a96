"""The first stage: read the rows, check them, write ``rows.parquet``, and say what was found."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from anatomy.artifacts import ROWS
from anatomy.data.faults import Fault
from anatomy.data.health import RowHealth
from anatomy.data.pair_stream import PairStream
from anatomy.data.row_health import HealthTable, PreparedCheck
from anatomy.data.rows_table import write_rows
from anatomy.settings import RowSettings
from anatomy.types import Pair

BATCH_ROWS = 64
Drain = Callable[[Iterable[tuple[Pair | Fault, str]]], object]
"""What takes every row with its status, in order."""
IGNORED: Drain = deque[object](maxlen=0).extend


def ingest(
    settings: RowSettings,
    out_dir: Path,
    check: PreparedCheck | None = None,
    progress: Callable[[int], object] | None = None,
) -> RowHealth:
    """Stream the rows into ``out_dir/rows.parquet`` and return their health.

    Raises:
        RowsError: as :func:`measure`; nothing is written then.
    """
    return measure(settings, check, progress, partial(write_rows, out_dir / ROWS))


def measure(
    settings: RowSettings,
    check: PreparedCheck | None = None,
    progress: Callable[[int], object] | None = None,
    drain: Drain = IGNORED,
) -> RowHealth:
    """Stream the rows once, through ``drain``, and return their health.

    ``check`` adds what only a tokeniser knows: truncation faults and lengths in tokens. ``progress`` is called with
    the number of rows done since the last call (``Bar.update`` fits).

    Raises:
        RowsError: the set cannot be read, or none of its rows can be used.
    """
    stream = PairStream(settings)
    health = HealthTable(stream.format, check, settings.seed, settings.group_by or ())

    def checked() -> Iterator[tuple[Pair | Fault, str]]:
        rows = iter(stream)
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            if check is not None:
                check.prepare([row for row in batch if isinstance(row, Pair)])
            for row in batch:
                yield row, health.add(row)
            if progress is not None:
                progress(len(batch))
        health.require_retained(settings.rows)

    drain(checked())
    return health.found().model_copy(update={"reading": stream.reading()})
