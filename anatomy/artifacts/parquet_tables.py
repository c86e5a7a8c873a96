"""Tables as Parquet: written atomically, read as what they were written as."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anatomy.artifacts.documents import require_recorded
from anatomy.artifacts.memory_limit import MOST_TIMES, unpacking
from anatomy.artifacts.on_disk import atomic_path
from anatomy.errors import RunError, one_line

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as zstd-compressed Parquet, atomically."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


Columns = Mapping[str, str]
"""Columns of a table by name: the Arrow type, as ``int64`` or ``list<string>``; ``?`` behind it allows nulls."""


@contextlib.contextmanager
def read_as_parquet(path: Path, remedy: str) -> Iterator[None]:
    """Turn what Arrow says of a broken file inside the block into a :class:`RunError` that ends in ``remedy``."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowMemoryError:
        raise RunError(f"{path}: unpacks to more than {MOST_TIMES} times its size; {remedy}") from None
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: not a valid Parquet file ({one_line(error, 120)}); {remedy}") from None


def read_columns(path: Path, names: Sequence[str] | None) -> pa.Table:
    """Read columns of a Parquet file, or all, within the memory of an honest one.

    Raises:
        pyarrow.ArrowException: it is no such file, or takes more memory.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file, unpacking(path):
        return file.read(names and list(names), use_threads=False)


def batches_in_turn(table: pq.ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of at most ``rows`` rows, of one row group after the other: of several, Arrow holds all it has read."""
    for group in range(table.num_row_groups):
        yield from table.iter_batches(rows, row_groups=[group], use_threads=False)


def read_table(path: Path, columns: Columns | None = None) -> pa.Table:
    """Read a Parquet artifact: the ``columns`` that are declared beside what writes it, or all there are.

    Raises:
        RunError: it is missing, damaged, not of this run or not recorded, or a column is missing, of another type or
            lacks values.
    """
    import pyarrow.parquet as pq

    remedy = "run the command that wrote it again"
    if not path.is_file():
        raise RunError(f"{path}: not found; run the command that writes it first")
    require_recorded(path)
    with read_as_parquet(path, remedy):
        require_columns(path, pq.read_schema(path), columns or {}, remedy)
        table = read_columns(path, list(columns) if columns else None)
    lacking = [name for name, kind in (columns or {}).items() if table[name].null_count and not kind.endswith("?")]
    if lacking:
        raise RunError(f"{path}: column `{lacking[0]}` lacks values; {remedy}")
    return table


def require_columns(path: Path, schema: pa.Schema, columns: Columns, remedy: str) -> None:
    """Refuse a file whose schema lacks one of the columns, or has it with another type.

    Raises:
        RunError: it names the first such column.
    """
    import pyarrow as pa

    for name, kind in columns.items():
        if schema.names.count(name) != 1:
            raise RunError(f"{path}: column `{name}` is missing; {remedy}")
        found = schema.field(name).type
        shown = f"list<{found.value_type}>" if pa.types.is_list(found) else str(found)
        if shown != kind.removesuffix("?") and not pa.types.is_null(found):  # null: a table without rows
            raise RunError(f"{path}: column `{name}` is of type {shown[:40]}, not {kind}; {remedy}")
