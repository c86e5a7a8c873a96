"""JSON documents with a version and a checksum, and the hashes that they hold of the files beside them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, with_config

from anatomy.artifacts.file_names import MANIFEST, OUTPUTS
from anatomy.artifacts.on_disk import SEALED, finite, is_sealed, known_hash, read_json, write_json
from anatomy.errors import RunError, shown
from anatomy.types import content_hash

OrNaN = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A float field of an artifact: NaN and infinities stand as null in the file, and null is read as NaN."""

closed = with_config(ConfigDict(extra="forbid", protected_namespaces=()))
"""Decorator of a ``TypedDict`` inside an artifact: unknown keys are refused."""


class Artifact(BaseModel):
    """Base of everything kept as a JSON document: a frozen model; its file also holds schema version and checksum.

    A subclass stands next to the code that produces it. Raise its ``VERSION`` whenever its fields change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    NAME: ClassVar[str]
    """What messages call it."""
    VERSION: ClassVar[int] = 1
    REMEDY: ClassVar[str] = "run `anatomy audit` again"
    """How a person gets a good one."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The artifact in a file.

        Raises:
            RunError: it is missing, broken, damaged, of another run or version, or not what its name says.
        """
        if not path.is_file():
            raise RunError(f"{path}: no {cls.NAME} here; {cls.REMEDY}")
        require_unchanged(path)
        content = read_json(path)
        version = content.pop("schema_version", None) if isinstance(content, dict) else None
        if version is None or version != cls.VERSION:
            found = "without a schema version" if version is None else f"of schema version {str(version)[:20]}"
            raise RunError(f"{path}: {cls.NAME} {found}, and {cls.VERSION} is read here; {cls.REMEDY}")
        checksum = content.pop(CHECKSUM, None)
        try:
            document = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise RunError(f"{path}: not a valid {cls.NAME} ({where}: {first['msg']}); {cls.REMEDY}") from None
        if checksum != content_hash({"schema_version": version, **content}):
            fault = "without a checksum" if checksum is None else "damaged, its content is not what was written"
            raise RunError(f"{path}: {cls.NAME} {fault}; {cls.REMEDY}")
        return document

    def write(self, path: Path) -> None:
        """Write the artifact as JSON, atomically, with the version of its schema and a checksum of its content."""
        content = {"schema_version": self.VERSION, **self.model_dump(mode="json", by_alias=True)}
        write_json(path, with_checksum(content))


CHECKSUM = "checksum"


def with_checksum(content: dict[str, Any]) -> dict[str, Any]:
    """The content of an artifact's file, its schema version included, with a checksum of it behind the version."""
    plain = {name: value for name, value in finite(content).items() if name != CHECKSUM}
    version = plain.pop("schema_version", None)
    return {"schema_version": version, CHECKSUM: content_hash({"schema_version": version, **plain}), **plain}


class Outputs(Artifact):
    """``outputs.json``: what a command wrote into a folder that is no run; written last."""

    NAME = "record of what was written"
    REMEDY = "run the command that writes into this folder again"

    made_of: dict[str, str] = Field(description="Hashes of the clusterings of the run that it is about; empty: none.")
    outputs: dict[str, str] = Field(description="SHA-256 of each file, by its path inside.")


def record_outputs(folder: Path, names: Iterable[str], about: Mapping[str, str] | None = None) -> None:
    """Write the hashes of files of a folder; those of other files there are kept, unless made of something else.

    Args:
        names: paths of the files inside.
        about: hashes of the clusterings that they are about; None: what the record says already.
    """
    kept: Mapping[str, str] = {}
    stated = {} if about is None else dict(about)
    with contextlib.suppress(RunError):  # missing or damaged: nothing of it is kept
        before = Outputs.read(folder / OUTPUTS)
        stated = before.made_of if about is None else stated
        kept = before.outputs if before.made_of == stated else {}
    there = {name: digest for name, digest in kept.items() if (folder / name).is_file()}
    found = {name: known_hash(folder / name) for name in names}
    Outputs(made_of=stated, outputs=dict(sorted({**there, **found}.items()))).write(folder / OUTPUTS)


def made_of(folder: Path) -> dict[str, str]:
    """Hashes of the clusterings that the files of a folder are about.

    Raises:
        RunError: the record of what was written there is missing or damaged.
    """
    return Outputs.read(folder / OUTPUTS).made_of


def require_outputs(folder: Path, below: str = "") -> None:
    """Refuse a folder in which a file that was recorded is missing or changed.

    Args:
        below: what the names of the files begin with, as ``model/``; the others are passed over.

    Raises:
        RunError: it names the first such file, or the record is missing or damaged.
    """
    for name, digest in Outputs.read(folder / OUTPUTS).outputs.items():
        path = inside(folder, name)
        if name.startswith(below) and not (path.is_file() and known_hash(path) == digest):
            raise RunError(
                f"{path}: missing, or not as it was written; put it back, or delete {folder} and run what made it again"
            )


def inside(folder: Path, name: str) -> Path:
    """The file of this name in a folder; what a document says leads to no other place.

    Raises:
        RunError: the name leads out of the folder.
    """
    place = PurePosixPath(name)
    if not name or place.is_absolute() or ".." in place.parts or "\0" in name:
        raise RunError(f"{folder}: names a file outside of it ({shown(name)}); take another copy")
    return folder / place


_RECORDED: dict[Path, tuple[str, dict[str, str]]] = {}
"""Records that were read: hash of their bytes, and the hashes that they name."""


def require_recorded(path: Path) -> None:
    """Refuse a file whose hash stands nowhere: not in its name, nor in a record beside it; or that is not that file.

    Raises:
        RunError: the file is damaged, edited, of another run or not recorded, or the record is broken.
    """
    if not require_unchanged(path):
        raise RunError(f"{path}: its hash is not recorded beside it; run the command that wrote it again")


def require_unchanged(path: Path) -> bool:
    """Refuse a file whose bytes are not those that are recorded; return whether they are recorded.

    Raises:
        RunError: the file is damaged, edited or of another run, or the record is broken.
    """
    if SEALED.fullmatch(path.name):
        if not is_sealed(path):
            raise RunError(f"{path}: damaged, its bytes are not those that were written; delete it and run again")
        return True
    recorded = [found for record in _records_beside(path) if (found := _recorded(record).get(path.name)) is not None]
    if recorded and known_hash(path) not in recorded:
        raise RunError(f"{path}: its bytes are not those that this run wrote; run the command that wrote it again")
    return bool(recorded)


def _records_beside(path: Path) -> Iterator[Path]:
    if path.name not in (MANIFEST, OUTPUTS):
        yield from (place for name in (MANIFEST, OUTPUTS) if (place := path.parent / name).is_file())


def _recorded(record: Path) -> dict[str, str]:
    """File → SHA-256, of a manifest (all outputs of its stages) or another record; empty if it is of something else."""
    digest = known_hash(record)
    if _RECORDED.get(record, ("", {}))[0] != digest:
        if record.name == OUTPUTS:
            _RECORDED[record] = digest, Outputs.read(record).outputs
            return _RECORDED[record][1]
        content, found = read_json(record), dict[str, str]()
        stages = content.get("stages") if isinstance(content, dict) else None
        for stage in stages.values() if isinstance(stages, dict) else ():
            outputs = stage.get("outputs") if isinstance(stage, dict) else None
            found |= outputs if isinstance(outputs, dict) else {}
        _RECORDED[record] = digest, found
    return _RECORDED[record][1]
