"""Texts that a regular expression may match, drawn from its own parts: what a cheaper look before it must let pass."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST_TIMES = 3
"""Repetitions beyond the fewest."""
CLASSES = {kinds.CATEGORY_DIGIT: "0123456789", kinds.CATEGORY_WORD: "abz7_", kinds.CATEGORY_SPACE: " ",
           kinds.CATEGORY_NOT_SPACE: "a1.", kinds.CATEGORY_NOT_WORD: " .", kinds.CATEGORY_NOT_DIGIT: "a "}  # fmt: skip
OTHERS = "ab1 .,x-Z"
"""What stands where a pattern only says what does not."""


def matching_texts(pattern: re.Pattern[str], number: int, seed: int = 0) -> Iterator[str]:
    """Texts in which ``pattern`` is found, out of ``number`` draws; conditions on what stands around are not drawn."""
    draw = random.Random(seed)
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    drawn = (_text(parsed, draw) for _ in range(number))
    return (text for text in drawn if pattern.search(text))


def _text(parsed: Any, draw: random.Random) -> str:
    return "".join(_part(kind, value, draw) for kind, value in parsed)


def _part(kind: Any, value: Any, draw: random.Random) -> str:
    if kind is kinds.LITERAL:
        return chr(value)
    if kind is kinds.IN:
        return _member(value, draw)
    if kind is kinds.BRANCH:
        return _text(draw.choice(value[1]), draw)
    if kind is kinds.SUBPATTERN:
        return _text(value[-1], draw)
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
        fewest, most, inner = value
        times = draw.randint(fewest, min(int(most), fewest + MOST_TIMES))
        return "".join(_text(inner, draw) for _ in range(times))
    return draw.choice(OTHERS) if kind in (kinds.ANY, kinds.NOT_LITERAL) else ""


def _member(members: Any, draw: random.Random) -> str:
    if members[0][0] is kinds.NEGATE:
        return draw.choice(OTHERS)
    kind, value = draw.choice(members)
    if kind is kinds.RANGE:
        return chr(draw.randint(*value))
    return chr(value) if kind is kinds.LITERAL else draw.choice(CLASSES[value])
