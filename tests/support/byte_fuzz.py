"""Damage from a seed: to bytes, as disks and transfers do it, and to the content of sound documents and tables."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

BOUNDS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
TEXTS = [
    b"null",
    b"NaN",
    b"1e999",
    b"-1",
    b"9" * 400,
    b"{}",
    b"[]",
    b'"',
    b"\\ud800",
    b"\x1b]52;c;x\x07",
    b"\x00",
    b"true",
]


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, 200)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.randint(1, 400)]


def _insert(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = chance.randbytes(chance.randint(1, 64))


def _number(data: bytearray, chance: random.Random) -> None:
    width = chance.choice([1, 2, 4, 8])
    start = chance.randrange(max(1, len(data) - width))
    value = chance.choice(BOUNDS) % (1 << 8 * width)
    data[start : start + width] = value.to_bytes(width, chance.choice(["little", "big"]))


def _fill(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    length = min(chance.randint(1, 256), len(data) - start)
    data[start : start + length] = bytes([chance.choice([0, 0xFF])]) * length


def _text(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start : start + chance.randint(0, 12)] = chance.choice(TEXTS)


CHANGES: list[Callable[[bytearray, random.Random], None]] = [
    _flip, _cut, _remove, _repeat, _insert, _number, _fill, _text,
]  # fmt: skip


def damaged(content: bytes, count: int, seed: int | str) -> Iterator[bytes]:
    """``count`` damaged versions of ``content``, none equal to it; the same for the same seed."""
    chance = random.Random(seed)
    made = 0
    while made < count:
        data = bytearray(content)
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            if data:
                chance.choice(CHANGES)(data, chance)
        if bytes(data) != content:
            made += 1
            yield bytes(data)


VALUES = [None, True, 0, -1, 2**70, 1e308, "", "R999999", "\x1b[2J", "=1+1", "../../etc/passwd", "x" * 5000, [], {},
          [None], {"a": 1}, [[]], "nan", 0.5, "\ud800"]  # fmt: skip


def distorted(document: Any, count: int, seed: int | str) -> Iterator[Any]:
    """``count`` versions of a JSON document in which values or keys are other ones; it stays JSON."""
    chance = random.Random(seed)
    for _ in range(count):
        version = copy.deepcopy(document)
        for _ in range(chance.choice([1, 1, 2])):
            _distort(version, chance)
        yield version


def _distort(document: Any, chance: random.Random) -> None:
    """Change one place, each container being as likely as each other on the way down."""
    node = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.8:
            node = node[key]
            continue
        change = chance.choice(["value", "value", "value", "remove", "add"])
        if change == "value":
            node[key] = chance.choice(VALUES)
        elif change == "remove":
            del node[key]
        elif isinstance(node, dict):
            node[chance.choice(["", "extra", "schema_version", "\x1b[2J"])] = chance.choice(VALUES)
        else:
            node.append(chance.choice([node[key], *VALUES]))
        return


def distorted_tables(table: pa.Table, count: int, seed: int | str) -> Iterator[pa.Table]:
    """``count`` versions of a table, as sound Parquet: columns missing, of another type, null, or of odd values."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _distorted_table(table, chance)


def _distorted_table(table: pa.Table, chance: random.Random) -> pa.Table:
    name = chance.choice(table.column_names)
    cut = chance.randrange(len(table) + 1)
    match chance.choice(["drop", "rename", "cut", "repeat", "shuffle", "add", "replace", "replace", "replace"]):
        case "drop":
            return table.drop_columns([name])
        case "rename":
            return table.rename_columns([f"{other}x" if other == name else other for other in table.column_names])
        case "cut":
            return table.slice(0, cut)
        case "repeat":
            return pa.concat_tables([table, table.slice(cut)])
        case "shuffle":
            return table.take(chance.sample(range(len(table)), len(table)))
        case "add":
            return table.append_column("extra", table[name])
    return table.set_column(table.column_names.index(name), name, _other_column(table[name], chance))


def _other_column(column: pa.ChunkedArray, chance: random.Random) -> pa.Array:
    """A column of the same length: of one odd value, of null, or of its own values in another order."""
    length = len(column)
    odd = [-1, 2**62, float("nan"), float("inf"), "R999999", "\x1b]52;c;x\x07", [1], True, ""]
    others = [pa.nulls(length), pa.nulls(length, column.type), *(pa.array([value] * length) for value in odd)]
    others += [column.take(chance.sample(range(length), length)).combine_chunks()] * 3
    return chance.choice(others)
