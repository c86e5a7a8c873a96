"""``rows.parquet``: one line for each pair or fault, in order, with its source rows and its status."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.artifacts import (
    atomic_path,
    batches_in_turn,
    known_hash,
    read_as_parquet,
    require_unchanged,
    unpacked_parts,
)
from anatomy.data.faults import RETAINED, Fault
from anatomy.errors import RunError
from anatomy.types import SPANS, Message, Pair

GROUP_ROWS = 1024
REMEDY = "run `anatomy audit` again"

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string())]))
SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("source_rows", pa.list_(pa.int64())),
        ("row_id", pa.string()),
        ("prompt_id", pa.string()),
        ("status", pa.string()),
        *[(span, MESSAGES) for span in SPANS],
        ("tools", pa.string()),
        ("chat_template_kwargs", pa.string()),
        ("metadata", pa.string()),
        ("weight", pa.float64()),
    ]
)
"""``extra`` holds a message's other keys; it, ``tools``, ``chat_template_kwargs`` and ``metadata`` are JSON or null."""


@dataclass(frozen=True)
class StoredPair:
    """A retained row as read back: the pair and its two ids."""

    pair: Pair
    row_id: str
    prompt_id: str
    status: str


def write_rows(path: Path, stream: Iterable[tuple[Pair | Fault, str]]) -> int:
    """Write ``(row, status)`` of every source row, a batch at a time, atomically; returns how many were written."""
    written, rows = 0, iter(stream)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        while group := list(itertools.islice(rows, GROUP_ROWS)):
            writer.write_table(pa.Table.from_pylist([_line(row, status) for row, status in group], SCHEMA))
            written += len(group)
    return written


def read_rows(path: Path, batch: int = 512) -> Iterator[StoredPair]:
    """Retained rows in source order, ``batch`` lines in memory at a time.

    Raises:
        RunError: the file is not there, damaged, or not of this run.
    """
    if not path.is_file():
        raise RunError(f"{path}: not found; run `anatomy audit` first")
    require_unchanged(path)
    with read_as_parquet(path, REMEDY), pq.ParquetFile(path) as table:
        if not table.schema_arrow.equals(SCHEMA):
            raise RunError(f"{path}: its columns are not those of rows; {REMEDY}")
        digest = known_hash(path)
        for lines in unpacked_parts(path, batches_in_turn(table, batch)):
            kept = (line for line in lines.to_pylist() if line["status"] == RETAINED)
            yield from (_stored(line, path, digest in _SOUND) for line in kept)
        _SOUND.add(digest)


_SOUND: set[str] = set()
"""Hashes of files of which this process found every row's content to be that of its ids."""


def _stored(line: Mapping[str, Any], path: Path, known: bool) -> StoredPair:
    """A line as a pair, whose content must be that of its ids; ``known`` says that it is."""
    try:
        pair = _pair(line)
        sound = known or (pair.row_id, pair.prompt_id) == (line["row_id"], line["prompt_id"])
    except (TypeError, ValueError, RecursionError):  # no value, or no JSON
        sound = False
    if not sound:
        raise RunError(f"{path}, row {line['index']}: its content is not that of its ids; {REMEDY}")
    return StoredPair(pair, line["row_id"], line["prompt_id"], line["status"])


def _line(row: Pair | Fault, status: str) -> dict[str, Any]:
    if isinstance(row, Fault):
        return {"index": row.index, "source_rows": row.source_rows, "status": status}
    return {
        "index": row.index,
        "source_rows": row.source_rows,
        "row_id": row.row_id,
        "prompt_id": row.prompt_id,
        "status": status,
        **{span: _packed(getattr(row, span)) for span in SPANS},
        "tools": _json(row.tools),
        "chat_template_kwargs": _json(row.chat_template_kwargs),
        "metadata": _json(row.metadata),
        "weight": row.weight,
    }


def _pair(line: Mapping[str, Any]) -> Pair:
    prompt, chosen, rejected = (_unpacked(line[span]) for span in SPANS)
    metadata, tools, template_kwargs = (_parsed(line[key]) for key in ("metadata", "tools", "chat_template_kwargs"))
    made_of = tuple(line["source_rows"])
    return Pair(line["index"], prompt, chosen, rejected, metadata, tools, template_kwargs, made_of, line["weight"])


def _packed(messages: Sequence[Message]) -> list[dict[str, Any]]:
    fields = ("role", "content")
    rest = [{key: value for key, value in message.items() if key not in fields} for message in messages]
    return [
        {**{key: message[key] for key in fields}, "extra": _json(extra or None)}
        for message, extra in zip(messages, rest, strict=True)
    ]


def _unpacked(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    return [{"role": m["role"], "content": m["content"], **(_parsed(m["extra"]) or {})} for m in messages]


def _json(value: Any) -> str | None:
    """ASCII JSON (metadata may hold half a surrogate pair, which Parquet cannot)."""
    return None if value is None else json.dumps(value, sort_keys=True)


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
