"""Files that are whole or not at all, the hashes that show damage, and plain JSON."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from anatomy.artifacts.file_names import LOCK
from anatomy.errors import RunError
from anatomy.types import content_hash, file_hash

UNFINISHED = re.compile(r"\..+\.\d+\.anatomy-part")
"""Names of files that a process of ours writes; left over by a killed one."""
HASH_DIGITS = 16
"""Hexadecimal digits of its hash in the name of a sealed file."""
SEALED = re.compile(rf"(?P<stem>.+)-(?P<digest>[0-9a-f]{{{HASH_DIGITS}}})(?P<suffix>\.[a-z]+)")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place on success, delete it on failure.

    The file and its folder are on the disk before the block ends.
    """
    with _unfinished(path.parent, path.name) as temporary:
        yield temporary
        _settle(temporary, path)


@dataclass
class Sealed:
    """A sealed file in the making: write to ``temporary``; ``path`` is where it lies in the end."""

    temporary: Path
    path: Path = Path()


@contextlib.contextmanager
def sealed_path(folder: Path, stem: str, suffix: str) -> Iterator[Sealed]:
    """As :func:`atomic_path`, for a file named ``<stem>-<hash of its bytes><suffix>``, which tells by itself of damage.

    Equal bytes give equal names.
    """
    with _unfinished(folder, stem + suffix) as temporary:
        sealed = Sealed(temporary)
        yield sealed
        sealed.path = folder / f"{stem}-{file_hash(temporary)[:HASH_DIGITS]}{suffix}"
        _settle(temporary, sealed.path)


@contextlib.contextmanager
def _unfinished(folder: Path, name: str) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{os.getpid()}.anatomy-part"
    try:
        yield temporary
    except OSError as error:
        if error.filename is None:  # a failed write does not say where
            error.filename = str(folder / name)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _settle(temporary: Path, path: Path) -> None:
    """Bring a file to the disk under its final name."""
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems do not sync folders
            os.fsync(folder)
    finally:
        os.close(folder)


_KNOWN: dict[Path, tuple[tuple[int, ...], str]] = {}
"""Files whose bytes were hashed: which file it was, and the hash."""


def known_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, read once a process as long as the file is the same."""
    found = path.stat()
    state = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    if _KNOWN.get(path, (None, ""))[0] != state:
        _KNOWN[path] = state, file_hash(path)
    return _KNOWN[path][1]


def is_sealed(path: Path) -> bool:
    """Whether a file is there, and its bytes are those that its name says."""
    name = SEALED.fullmatch(path.name)
    return name is not None and path.is_file() and known_hash(path).startswith(name["digest"])


def sealed_files(folder: Path) -> list[Path]:
    """Files of a folder with the name of a sealed file, by name, whether damaged or not."""
    return sorted(path for path in folder.iterdir() if SEALED.fullmatch(path.name)) if folder.is_dir() else []


def output_hash(path: Path) -> str | None:
    """Hash of an artifact: the bytes of a file, or the names of the sealed files of a folder; None if it is not there.

    A folder with a damaged file has none.
    """
    if path.is_dir():
        files = sealed_files(path)
        return content_hash([file.name for file in files]) if all(map(is_sealed, files)) else None
    return known_hash(path) if path.is_file() else None


def remove_unfinished(folder: Path) -> None:
    """Delete what killed processes of ours left half written in ``folder`` and below; links are not followed.

    Folders below that another process can claim for itself are left alone.
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not (Path(parent) / name / LOCK).exists()]
        for name in names:
            if UNFINISHED.fullmatch(name):
                (Path(parent) / name).unlink()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content``, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinities become null."""
    write_text(path, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """``value`` as plain JSON values: numpy scalars as numbers, paths as text, NaN and infinities as None."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | bytes):  # numpy scalars
        value = value.item()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a :class:`RunError` that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_distinct)
    except FileNotFoundError:
        raise RunError(f"{path}: not found; run the command that writes it first") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or too deep
        raise RunError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; a key that stands twice is damage, which a checksum of the content would not see."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
