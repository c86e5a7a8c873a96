"""Read raw records from one local file, in bounded memory: Parquet, Arrow, JSON, JSON lines, CSV; each may be gzipped.

A reader yields :class:`Record`, whose ``place`` (file and line, or file and row, from 1) goes into every message.
What a file may do wrong is turned into one :class:`RowsError` by :func:`mending`.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.data.json_stream import JSONStream, not_utf8
from anatomy.errors import RowsError

BATCH_ROWS = 256
MAX_CELL = 1 << 28


class Record(NamedTuple):
    """One raw row: where it stands (for messages) and its columns."""

    place: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """Rows under one name (a file, or a Hub split) that can be read, and counted, from the start again and again."""

    name: str
    records: Callable[[], Iterator[Record]]
    count: Callable[[], int]


@contextlib.contextmanager
def mending(path: Path) -> Iterator[None]:
    """Turn what goes wrong while ``path`` is read into a one-line :class:`RowsError`."""
    try:
        yield
    except PermissionError:
        raise RowsError(f"{path}: this user may not read it; change its permissions (chmod u+r)") from None
    except EOFError:
        raise RowsError(f"{path}: the gzip data end too early; download or compress the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RowsError(
            f"{path}: not sound gzip data ({_line(error)}); compress it again, or drop .gz from its name"
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise RowsError(
            f"{path}: cannot be read as {suffix_of(path)} ({_line(error)}); write or download it again"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed where its name ends in ``.gz``."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """A file that readers can jump in: ``path``, or its content unpacked to a temporary file (not to memory)."""
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.NamedTemporaryFile() as unpacked:
        with open_bytes(path) as source:
            shutil.copyfileobj(source, unpacked)
        unpacked.flush()
        yield Path(unpacked.name)


def read_parquet(path: Path) -> Iterator[Record]:
    """Rows of a Parquet file, a batch at a time."""
    with _unpacked(path) as plain, pq.ParquetFile(plain) as table:
        yield from _batches(path, table.schema_arrow, table.iter_batches(BATCH_ROWS))


def read_arrow(path: Path) -> Iterator[Record]:
    """Rows of an Arrow IPC file (Feather 2) or stream (as `datasets` writes it), mapped into memory, not read."""
    with _unpacked(path) as plain, pa.memory_map(str(plain)) as mapped:
        is_file = mapped.read(6) == b"ARROW1"
        mapped.seek(0)
        if is_file:
            table = pa.ipc.open_file(mapped)
            batches = (table.get_batch(number) for number in range(table.num_record_batches))
            yield from _batches(path, table.schema, batches)
        else:
            stream = pa.ipc.open_stream(mapped)
            yield from _batches(path, stream.schema, iter(stream))


def _batches(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[Record]:
    _refuse_repeated(path, schema.names)
    row = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            try:
                rows = batch.slice(start, BATCH_ROWS).to_pylist()
            except (ValueError, OverflowError) as error:  # text that is not UTF-8, dates that Python does not know
                raise RowsError(
                    f"{path}, row {row + 1} or later: a value cannot be read ({_line(error)}); write the file again"
                ) from None
            for values in rows:
                row += 1
                yield Record(f"{path}, row {row}", without_absent(values))


def without_absent(value: Any) -> Any:
    """Drop null fields, at every depth: columnar formats add each key that *any* row has to *every* row."""
    if isinstance(value, dict):
        return {key: without_absent(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_absent(item) for item in value]
    return value


def read_jsonl(path: Path) -> Iterator[Record]:
    """Objects of a JSON-lines file; blank lines are skipped."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            place = f"{path}, line {number}"
            if line.strip():
                yield Record(place, _object(_parsed(line, place), place))


def _parsed(line: bytes, place: str) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(place, error) from None
    except json.JSONDecodeError as error:
        raise RowsError(
            f"{place}, column {error.colno}: invalid JSON ({error.msg}); JSON lines need one complete object a line"
        ) from None
    except (RecursionError, ValueError) as error:  # nested without end, or a number of thousands of digits
        raise RowsError(f"{place}: JSON that cannot be a row ({_line(error)}); remove it") from None


def read_json(path: Path) -> Iterator[Record]:
    """Objects of a JSON array, of the array under ``data`` in an object, or written one after the other."""
    with open_bytes(path) as binary:
        stream = JSONStream(io.TextIOWrapper(binary, encoding="utf-8-sig"), str(path))
        for row, (line, value) in enumerate(stream.rows(), start=1):
            place = f"{path}, row {row} (line {line})"
            yield Record(place, _object(value, place))


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowsError(
            f"{place}: expected an object with columns, found {type(value).__name__}; correct this row, "
            "or name the file .json if it is one array"
        )
    return value


def read_csv(path: Path) -> Iterator[Record]:
    """Rows of a CSV file with a header line."""
    csv.field_size_limit(MAX_CELL)
    with open_bytes(path) as binary:
        reader = csv.reader(io.TextIOWrapper(binary, encoding="utf-8-sig", newline=""), strict=True)
        try:
            header = next(reader, [])
            _refuse_repeated(path, header)
            line = reader.line_num + 1
            for cells in reader:
                yield Record(f"{path}, line {line}", _cells(header, cells, f"{path}, line {line}"))
                line = reader.line_num + 1
        except UnicodeDecodeError as error:
            raise not_utf8(f"{path}, line {reader.line_num + 1} or later", error) from None
        except csv.Error as error:
            raise RowsError(
                f"{path}, line {reader.line_num}: invalid CSV ({error}); quote cells that hold commas or newlines"
            ) from None


def _cells(header: list[str], cells: list[str], place: str) -> dict[str, Any]:
    if len(cells) != len(header):
        raise RowsError(
            f"{place}: {len(cells)} cells, but the header has {len(header)}; quote cells that hold commas or newlines"
        )
    return dict(zip(header, cells, strict=True))


def _refuse_repeated(path: Path, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RowsError(f"{path}: column `{repeated[0]}` occurs twice; rename or remove one of them")


READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
}


def suffix_of(path: Path) -> str:
    """The extension that tells the file's kind, without ``.gz``."""
    return Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()


def read_file(path: Path) -> Iterator[Record]:
    """Records of one file of any known kind.

    Raises:
        RowsError: the file is missing, damaged, or not of the kind that its name says.
    """
    if suffix_of(path) not in READERS:
        raise RowsError(
            f"{path}: unknown extension `{suffix_of(path)}`; known: {', '.join(READERS)}, each also with .gz"
        )
    with mending(path):
        if path.stat().st_size == 0:
            raise RowsError(f"{path}: the file is empty; download or write it again")
        yield from READERS[suffix_of(path)](path)


def count_rows(path: Path) -> int:
    """Rows of one file: from Parquet's footer, else by reading it through."""
    if suffix_of(path) == ".parquet" and path.suffix != ".gz":
        with mending(path):
            return int(pq.ParquetFile(path).metadata.num_rows)
    return sum(1 for _ in read_file(path))
