"""Rows from which the layout of a file is recognised: its first ones, and some spread over it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from anatomy.data.json_stream import LONGEST_ROW, TooDeep, parse_json
from anatomy.data.readers import Record, Source, mending, records_of_batches, suffix_of

HEAD_ROWS, HEAD_BYTES = 256, 1 << 22
"""Rows at the start of a file from which its layout is recognised, fewer where they are large."""
SPREAD = 32
"""Places all over a file from which a row is looked at besides."""


def sample_of(source: Source, limit: int | None = None) -> list[Record]:
    """Rows from which a layout is recognised: the first ones, up to one that can be read, and some of the rest."""
    found: list[Record] = []
    size = 0
    for record in source.records():
        found.append(record)
        size += len(str(record.values)) if len(found) % 16 == 0 else 0
        full = len(found) >= min(HEAD_ROWS, limit or HEAD_ROWS) or 16 * size > HEAD_BYTES
        if full and not all(record.fault for record in found):
            break
    if limit is None and len(found) >= HEAD_ROWS:
        found += [record for record in source.spread() if not record.fault]
    return found


def spread_rows(path: Path) -> Iterator[Record]:
    """A row from each of some places all over a file of row groups, or of lines, that is not compressed as a whole."""
    if path.suffix == ".gz":
        return
    if suffix_of(path) == ".parquet":
        yield from _from_groups(path)
    elif suffix_of(path) in (".jsonl", ".ndjson"):
        yield from _from_lines(path)


def _from_groups(path: Path) -> Iterator[Record]:
    with mending(path), pq.ParquetFile(path) as table:
        groups = table.num_row_groups
        for group in sorted({groups * place // SPREAD for place in range(SPREAD)} if groups > 1 else set()):
            for batch in itertools.islice(table.iter_batches(1, row_groups=[group], use_threads=False), 1):
                yield from records_of_batches(path, table.schema_arrow, iter([batch]))


def _from_lines(path: Path) -> Iterator[Record]:
    size = path.stat().st_size
    with mending(path), path.open("rb") as stream:
        for place in range(1, SPREAD):
            stream.seek(size * place // SPREAD)
            stream.readline(LONGEST_ROW)
            line = stream.readline(LONGEST_ROW)
            with contextlib.suppress(ValueError, TooDeep):
                values = parse_json(line.decode()) if line.strip() else None
                if isinstance(values, dict):
                    yield Record(f"{path}, near byte {stream.tell()}", values)
