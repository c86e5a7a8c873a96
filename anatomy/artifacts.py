"""Names of everything in a run directory, atomic writes, and the manifest that marks completion.

This is the only module that knows a file name. A file is written beside its place and renamed, so that a killed
process never leaves half a file under a final name.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema, with_config

from anatomy.errors import RunError

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
CARD = "README.md"
WORK = "work"
TRAINING = "training.json"
TRAIN_LOG = "train_log.jsonl"


def shard_name(number: int) -> str:
    """File name of shard ``number`` inside its folder."""
    return f"shard-{number:05d}.parquet"


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder, in order."""
    return sorted(folder.glob("shard-*.parquet"))


def row_list(kind: str, share: float) -> str:
    """File name of a list of row ids (one a line): the ``top`` or ``random`` share of the rows."""
    return f"{kind}-{share_name(share)}.txt"


def share_name(share: float) -> str:
    """A share in a file name: ``5-percent``."""
    return f"{share:.0%}".replace("%", "-percent")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it into place on success, delete it on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: not found; run the stage that writes it (`anatomy audit`) first") from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or too deep
        raise RunError(f"{path}: not valid JSON ({error}); delete it and run again") from None


OrNaN = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]
"""A float field of an artifact: NaN and infinities stand as null in the file, and null is read as NaN."""

closed = with_config(ConfigDict(extra="forbid", protected_namespaces=()))
"""Decorator of a ``TypedDict`` inside an artifact: unknown keys are refused."""


class Artifact(BaseModel):
    """Base of everything kept as a JSON document: a frozen model, with the version of its schema in the file.

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
            RunError: it is missing, broken, of another version, or not what its name says.
        """
        if not path.is_file():
            raise RunError(f"{path}: no {cls.NAME} here; {cls.REMEDY}")
        content = read_json(path)
        version = content.pop("schema_version", None) if isinstance(content, dict) else None
        if version is None or version != cls.VERSION:
            found = "without a schema version" if version is None else f"of schema version {version}"
            raise RunError(f"{path}: {cls.NAME} {found}, and {cls.VERSION} is read here; {cls.REMEDY}")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise RunError(f"{path}: not a valid {cls.NAME} ({where}: {first['msg']}); {cls.REMEDY}") from None

    def write(self, path: Path) -> None:
        """Write the artifact as JSON, atomically."""
        write_json(path, {"schema_version": self.VERSION, **self.model_dump(mode="json", by_alias=True)})


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table as zstd-compressed Parquet, atomically."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet artifact; a missing file is a :class:`RunError` that names it."""
    import pyarrow.parquet as pq

    if not path.is_file():
        raise RunError(f"{path}: not found; run the stage that writes it (`anatomy audit`) first")
    return pq.read_table(path, columns=columns)
