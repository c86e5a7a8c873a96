"""Loops: a phrase that a response repeats many times in a row, which is how generation degenerates.

A text is read as words between spaces, or as single signs in scripts without spaces; numbers count as equal, since a
loop may count its rounds. A passage is a loop where it equals itself some words later for so long that the phrase
stands five times at least, over 30 words at least (60 where it counts). It is looked for at distances, up to 200 words,
at which runs of eight words come back, so the time is linear.
"""

from __future__ import annotations

import math
import operator
import re

import numpy as np
import regex
from jaxtyping import Int

from anatomy.text.markdown_spans import Range

TIMES = 5
TOKENS = 30
LONGEST = 200
"""Longest phrase, in words."""
NUMBERED_WORDS = 4
"""Words from which on a phrase with a number in it is text: rows of a table must repeat four times as often."""
_RUN = 8
_LEAST_AGAIN = (TIMES - 1) * TOKENS // TIMES - _RUN
"""Runs of eight words that a loop holds again at one distance, at least."""
_FACTORS = [(length, np.uint64(pow(6364136223846793005, length, 1 << 64))) for length in (1, 2, 4)]
_DIGITS = re.compile(r"[0-9]+")
_SPACED = re.compile(r"\S+")  # the words of `str.split`
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Khmer}\p{Lao}]|[^\W_]+|[^\w\s]|_")
_UNSPACED_SCRIPT = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Khmer}\p{Lao}]")
_LONG_WORD = regex.compile(r"[^\W\d_]{30,}")
_STRETCHED = regex.compile(r"(.{1,4}?)\1{29,}")


def loop_ranges(text: str) -> list[Range]:
    """Return where a phrase is repeated over and over, or a few letters are ("hahaha…", 30 times)."""
    plain = _DIGITS.sub("0", text)
    unspaced = not text.isascii() and _UNSPACED_SCRIPT.search(text)
    words = _UNSPACED.findall(plain) if unspaced else plain.split()
    found = _phrases(text, words, _UNSPACED if unspaced else _SPACED) if len(words) >= TOKENS else []
    if max(map(len, words), default=0) >= TOKENS:
        found += _stretched(text)
    return _merged(found)


def _stretched(text: str) -> list[Range]:
    """Words that are a few letters over and over."""
    return [
        (word.start() + match.start(), word.start() + match.end())
        for word in _LONG_WORD.finditer(text)
        for match in _STRETCHED.finditer(word[0])
    ]


def _phrases(text: str, words: list[str], token: regex.Pattern[str] | re.Pattern[str]) -> list[Range]:
    shifts = _shifts(np.fromiter(map(hash, words), dtype=np.int64, count=len(words)).view(np.uint64))
    places = [match.span() for match in token.finditer(text)] if shifts else []
    found = []
    for shift in shifts:
        for start, stop in _equal(words, shift):
            if stop + shift - start >= _least(words[start : start + shift]):
                found.append((places[start][0], places[stop + shift - 1][1]))
    return found


def _shifts(ids_T: Int[np.ndarray, " T"]) -> list[int]:
    """Distances, up to 200, at which runs of eight words come back so often that a loop may be there."""
    hash_T = ids_T
    for length, factor in _FACTORS:  # a polynomial modulo 2⁶⁴ of runs of this length becomes that of twice the length
        hash_T = hash_T[:-length] * factor + hash_T[length:]
    sorted_T = np.sort(hash_T)
    if np.count_nonzero(sorted_T[1:] == sorted_T[:-1]) < _LEAST_AGAIN:
        return []
    order_T = np.argsort(hash_T, kind="stable")
    again = hash_T[order_T[1:]] == hash_T[order_T[:-1]]
    distances = np.diff(order_T)[again]
    counts = np.bincount(distances[distances <= LONGEST])
    return [int(shift) for shift in np.flatnonzero(counts >= _LEAST_AGAIN)]


def _equal(words: list[str], shift: int) -> list[tuple[int, int]]:
    """Longest runs ``[start, stop)`` in which each word equals that ``shift`` later."""
    same_T = np.array([False, *map(operator.eq, words, words[shift:]), False])
    edges = np.flatnonzero(same_T[1:] != same_T[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _least(phrase: list[str]) -> float:
    """Words from which on a passage that repeats ``phrase`` is a loop; infinite for marks and mere numbers."""
    numbered, letters = any("0" in word for word in phrase), sum(map(_has_letter, phrase))
    if letters == 0:
        return math.inf
    least = TIMES if not numbered or letters >= NUMBERED_WORDS else 4 * TIMES
    return max(least, -(-TOKENS * (1 + numbered) // len(phrase))) * len(phrase)


def _has_letter(word: str) -> bool:
    return any(character.isalpha() for character in word)


def _merged(ranges: list[Range]) -> list[Range]:
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
