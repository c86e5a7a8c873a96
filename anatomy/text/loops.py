"""Loops: a phrase that a response repeats many times in a row, which is how generation degenerates.

A text is read as words and marks; numbers count as equal, since a loop may count its rounds. A passage is a loop where
it equals itself some tokens later for so long that the phrase stands five times at least, over 30 tokens at least (60
where it counts). It is looked for at distances, up to 200 tokens, at which runs of eight tokens come back, so the time
is linear.
"""

from __future__ import annotations

import math
import re

import numpy as np
import regex
from jaxtyping import Int

from anatomy.text.markdown_spans import Range

TIMES = 5
TOKENS = 30
LONGEST = 200
"""Longest phrase, in tokens."""
NUMBERED_WORDS = 4
"""Words from which on a phrase with a number in it is text: rows of a table must repeat four times as often."""
_RUN = 8
_ASCII_TOKEN = re.compile(r"[0-9]+|[A-Za-z]+|[^\sA-Za-z0-9]")
_TOKEN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|\p{N}+|[^\W\p{N}_]+|[^\w\s]|_")
_LONG_WORD = regex.compile(r"[^\W\d_]{30,}")
_STRETCHED = regex.compile(r"(.{1,4}?)\1{29,}")


def loop_ranges(text: str) -> list[Range]:
    """Return where a phrase is repeated over and over, or a few letters are ("hahaha…", 30 times)."""
    found = [
        (word.start() + match.start(), word.start() + match.end())
        for word in _LONG_WORD.finditer(text)
        for match in _STRETCHED.finditer(word[0])
    ]
    return _merged(found + _phrases(text))


def _phrases(text: str) -> list[Range]:
    token = _ASCII_TOKEN if text.isascii() else _TOKEN
    words = token.findall(text)
    if len(words) < TOKENS:
        return []
    names: dict[str, int] = {}
    words = ["0" if word[0].isnumeric() else word for word in words]
    ids_T = np.array([names.setdefault(word, len(names)) for word in words], dtype=np.uint64)
    shifts = _shifts(ids_T)
    places = [match.span() for match in token.finditer(text)] if shifts else []
    found = []
    for shift in shifts:
        for start, stop in _equal(ids_T, shift):
            if stop + shift - start >= _least(words[start : start + shift]):
                found.append((places[start][0], places[stop + shift - 1][1]))
    return found


def _shifts(ids_T: Int[np.ndarray, " T"]) -> list[int]:
    """Distances, up to 200, at which runs of eight tokens come back so often that a loop may be there."""
    hash_T = np.zeros(len(ids_T) - _RUN + 1, dtype=np.uint64)
    for place in range(_RUN):  # a polynomial modulo 2⁶⁴
        hash_T = hash_T * np.uint64(6364136223846793005) + ids_T[place : place + len(hash_T)] + np.uint64(1)
    order_T = np.argsort(hash_T, kind="stable")
    again = hash_T[order_T[1:]] == hash_T[order_T[:-1]]
    distances = np.diff(order_T)[again]
    counts = np.bincount(distances[distances <= LONGEST])
    return [int(shift) for shift in np.flatnonzero(counts >= (TIMES - 1) * TOKENS // TIMES - _RUN)]


def _equal(ids_T: Int[np.ndarray, " T"], shift: int) -> list[tuple[int, int]]:
    """Longest runs ``[start, stop)`` in which each token equals that ``shift`` later."""
    same = np.concatenate(([False], ids_T[shift:] == ids_T[:-shift], [False]))
    edges = np.flatnonzero(same[1:] != same[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _least(phrase: list[str]) -> float:
    """Tokens from which on a passage that repeats ``phrase`` is a loop; infinite for marks and mere numbers."""
    numbered, letters = "0" in phrase, sum(word.isalpha() for word in phrase)
    if letters == 0:
        return math.inf
    least = TIMES if not numbered or letters >= NUMBERED_WORDS else 4 * TIMES
    return max(least, -(-TOKENS * (1 + numbered) // len(phrase))) * len(phrase)


def _merged(ranges: list[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
