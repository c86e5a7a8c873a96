"""The streaming JSON reader against the standard one, whatever the window cuts through."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest

from anatomy.data.json_stream import JSONStream
from anatomy.errors import RowsError


def value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.randrange(7 if depth else 5)
    if kind == 5:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {f"k{n}": value(rng, depth - 1) for n in range(rng.randrange(4))}
    return [None, True, -rng.random() * 1e9, rng.randrange(10**9), 'a"\\\n\u2028é😀' * rng.randrange(5)][kind]


@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_agrees_with_the_standard_decoder(chunk: int, indent: int | None, ascii_only: bool) -> None:
    rng = random.Random(chunk)
    rows = [value(rng) for _ in range(40)]
    for document in (rows, {"version": {"data": 3}, "data": rows, "end": 12}):
        text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
        assert [row for _, row in JSONStream(io.StringIO(text), "x", chunk).rows()] == rows


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_objects_in_sequence_carry_their_lines(chunk: int) -> None:
    text = '{"a": 1}\n{"a":\n 2}\n\n{"data": {"a": 3}}\n'
    rows = list(JSONStream(io.StringIO(text), "x", chunk).rows())
    assert rows == [(1, {"a": 1}), (2, {"a": 2}), (5, {"data": {"a": 3}})]


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("text", "line"),
    [('[{"a": 1},\n{"a": tru', 2), ('[{"a": 1}\n\n{"a": 2}]', 3), ("[\n\n1,\n]", 4), ('{"a" 1}', 1), ("[1]\n]", 2)],
)
def test_errors_name_their_line(text: str, line: int, chunk: int) -> None:
    with pytest.raises(RowsError, match=rf"x, line {line}: invalid JSON"):
        list(JSONStream(io.StringIO(text), "x", chunk).rows())


def test_an_error_is_told_without_reading_to_the_end() -> None:
    stream = io.StringIO('[{"a": wrong, "b": 1}' + " " * 100_000)
    with pytest.raises(RowsError, match="Expecting value"):
        list(JSONStream(stream, "x", 100).rows())
    assert stream.tell() < 1000
