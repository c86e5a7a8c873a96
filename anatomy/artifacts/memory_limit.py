"""What a compressed file may take in memory: its own words on that are not trusted, so the system keeps the limit."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

MOST_UNPACKED = 1 << 28
MOST_TIMES = 200
"""A file may unpack to 256 MiB, and beyond that to so many times its size; text in gzip is 3 to 30 times smaller."""
BESIDE = 1 << 30
"""Bytes that other threads of this process may take while a part of a file is unpacked."""

ItemT = TypeVar("ItemT")


def most_unpacked(path: Path) -> int:
    """Bytes that an honest file may unpack to."""
    return max(MOST_UNPACKED, MOST_TIMES * path.stat().st_size)


@contextlib.contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Let the block, which unpacks a part of ``path``, take no more memory than the whole of an honest file would.

    The block must start no threads: one that gets no stack may leave the others waiting.

    Raises:
        MemoryError: from inside of the block, whose allocation fails; on systems without such a limit, never.
    """
    import psutil

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + most_unpacked(path) + BESIDE
    if soft != resource.RLIM_INFINITY:
        most = min(most, soft)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    except (ValueError, OSError):  # a system without this limit
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def unpacked_parts(path: Path, parts: Iterable[ItemT]) -> Iterator[ItemT]:
    """Yield the ``parts`` of ``path``, each made under the limit of :func:`unpacking`.

    Raises:
        MemoryError: a part takes more.
    """
    following = iter(parts)
    while True:
        with unpacking(path):
            try:
                part = next(following)
            except StopIteration:
                return
        yield part
