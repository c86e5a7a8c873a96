"""What a command writes into: a folder claimed for it and never somebody else's, or a file that is not there yet."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from anatomy import artifacts
from anatomy.errors import RunError


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder and keep other processes from it until the block ends; what killed ones left is deleted.

    A folder that was made for a command that fails before it writes anything goes with it.

    Raises:
        RunError: it is a file, cannot be written, holds files of somebody else, or another process works there.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_foreign(folder)
        lock = (folder / artifacts.LOCK).open("a")
    except OSError as error:
        raise RunError(f"{folder}: not usable as an output folder ({error.strerror}); choose another --out") from None
    with lock:
        _hold(lock, folder, fcntl.LOCK_EX)
        artifacts.remove_unfinished(folder)
        try:
            yield
        except BaseException:
            if made and [path.name for path in folder.iterdir()] == [artifacts.LOCK]:
                (folder / artifacts.LOCK).unlink()
                folder.rmdir()
            raise


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Keep processes that write from the folder until the block ends; others may read it as well.

    A folder that cannot be written needs no lock.

    Raises:
        RunError: a process writes there.
    """
    try:
        lock = (folder / artifacts.LOCK).open("a")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunError(f"{folder}: cannot be read ({error.strerror})") from None
        yield
        return
    with lock:
        _hold(lock, folder, fcntl.LOCK_SH)
        yield


def _hold(lock: IO[str], folder: Path, how: int) -> None:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except OSError:
        raise RunError(f"{folder}: another anatomy process is working there; wait for it, or use --out") from None


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds something, and nothing that marks it as ours; for use before work that takes long.

    A run or a training is ours without the hidden file too, which some ways of copying leave behind.

    Raises:
        RunError: the folder holds files of somebody else.
    """
    if not folder.is_dir():
        return
    marks = (artifacts.LOCK, artifacts.TRAINING)
    if any((folder / name).exists() for name in marks) or next(folder.iterdir(), None) is None:
        return
    manifest = folder / artifacts.MANIFEST
    content = artifacts.read_json(manifest) if manifest.is_file() else None
    if not isinstance(content, dict) or "schema_version" not in content:
        raise RunError(f"{folder}: holds files without a mark of this version of anatomy; choose another --out")


def refuse_existing(path: Path) -> None:
    """Refuse to write a file where something is already; for use before work that takes long.

    A single file has no mark that says whose it is, and a file of ours may have been edited since.

    Raises:
        RunError: something is there.
    """
    if path.exists() or path.is_symlink():
        raise RunError(f"{path}: is there already, and is not overwritten; choose another --out, or remove it")
