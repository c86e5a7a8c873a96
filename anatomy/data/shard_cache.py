"""Shards of rows in a folder: the one cache of what a model makes of rows.

A shard (``shard-00000-<hash of its bytes>.parquet`` …) has one line per row, in the rows' order, and a mark of
everything but the rows that decides its content. It depends on its own rows only and appears whole or not at all: a
killed pass resumes with the first shard that is missing and ends with the same bytes. A shard whose bytes are not those
that its name says is made again, alone, and is never given to Arrow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.artifacts import (
    SEALED,
    Columns,
    is_sealed,
    read_as_parquet,
    read_columns,
    remove_unfinished,
    require_columns,
    sealed_files,
    sealed_path,
)
from anatomy.errors import RunError

SHARD_ROWS = 128
MARK = b"anatomy.mark"


class Identified(Protocol):
    """A row that a shard can be aligned by."""

    @property
    def row_id(self) -> str:
        """Content hash of the row."""


RowT = TypeVar("RowT", bound=Identified)


class ShardCache:
    """A folder of shards, and the mark that its shards must carry."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder = folder
        self.mark = mark

    @cached_property
    def _found(self) -> dict[int, list[Path]]:
        """The files of each shard."""
        return numbered(self.folder)

    def path(self, number: int) -> Path:
        """Place of shard ``number``, which is there."""
        return self._found[number][0]

    def holds(self, number: int, row_ids: Sequence[str]) -> bool:
        """Whether shard ``number`` is there, undamaged, with this cache's mark and these rows."""
        match self._found.get(number, []):
            case [path] if is_sealed(path) and read_mark(path) == self.mark:
                return bool(read_columns(path, ["row_id"])["row_id"].to_pylist() == list(row_ids))
        return False

    def write(self, number: int, table: pa.Table, **options: Any) -> None:
        """Write shard ``number`` atomically, with the mark, in place of what is there; equal tables give equal bytes.

        Args:
            table: columns of the shard, ``row_id`` among them; its own schema metadata is kept.
            options: passed to pyarrow's ``write_table``.
        """
        marked = table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: self.mark.encode()})
        for stale in self._found.pop(number, []):
            stale.unlink(missing_ok=True)
        with sealed_path(self.folder, shard_stem(number), ".parquet") as place:
            pq.write_table(marked, place.temporary, compression="zstd", **options)
        self._found[number] = [place.path]

    def drop(self, kept: int) -> None:
        """Delete all shards but the first ``kept``: what is left of a longer set of rows."""
        for number in [number for number in self._found if number >= kept]:
            for stale in self._found.pop(number):
                stale.unlink()


def shard_stem(number: int) -> str:
    """What the name of shard ``number`` begins with."""
    return f"shard-{number:05d}"


def numbered(folder: Path) -> dict[int, list[Path]]:
    """Files of a folder that are named as shards, by number; several of one number only after a kill."""
    found: dict[int, list[Path]] = {}
    for path in sealed_files(folder):
        name = SEALED.fullmatch(path.name)
        kind, _, number = name["stem"].partition("-") if name else ("", "", "")
        if kind == "shard" and number.isdecimal() and number.isascii() and path.suffix == ".parquet":
            found.setdefault(int(number), []).append(path)
    return dict(sorted(found.items()))


def shards(
    rows: Iterable[RowT], caches: Sequence[ShardCache], progress: Callable[[int], object] | None = None
) -> Iterator[tuple[int, list[RowT], list[ShardCache]]]:
    """Yield ``(number, rows, caches that lack them)`` for each shard of ``rows``; the caller writes what is missing.

    Once the last shard is done, the shards beyond it are deleted.

    Args:
        progress: called with the number of rows of a shard once the caller is done with it.
    """
    for cache in caches:
        remove_unfinished(cache.folder)
    iterator, number = iter(rows), 0
    while shard := list(itertools.islice(iterator, SHARD_ROWS)):
        row_ids = [row.row_id for row in shard]
        yield number, shard, [cache for cache in caches if not cache.holds(number, row_ids)]
        number += 1
        if progress is not None:
            progress(len(shard))
    for cache in caches:
        cache.drop(number)


def read_mark(path: Path) -> str:
    """The mark of a shard; empty where it has none."""
    return _mark(pq.read_schema(path))


def _mark(schema: pa.Schema) -> str:
    return str((schema.metadata or {}).get(MARK, b"").decode())


def shard_schemas(folder: Path, what: str, remedy: str) -> dict[Path, pa.Schema]:
    """The shards of a folder in order, each with its schema, checked to be of one pass.

    Args:
        what: what they hold, as ``features``, for messages.
        remedy: what to do about a fault, as ``run `anatomy audit` again``.

    Raises:
        RunError: there is no shard, one is missing in the sequence or damaged, or they are of different passes.
    """
    found = numbered(folder)
    if not found:
        raise RunError(f"{folder}: no {what}; {remedy}")
    if list(found) != list(range(len(found))):
        raise RunError(f"{folder}: a shard is missing between the first and the last; {remedy}")
    schemas: dict[Path, pa.Schema] = {}
    for path in itertools.chain.from_iterable(found.values()):
        if not is_sealed(path):
            raise RunError(f"{path}: damaged, its bytes are not those that were written; {remedy}")
        with read_as_parquet(path, remedy):
            schemas[path] = pq.read_schema(path)
    marks = {_mark(schema) for schema in schemas.values()}
    if len(marks) > 1 or len(schemas) > len(found):
        raise RunError(f"{folder}: {what} of different passes; {remedy}")
    if marks == {""}:
        raise RunError(f"{folder}: {what} written by an earlier version; delete the folder and {remedy}")
    return schemas


def read_shards(folder: Path, what: str, remedy: str, columns: Columns) -> pa.Table:
    """The columns of all shards of a folder as one table, in order.

    Raises:
        RunError: as :func:`shard_schemas`; or a column is missing, of another type or lacks values.
    """
    tables = []
    for path, schema in shard_schemas(folder, what, remedy).items():
        require_columns(path, schema, columns, remedy)
        with read_as_parquet(path, remedy):
            tables.append(read_columns(path, list(columns)).replace_schema_metadata())
    table = pa.concat_tables(tables)
    for name in columns:
        if table[name].null_count:
            raise RunError(f"{folder}: {what} without values in column `{name}`; {remedy}")
    return table
