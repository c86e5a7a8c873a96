"""Names of everything in a run directory, writes that are whole or not at all, and how damage is noticed.

This is the only module that knows a file name. A file is written beside its place, brought to the disk and renamed, so
that neither a killed process nor a power failure leaves half a file under a final name. Damage is noticed when a file
is read: a JSON artifact holds a checksum of its content, the name of a sealed file holds a hash of its bytes, and the
manifest of a run holds one for every output of a stage.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema, with_config

from anatomy.errors import RunError, one_line
from anatomy.types import content_hash, file_hash

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
HEALTH = "health.json"
ROWS = "rows.parquet"
FEATURES = "features"
SCORES = "scores"
CLUSTERS = "clusters.parquet"
DATA_CLUSTERS = "data_clusters.parquet"
HYPOTHESES = "hypotheses.parquet"
CONTEXTS = "contexts.parquet"
LABELS = "labels.json"
SUMMARY = "summary.json"
SUMMARY_TEXT = "summary.md"
NULL = "null.json"
NAMES = "names.json"
NAME_ANSWERS = "names.sqlite"
TOKENS = "tokens.parquet"
SCORED_TOKENS = "scored_tokens.parquet"
VALIDATIONS = "validation"
COMPARISONS = "compared"
COMPARISON = "compare.json"
COMPARISON_PAGE = "compare.html"
REPORT = "report"
REPORT_PAGE = "index.html"
PLOTLY = "plotly.js"
ROLLOUTS = "rollouts.parquet"
COMPLETIONS = "completions.jsonl"
SHIFTS = "shifts.parquet"
VALIDATION = "validation.json"
PROMPT_MEANS = "prompt_means.parquet"
CAPABILITY = "capability.json"
CALIBRATION = "calibration.json"
OWN_FEATURES = "own_features"
OWN_SCORES = "own_scores"
LOG_PROBS = "log_probs"
OWN_LOG_PROBS = "own_log_probs"
TRACE = "trace.json"
CONTRIBUTIONS = "contributions.parquet"
FORECAST = "forecast.parquet"
PLAN = "plan.yaml"
PAIR_EDITS = "pair_edits.parquet"
FILTER_LOG = "filter_log.parquet"
CLEANED = "data/train.parquet"
LEFT_OUT = "left_out.parquet"
COLUMN_MAP = "map.yaml"
CARD = "README.md"
WORK = "work"
TRAINING = "training.json"
TRAIN_LOG = "train_log.jsonl"
LOCK = ".anatomy.lock"
"""Marks a folder as ours, and is locked by the process that writes there."""


def row_list(kind: str, share: float) -> str:
    """File name of a list of row ids (one a line): the ``top`` or ``random`` share of the rows."""
    return f"{kind}-{share_name(share)}.txt"


def share_name(share: float) -> str:
    """A share in a file name: ``5-percent``."""
    return f"{share:.0%}".replace("%", "-percent")


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
_RECORDED: dict[Path, tuple[str, dict[str, str]]] = {}
"""Manifests that were read: hash of their bytes, and the hashes that they name."""


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


def require_recorded(path: Path) -> None:
    """Refuse a file whose bytes are not those that the manifest beside it names; others are not its business.

    Raises:
        RunError: the file is damaged, edited or of another run, or the manifest is broken.
    """
    manifest = path.parent / MANIFEST
    if path.name == MANIFEST or not manifest.is_file():
        return
    recorded = _recorded(manifest).get(path.name)
    if recorded is not None and known_hash(path) != recorded:
        raise RunError(f"{path}: its bytes are not those that this run wrote; run the same `anatomy audit` again")


def _recorded(manifest: Path) -> dict[str, str]:
    """File → SHA-256, of all outputs of the stages in a manifest; empty if it is of something else."""
    digest = known_hash(manifest)
    if _RECORDED.get(manifest, ("", {}))[0] != digest:
        content, found = read_json(manifest), dict[str, str]()
        stages = content.get("stages") if isinstance(content, dict) else None
        for record in stages.values() if isinstance(stages, dict) else ():
            outputs = record.get("outputs") if isinstance(record, dict) else None
            found |= outputs if isinstance(outputs, dict) else {}
        _RECORDED[manifest] = digest, found
    return _RECORDED[manifest][1]


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
        require_recorded(path)
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
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: not a valid Parquet file ({one_line(error, 120)}); {remedy}") from None


def read_table(path: Path, columns: Columns | None = None) -> pa.Table:
    """Read a Parquet artifact: the ``columns`` that are declared beside what writes it, or all there are.

    Raises:
        RunError: it is missing, damaged, not of this run, or a column is missing, of another type or lacks values.
    """
    import pyarrow.parquet as pq

    remedy = "run the command that wrote it again"
    if not path.is_file():
        raise RunError(f"{path}: not found; run the command that writes it first")
    require_recorded(path)
    with read_as_parquet(path, remedy):
        require_columns(path, pq.read_schema(path), columns or {}, remedy)
        table = pq.read_table(path, columns=columns and list(columns))
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
