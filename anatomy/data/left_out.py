"""``left_out.parquet``: every row of the source that no retained pair was made of, as it stands there, and why.

Reasons wait on disk until the source is read again, so that memory holds one byte a row of the source.
"""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.artifacts import atomic_path
from anatomy.data.faults import FLAGS, REASONS, RETAINED, Fault
from anatomy.data.readers import Record, Source
from anatomy.data.rows_table import GROUP_ROWS
from anatomy.text.visible import without_surrogates
from anatomy.types import Pair

SCHEMA = pa.schema(
    [
        ("source_row", pa.int64()),
        ("place", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("record", pa.string()),
    ]
)
"""A row of the source, from 0; ``record`` is its JSON, or null where the row could not be held."""


class LeftOutRows:
    """Which rows of the source are left out, and why; ``note`` what became of each pair and fault in turn."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE reasons (row INTEGER PRIMARY KEY, reason TEXT, detail TEXT)")
        self._database.execute("BEGIN")
        self._retained = bytearray()
        self.rows = 0

    def note(self, item: Pair | Fault, status: str) -> None:
        """Take a pair or fault and its status into account."""
        top = max(item.source_rows)
        if top >= len(self._retained):
            self._retained.extend(bytes(top + 1 + len(self._retained) // 8 - len(self._retained)))
        self.rows = max(self.rows, top + 1)
        if status == RETAINED:
            for row in item.source_rows:
                self._retained[row] = 1
            return
        detail = item.detail if isinstance(item, Fault) else REASONS.get(status, FLAGS.get(status, ""))
        lines = [(row, status, without_surrogates(detail)) for row in item.source_rows]
        self._database.executemany("INSERT OR IGNORE INTO reasons VALUES (?, ?, ?)", lines)

    def write(self, path: Path, sources: Sequence[Source]) -> int:
        """Write the rows that are left out, in the order of the source, and return how many there are."""
        lines = self._lines(sources)
        written = 0
        with (
            closing(self._database),
            atomic_path(path) as temporary,
            pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
        ):
            while group := list(itertools.islice(lines, GROUP_ROWS)):
                writer.write_table(pa.Table.from_pylist(group, SCHEMA))
                written += len(group)
        return written

    def _lines(self, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
        reasons = (line for line in self._database.execute("SELECT row, reason, detail FROM reasons ORDER BY row"))
        wanted = (line for line in reasons if not self._retained[line[0]])
        following = next(wanted, None)
        for row, (place, record) in enumerate(_records(sources)):
            if following is None:
                return
            if row == following[0]:
                _, reason, detail = following
                yield {"source_row": row, "place": place, "reason": reason, "detail": detail, "record": as_text(record)}
                following = next(wanted, None)


def _records(sources: Sequence[Source]) -> Iterator[tuple[str, Record]]:
    """Records of all sources, each with its place, by the name of the file without its folder."""
    for source in sources:
        for record in source.records():
            place = Path(source.name).name + record.place.removeprefix(source.name)
            yield without_surrogates(place), record


def as_text(record: Record) -> str | None:
    """A record as JSON in ASCII, bytes as base64; None where the source has a row that could not be held."""
    if record.fault and not record.values:
        return None
    try:
        return json.dumps(record.values, default=_plain)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or levels without end
        return None


def _plain(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def noting(left_out: LeftOutRows, rows: Iterable[tuple[Pair | Fault, str]]) -> Iterator[tuple[Pair | Fault, str]]:
    """Pass rows and their status on, and note each."""
    for item, status in rows:
        left_out.note(item, status)
        yield item, status
