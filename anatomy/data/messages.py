"""One cell of a preference row to chat messages: plain text, message lists, ShareGPT turns, HH transcripts."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from anatomy.data.faults import MISSING_RESPONSE, NO_ASSISTANT_TURN, NON_TEXT, UNREADABLE
from anatomy.data.json_stream import TooDeep, parse_json
from anatomy.errors import shown
from anatomy.types import Message

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "function": "tool",
    "observation": "tool",
}
"""ShareGPT's role names in chat-template terms; other names stay as they are."""

MESSAGE_KEYS = (
    "name",
    "tool_calls",
    "tool_call_id",
    "functions",
    "function_calls",
    "thinking",
    "reasoning_content",
)
"""Keys that chat templates read beside role and content. Others (turn ids, times) would make equal turns differ."""

TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant|System):")
ENCODED_MESSAGES = re.compile(r"\s*\[\s*\{\s*['\"](?:role|content|from|value)['\"]\s*:")


class RowFault(Exception):
    """This row cannot become a pair; the reader counts it and reads the next."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def describe(value: object) -> str:
    """Type and start of a value, for one line of an error message."""
    return f"{type(value).__name__} {shown(value, 40)}"


def is_messages(value: object) -> bool:
    """Whether a cell holds a message, a non-empty list of messages, or such a list as JSON text."""
    if isinstance(value, str):
        return bool(ENCODED_MESSAGES.match(value))
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def is_transcript(value: object) -> bool:
    """Whether a cell holds an HH transcript: text that opens with a turn marker and has an assistant turn."""
    return isinstance(value, str) and bool(TURN.match(value)) and "\n\nAssistant:" in value


def to_messages(value: object, column: str, role: str) -> list[Message]:
    """Messages of one cell; plain text becomes one message of ``role``.

    Raises:
        RowFault: nothing, NaN or a non-text part stands where text belongs, or JSON that cannot be read.
    """
    if value is None or value == []:
        raise RowFault(MISSING_RESPONSE if role == "assistant" else NON_TEXT, f"`{column}` is {describe(value)}")
    if isinstance(value, float) and math.isnan(value):
        raise RowFault(NON_TEXT, f"`{column}` is NaN")
    if isinstance(value, str) and ENCODED_MESSAGES.match(value):
        value = _decoded(value, column)
    if isinstance(value, str):
        return [{"role": role, "content": _text(value, column)}]
    turns = [value] if isinstance(value, dict) else value
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        return [_message(turn, column) for turn in turns]
    raise RowFault(NON_TEXT, f"`{column}` holds {describe(value)} where text or a list of messages belongs")


def split_transcript(text: str, column: str) -> list[Message]:
    r"""Turns of an HH transcript (``\n\nHuman: … \n\nAssistant: …``), stripped of the space around them.

    Raises:
        RowFault: the text has no turn markers.
    """
    before, *parts = TURN.split(_text(text, column))
    if not parts or before.strip():
        raise RowFault(NO_ASSISTANT_TURN, f"`{column}` does not start with `Human:` or `Assistant:`")
    roles = {"Human": "user", "Assistant": "assistant", "System": "system"}
    return [
        {"role": roles[name], "content": content.strip()} for name, content in zip(parts[::2], parts[1::2], strict=True)
    ]


def _decoded(text: str, column: str) -> Any:
    try:
        return parse_json(text)
    except (json.JSONDecodeError, TooDeep) as error:
        problem = str(error) if isinstance(error, TooDeep) else "text that is not JSON (Python's repr?)"
        raise RowFault(UNREADABLE, f"`{column}` holds a list of messages as {problem}") from None


def _message(turn: dict[str, Any], column: str) -> Message:
    role = turn.get("role") or turn.get("from")
    if not isinstance(role, str):
        raise RowFault(NON_TEXT, f"`{column}` has a message without a role")
    role = _text(role, column).strip().lower()
    content = turn["content"] if turn.get("content") is not None else turn.get("value")
    message: dict[str, Any] = {"role": ROLES.get(role, role), "content": _content(content, column)}
    message.update({key: as_json(turn[key], column) for key in MESSAGE_KEYS if turn.get(key) is not None})
    return message


def _content(content: object, column: str) -> str:
    """Text of one message; text parts are joined, nothing (a tool call's content) becomes empty text."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(_part(part, column) for part in content)
    return _text(content, column)


def _part(part: object, column: str) -> str:
    if isinstance(part, dict) and part.get("type", "text") == "text":
        return _text(part.get("text"), column)
    raise RowFault(NON_TEXT, f"`{column}` has a content part that is not text: {describe(part)}")


def as_json(value: Any, column: str) -> Any:
    """A copy of a value in JSON's types: dates and the like become text, as do the keys of mappings.

    Raises:
        RowFault: half a surrogate pair or bytes are somewhere in it.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_text(str(key), column): as_json(item, column) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item, column) for item in value]
    return _text(value if isinstance(value, str | bytes) else str(value), column)


def _text(value: object, column: str) -> str:
    if not isinstance(value, str):
        raise RowFault(NON_TEXT, f"`{column}` has {describe(value)} where text belongs")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise RowFault(NON_TEXT, f"`{column}` has half a surrogate pair, which is not text") from None
    return value
