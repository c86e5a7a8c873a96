"""Folders of files that count only as a whole: their stamp is written last, and holds the hash of every other file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from anatomy.artifacts import OUTPUTS, Artifact, inside, known_hash, require_outputs
from anatomy.errors import RunError
from anatomy.types import file_hash

STAMP = "stamp.json"
LOADED = (".safetensors", ".json")
"""Files of a checkpoint that a model is made of."""


class FolderStamp(Artifact):
    """What a folder was made of, numbers that belong to it, and the SHA-256 of each file by its path inside."""

    NAME: ClassVar[str] = "stamp of a folder"
    REMEDY: ClassVar[str] = "delete the folder"

    made_of: str
    numbers: dict[str, int]
    files: dict[str, str]


def stamp_folder(folder: Path, made_of: str, **numbers: int) -> None:
    """Bring every file of a folder to the disk, and write its stamp."""
    FolderStamp(made_of=made_of, numbers=numbers, files=_hashes(folder)).write(folder / STAMP)


def read_stamp(folder: Path) -> FolderStamp | None:
    """The stamp of a whole folder; None if it was cut short, or a file of it is missing, damaged or not of it."""
    try:
        stamp = FolderStamp.read(folder / STAMP)
    except RunError:
        return None
    return stamp if stamp.files == _hashes(folder) else None


def require_whole(folder: Path) -> None:
    """Refuse a model of a training, or a checkpoint, of which a file is missing or not as it was written.

    A folder that no record speaks of passes, and so do further files in it.

    Raises:
        RunError: it names the first such file.
    """
    folder = folder.resolve()
    if (folder.parent / OUTPUTS).is_file():
        require_outputs(folder.parent, f"{folder.name}/")
    if (folder / STAMP).is_file():
        for name, digest in FolderStamp.read(folder / STAMP).files.items():
            path = inside(folder, name)
            if not path.is_file() or (path.suffix in LOADED and known_hash(path) != digest):
                raise RunError(f"{path}: missing, or not as it was written; take another checkpoint, or train again")


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / STAMP)
    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(_settled, files))
    names = [path.relative_to(folder).as_posix() for path in files]
    return dict(zip(names, hashes, strict=True))


def _settled(path: Path) -> str:
    """Hash of a file that is on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
    return file_hash(path)
