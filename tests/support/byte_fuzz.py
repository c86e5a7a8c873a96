"""Damaged bytes from a seed: what disks, transfers and fuzzers make of a sound file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

BOUNDS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
TEXTS = [b"null", b"NaN", b"1e999", b"-1", b"9" * 400, b"{}", b"[]", b'"', b"\\ud800", b"\x1b]52;c;x\x07", b"\x00", b"true"]


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
