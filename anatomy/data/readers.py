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
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.artifacts import MOST_TIMES, batches_in_turn, most_unpacked, unpacked_parts
from anatomy.data.json_stream import LONGEST_ROW, JSONStream, TooDeep, not_utf8, parse_json
from anatomy.errors import RowsError, one_line

BATCH_ROWS = 256
MOST_ROWS = 1_000_000
"""Rows of a columnar file, likewise: rows of nothing take no space."""
ALONE = pa.ipc.IpcReadOptions(use_threads=False)
UNKNOWN_VALUE = (ValueError, OverflowError, ArithmeticError)
"""What dates, times and decimals raise that Python's types do not reach."""


class Record(NamedTuple):
    """One raw row: where it stands (for messages) and its columns, or the fault for which it has none.

    A row is at fault by itself where its file is sound but its content cannot be held: it is counted and the rest
    read. Bytes that do not follow the file's own syntax are a fault of the file: what stands behind them is unsure.
    """

    place: str
    values: dict[str, Any]
    fault: str = ""


@dataclass(frozen=True)
class Source:
    """Rows under one name (a file, or a Hub split) that can be read, and counted, from the start again and again.

    ``spread`` gives a few rows from places all over it, where these can be reached without reading the others.
    """

    name: str
    records: Callable[[], Iterator[Record]]
    count: Callable[[], int]
    spread: Callable[[], Iterator[Record]] = lambda: iter(())


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
            f"{path}: not sound gzip data ({one_line(error)}); compress it again, or drop .gz from its name"
        ) from None
    except pa.ArrowMemoryError:
        raise too_large(path) from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: names of columns
        raise RowsError(
            f"{path}: cannot be read as {suffix_of(path)} ({one_line(error)}); write or download it again"
        ) from None


def too_large(path: Path) -> RowsError:
    """The error for a file that unpacks to more than :func:`~anatomy.artifacts.most_unpacked` bytes."""
    return RowsError(
        f"{path}: unpacks to more than {MOST_TIMES} times its size, as no text does; unpack it yourself if you trust it"
    )


class _Unpacking(io.RawIOBase):
    """The content of a gzip file, up to what an honest one holds."""

    def __init__(self, path: Path) -> None:
        self._path, self._content = path, gzip.open(path)  # noqa: SIM115 - closed in `close`
        self._left = most_unpacked(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._content.readinto(buffer)
        self._left -= read
        if self._left < 0:
            raise too_large(self._path)
        return read

    def close(self) -> None:
        self._content.close()
        super().close()


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed where its name ends in ``.gz``."""
    return io.BufferedReader(_Unpacking(path), 1 << 16) if path.suffix == ".gz" else path.open("rb")


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
        groups = (table.metadata.row_group(number) for number in range(table.num_row_groups))
        if sum(group.total_byte_size for group in groups) > most_unpacked(path):
            raise too_large(path)
        yield from records_of_batches(path, table.schema_arrow, batches_in_turn(table, BATCH_ROWS))


def read_arrow(path: Path) -> Iterator[Record]:
    """Rows of an Arrow IPC file (Feather 2) or stream (as `datasets` writes it), mapped into memory, not read.

    Each batch is validated whole before a value is taken from it: offsets past a buffer's end would be followed.
    """
    with _unpacked(path) as plain, pa.memory_map(str(plain)) as mapped:
        is_file = mapped.read(6) == b"ARROW1"
        mapped.seek(0)
        if is_file:
            table = pa.ipc.open_file(mapped, options=ALONE)
            batches = (table.get_batch(number) for number in range(table.num_record_batches))
            yield from records_of_batches(path, table.schema, map(_validated, batches))
        else:
            stream = pa.ipc.open_stream(mapped, options=ALONE)
            yield from records_of_batches(path, stream.schema, map(_validated, stream))


def _validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    batch.validate(full=True)
    return batch


def records_of_batches(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[Record]:
    """Rows of a columnar file, a few at a time."""
    _refuse_repeated(path, schema.names)
    batches = unpacked_parts(path, batches)
    most = max(MOST_ROWS, MOST_TIMES * path.stat().st_size)
    row = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = batch.slice(start, BATCH_ROWS)
            whole = not any(column.null_count or pa.types.is_nested(column.type) for column in part.columns)
            try:
                for values in _rows(part):
                    row += 1
                    place = f"{path}, row {row}"
                    if isinstance(values, str):
                        yield Record(place, {}, values)
                    else:
                        yield Record(place, values if whole else without_absent(values))
            except UnicodeDecodeError as error:
                raise RowsError(
                    f"{path}, row {row + 1} or later: a value cannot be read ({one_line(error)}); write the file again"
                ) from None
            if row > most:
                raise RowsError(f"{path}: more than {most:,} rows in so small a file; write or download it again")


def _rows(part: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """Rows of a part of a batch; what is wrong with it in place of a row that Python cannot hold.

    A part that is large is taken apart row by row: its rows may all hold one long text of a dictionary.
    """
    if part.nbytes <= LONGEST_ROW:
        try:
            yield from part.to_pylist()
            return
        except UnicodeDecodeError:
            raise
        except UNKNOWN_VALUE:
            pass
    for number in range(part.num_rows):
        row = part.slice(number, 1)
        if row.nbytes > LONGEST_ROW and "dictionary" not in str(part.schema.types):
            yield f"a row of more than {LONGEST_ROW:,} bytes"
            continue
        try:
            (values,) = row.to_pylist()
        except UnicodeDecodeError:
            raise
        except UNKNOWN_VALUE as error:
            values = f"a value cannot be read ({one_line(error)})"
        yield values


def without_absent(value: Any) -> Any:
    """Drop null fields, at every depth: columnar formats add each key that *any* row has to *every* row.

    Tool calls of JSON lose theirs as well: ``datasets`` and TRL read them through such a format, and one set has to be
    the same pairs in each.
    """
    if isinstance(value, dict):
        return {
            key: without_absent(item) if isinstance(item, dict | list) else item
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [without_absent(item) for item in value]
    return value


def read_jsonl(path: Path) -> Iterator[Record]:
    """Objects of a JSON-lines file; blank lines are skipped."""
    with open_bytes(path) as stream:
        for number, line in enumerate(_lines(stream), start=1):
            place = f"{path}, line {number}"
            if line is None:
                yield Record(place, {}, f"a line of more than {LONGEST_ROW:,} bytes")
            elif line.strip():
                yield _record(place, _parsed(line, place))


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Lines of a file; None for one that is too long to be held."""
    while line := stream.readline(LONGEST_ROW + 1):
        if len(line) <= LONGEST_ROW:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_ROW)
        yield None


def _parsed(line: bytes, place: str) -> Any:
    try:
        return parse_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise not_utf8(place, error) from None
    except json.JSONDecodeError as error:
        raise RowsError(
            f"{place}, column {error.colno}: invalid JSON ({error.msg}); JSON lines need one complete object a line"
        ) from None
    except TooDeep as fault:
        return fault


def read_json(path: Path) -> Iterator[Record]:
    """Objects of a JSON array, of the array under ``data`` in an object, or written one after the other."""
    with open_bytes(path) as binary:
        stream = JSONStream(io.TextIOWrapper(binary, encoding="utf-8-sig"), str(path))
        for row, (line, value) in enumerate(stream.rows(), start=1):
            yield _record(f"{path}, row {row} (line {line})", value)


def _record(place: str, value: Any) -> Record:
    if isinstance(value, TooDeep):
        return Record(place, {}, str(value))
    if not isinstance(value, dict):
        kind = type(value).__name__
        hint = "; name the file .json if it is one array" if isinstance(value, list) else ""
        return Record(place, {}, f"expected an object with columns, found {kind}; correct this row{hint}")
    return Record(place, value)


def read_csv(path: Path) -> Iterator[Record]:
    """Rows of a CSV file with a header line; blank lines are skipped."""
    csv.field_size_limit(LONGEST_ROW)
    with open_bytes(path) as binary:
        reader = csv.reader(io.TextIOWrapper(binary, encoding="utf-8-sig", newline=""), strict=True)
        try:
            header = next(reader, [])
            _refuse_repeated(path, header)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
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
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
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
        check_regular(path)
        if path.stat().st_size == 0:
            raise RowsError(f"{path}: the file is empty; download or write it again")
        yield from READERS[suffix_of(path)](path)


def check_regular(path: Path) -> None:
    """Refuse what would be waited for, or never ends.

    Raises:
        RowsError: there is a folder, pipe, socket or device under this name.
    """
    if path.exists() and not path.is_file():
        raise RowsError(f"{path}: a folder, pipe, socket or device, not a file; write its content to a file first")


def count_rows(path: Path) -> int:
    """Rows of one file: from Parquet's footer, else by reading it through."""
    if suffix_of(path) == ".parquet" and path.suffix != ".gz":
        with mending(path):
            check_regular(path)
            return int(pq.ParquetFile(path).metadata.num_rows)
    return sum(1 for _ in read_file(path))
