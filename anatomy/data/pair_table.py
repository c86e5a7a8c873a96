"""Pairs as a table that TRL reads: ``prompt``, ``chosen``, ``rejected`` as message lists, and what else a row has."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.artifacts import atomic_path
from anatomy.data.readers import without_absent
from anatomy.data.rows_table import GROUP_ROWS
from anatomy.text.visible import without_surrogates
from anatomy.types import SPANS, Pair

SOURCE_ROWS, VARIABLES = "source_rows", "chat_template_kwargs"
MOST_EXACT = 2**63


class Columns(NamedTuple):
    """The columns of a table of pairs; ``as_text`` says that what is nested is JSON text."""

    schema: pa.Schema
    as_text: bool


def write_pairs(path: Path, pairs: Callable[[], Iterable[Pair]], with_sources: bool = False) -> bool:
    """Write pairs as Parquet, atomically and with little memory; ``pairs`` gives them again each time it is called.

    Columns hold one type each: metadata of several becomes text. Tool calls and the like are kept as they are where
    Parquet can hold them; if it cannot hold all of them, what is nested is JSON text in the set, and False is
    returned. ``with_sources`` adds a column with the source rows that a pair was made of, from 0.
    """
    columns = _columns(pairs(), with_sources)
    if not columns.as_text and not _written(path, pairs(), columns):
        columns = Columns(_with_text(columns.schema), True)
    if columns.as_text:
        _written(path, pairs(), columns)
    return not columns.as_text


def _written(path: Path, pairs: Iterable[Pair], columns: Columns) -> bool:
    """Whether the table holds the pairs as they are; otherwise there is no file."""
    rows = iter(pairs)
    try:
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, columns.schema, compression="zstd") as writer:
            while group := list(itertools.islice(rows, GROUP_ROWS)):
                lines = [_line(pair, columns) for pair in group]
                table = pa.Table.from_pylist(lines, columns.schema)
                if not columns.as_text and not _holds(table, lines):
                    raise _Lossy
                writer.write_table(table)
    except (_Lossy, pa.ArrowException):
        return False
    return True


class _Lossy(Exception):
    """A table does not hold what was put into it."""


def _holds(table: pa.Table, lines: list[dict[str, Any]]) -> bool:
    """Whether what is nested comes out as it went in; messages of role and content alone do."""
    nested = [name for name in (*SPANS, VARIABLES) if _is_nested(table.schema, name)]
    return all(
        without_absent(read[name]) == line[name]
        for read, line in zip(table.select(nested).to_pylist(), lines, strict=True)
        for name in nested
    )


def _is_nested(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type if name in schema.names else pa.string()
    return bool(pa.types.is_struct(kind) or (pa.types.is_list(kind) and kind.value_type.num_fields > 2))


def _columns(pairs: Iterable[Pair], with_sources: bool) -> Columns:
    kinds: dict[str, set[type]] = {}
    tools = False
    messages, variables = _Types(), _Types()
    for pair in pairs:
        for name, value in pair.metadata.items():
            big = isinstance(value, int) and abs(value) >= MOST_EXACT
            kinds.setdefault(name, set()).add(str if big else type(value))
        tools = tools or pair.tools is not None
        variables.add(pair.chat_template_kwargs or {})
        for message in (message for span in SPANS for message in getattr(pair, span)):
            messages.add(message)
    text = [("role", pa.string()), ("content", pa.string())]
    further, set_here = messages.found(), variables.found()
    as_text = further is None or set_here is None
    kind = pa.string() if further is None or as_text else pa.list_(pa.struct([*text, *further]))
    columns = [(span, kind) for span in SPANS] + ([("tools", pa.string())] if tools else [])
    if set_here is None or set_here:
        columns.append((VARIABLES, pa.string() if set_here is None or as_text else pa.struct(set_here)))
    taken = {*dict(columns), *([SOURCE_ROWS] if with_sources else [])}
    columns += [(name, _arrow(kind)) for name, kind in kinds.items() if name not in taken]
    columns += [(SOURCE_ROWS, pa.list_(pa.int64()))] if with_sources else []
    return Columns(pa.schema(columns), as_text)


class _Types:
    """The types of the values that mappings have by key; ``role`` and ``content`` of messages apart, which are text."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Any]] = {}
        self._known = pa.schema([])
        self._fit = True

    def add(self, values: Mapping[str, Any]) -> None:
        for key in values.keys() - {"role", "content"}:
            waiting = self._waiting.setdefault(key, [])
            waiting.append(values[key])
            if len(waiting) >= GROUP_ROWS:
                self._take_over()

    def _take_over(self) -> None:
        try:
            found = pa.schema([(key, pa.infer_type(values)) for key, values in self._waiting.items()])
            self._known = pa.unify_schemas([self._known, found], promote_options="permissive")
        except (pa.ArrowException, OverflowError):  # values of several types, or numbers that none holds
            self._fit = False
        self._waiting.clear()

    def found(self) -> list[pa.Field] | None:
        """A field for each key; None where no type holds all of a key's values."""
        self._take_over()
        return [self._known.field(name) for name in sorted(self._known.names)] if self._fit else None


def _with_text(schema: pa.Schema) -> pa.Schema:
    text = {*SPANS, VARIABLES}
    return pa.schema([pa.field(field.name, pa.string()) if field.name in text else field for field in schema])


def _arrow(kinds: set[type]) -> pa.DataType:
    if kinds == {bool}:
        return pa.bool_()
    if kinds <= {int, float}:
        return pa.int64() if kinds == {int} else pa.float64()
    return pa.string()


def _line(pair: Pair, columns: Columns) -> dict[str, Any]:
    line: dict[str, Any] = {span: [dict(message) for message in getattr(pair, span)] for span in SPANS}
    line[VARIABLES] = dict(pair.chat_template_kwargs or {})  # TRL takes no null here
    if columns.as_text:
        line = {name: _json(value) for name, value in line.items()}
    line["tools"] = _json(pair.tools)
    if SOURCE_ROWS in columns.schema.names:
        line[SOURCE_ROWS] = list(pair.source_rows)
    for name, value in pair.metadata.items():
        text = columns.schema.field(name).type == pa.string()
        line.setdefault(name, without_surrogates(str(value)) if text else value)
    return line


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
