"""A null field says nothing: one set is the same pairs in every format, whether or not the format keeps nulls."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anatomy.data.pair_stream import PairStream
from anatomy.settings import RowSettings
from anatomy.types import Pair

Write = Callable[[str, Any], Path]


def call(name: str, arguments: dict[str, Any] | None) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [
        {"type": "function", "id": None, "function": {"name": name, "arguments": arguments}}
    ]}  # fmt: skip


ROWS = [
    {
        "prompt": [{"role": "user", "content": f"Is it {n}?", "name": None}],
        "chosen": [call("look", {"place": "Rome", "unit": None, "more": [{"deep": None, "x": n}]})],
        "rejected": [call("ask", {"place": None, "unit": "C", "more": []})]
        if n % 2
        else [call("ask", {"place": "Here"})],
        "tools": [{"type": "function", "function": {"name": "look", "description": None}}],
        "chat_template_kwargs": {"thinking": None, "style": "brief"} if n else {"thinking": True},
    }
    for n in range(4)
]


def read(path: Path) -> list[Pair]:
    rows = list(PairStream(RowSettings(rows=str(path))))
    assert all(isinstance(row, Pair) for row in rows), rows
    return [row for row in rows if isinstance(row, Pair)]


@pytest.mark.parametrize("kind", ["json", "parquet", "arrow", "jsonl.gz"])
def test_nulls_make_no_other_row(kind: str, write: Write) -> None:
    known, found = read(write("a.jsonl", ROWS)), read(write(f"b.{kind}", ROWS))
    assert [pair.row_id for pair in found] == [pair.row_id for pair in known]
    assert [pair.prompt_id for pair in found] == [pair.prompt_id for pair in known]


def test_what_text_spells_out_stays(write: Write) -> None:
    """A template renders tools that are JSON text with their nulls, whatever the format."""
    tools = [{"type": "function", "function": {"name": "look", "default": None}}]
    rows = [{**row, "tools": json.dumps(tools)} for row in ROWS]
    for kind in ("jsonl", "parquet"):
        assert [pair.tools for pair in read(write(f"a.{kind}", rows))] == [tools] * 4
