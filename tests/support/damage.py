"""Ways in which a file on disk is damaged: what a resumed command must put right, or a reader refuse."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def truncate(path: Path) -> None:
    """Cut the file in half."""
    with path.open("rb+") as stream:
        stream.truncate(path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Turn one bit over, in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {"truncated": truncate, "flipped": flip, "removed": Path.unlink}


@contextmanager
def damaged(path: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    """The file is damaged until the block ends."""
    kept = path.with_name(path.name + ".kept")
    shutil.copy2(path, kept)
    try:
        damage(path)
        yield
    finally:
        kept.replace(path)
