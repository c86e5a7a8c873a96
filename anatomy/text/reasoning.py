"""Reasoning that a message carries beside its answer: in fields of its own, or between tags in its text."""

from __future__ import annotations

import re
from typing import NamedTuple

from anatomy.types import Message

FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Keys of a message under which reasoning is kept, as chat templates read them."""
TAGS = ("think", "thinking", "reasoning", "thought")
_OPENED = re.compile(f"<({'|'.join(TAGS)})>")


class Reasoning(NamedTuple):
    """The text of a message's reasoning, stripped, and whether it never ends (a tag that is not closed)."""

    text: str
    unclosed: bool


def reasoning_of(message: Message) -> Reasoning | None:
    """The reasoning of a message, from a field or from the first pair of tags; None where there is none."""
    for field in FIELDS:
        value = message.get(field)
        if isinstance(value, str) and value.strip():
            return Reasoning(value.strip(), False)
    content = message.get("content") or ""
    opened = _OPENED.search(content) if "<" in content else None
    if opened is None:
        return None
    text, closed, _ = content[opened.end() :].partition(f"</{opened[1]}>")
    return Reasoning(text.strip(), not closed)
