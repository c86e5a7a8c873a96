"""Shards of rows in a folder: the one cache of what a model makes of rows.

A shard (``shard-00000.parquet`` …) has one line per row, in the rows' order, and a mark of everything but the rows that
decides its content. It depends on its own rows only and appears whole or not at all: a killed pass resumes with
the first shard that is missing and ends with the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.artifacts import atomic_path, shard_name, shard_paths
from anatomy.errors import RunError

SHARD_ROWS = 128
MARK = b"anatomy.mark"


class Identified(Protocol):
    """A row that a shard can be aligned by."""

    @property
    def row_id(self) -> str:
        """Content hash of the row."""


RowT = TypeVar("RowT", bound=Identified)


@dataclass(frozen=True)
class ShardCache:
    """A folder of shards, and the mark that its shards must carry."""

    folder: Path
    mark: str

    def path(self, number: int) -> Path:
        """Place of shard ``number``."""
        return self.folder / shard_name(number)

    def holds(self, number: int, row_ids: Sequence[str]) -> bool:
        """Whether shard ``number`` is there, with this cache's mark and these rows."""
        path = self.path(number)
        if not path.is_file() or read_mark(path) != self.mark:
            return False
        return bool(pq.read_table(path, columns=["row_id"])["row_id"].to_pylist() == list(row_ids))

    def write(self, number: int, table: pa.Table, **options: Any) -> None:
        """Write shard ``number`` atomically, with the mark; equal tables give equal bytes.

        Args:
            table: columns of the shard, ``row_id`` among them; its own schema metadata is kept.
            options: passed to pyarrow's ``write_table``.
        """
        marked = table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: self.mark.encode()})
        with atomic_path(self.path(number)) as temporary:
            pq.write_table(marked, temporary, compression="zstd", **options)

    def drop(self, kept: int) -> None:
        """Delete all shards but the first ``kept``: what is left of a longer set of rows."""
        for stale in shard_paths(self.folder)[kept:]:
            stale.unlink()


def shards(
    rows: Iterable[RowT], caches: Sequence[ShardCache], progress: Callable[[int], object] | None = None
) -> Iterator[tuple[int, list[RowT], list[ShardCache]]]:
    """Yield ``(number, rows, caches that lack them)`` for each shard of ``rows``; the caller writes what is missing.

    Once the last shard is done, the shards beyond it are deleted.

    Args:
        progress: called with the number of rows of a shard once the caller is done with it.
    """
    for cache in caches:
        for unfinished in cache.folder.glob(".shard-*.part"):  # left by a killed process
            unfinished.unlink()
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
    return str((pq.read_schema(path).metadata or {}).get(MARK, b"").decode())


def shard_files(folder: Path, what: str, remedy: str) -> list[Path]:
    """The shards of a folder in order, checked to be of one pass.

    Args:
        what: what they hold, as ``features``, for messages.
        remedy: what to do about a fault, as ``run `anatomy audit` again``.

    Raises:
        RunError: there is no shard, one is missing in the sequence, or they are of different passes.
    """
    paths = shard_paths(folder)
    if not paths:
        raise RunError(f"{folder}: no {what}; {remedy}")
    if [path.name for path in paths] != [shard_name(number) for number in range(len(paths))]:
        raise RunError(f"{folder}: a shard is missing between the first and the last; {remedy}")
    marks = {read_mark(path) for path in paths}
    if len(marks) > 1:
        raise RunError(f"{folder}: {what} of different passes; {remedy}")
    if marks == {""}:
        raise RunError(f"{folder}: {what} written by an earlier version; delete the folder and {remedy}")
    return paths


def read_shards(folder: Path, what: str, remedy: str) -> pa.Table:
    """All shards of a folder as one table, in order; raises as :func:`shard_files`."""
    tables = [pq.read_table(path).replace_schema_metadata() for path in shard_files(folder, what, remedy)]
    return pa.concat_tables(tables)
