"""One cell of a preference row to chat messages: plain text, message lists, ShareGPT turns, transcripts."""

from __future__ import annotations

import math
import re
from typing import Any

from anatomy.data.columns import decoded
from anatomy.data.faults import MISSING_RESPONSE, NO_ASSISTANT_TURN, NON_TEXT, UNREADABLE
from anatomy.data.json_stream import TooDeep, parse_json
from anatomy.data.readers import without_absent
from anatomy.data.transcripts import HH, Style, turns_of
from anatomy.errors import shown
from anatomy.types import Message

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "prompter": "user",
    "function_call": "assistant",
    "function": "tool",
    "observation": "tool",
}
"""ShareGPT's role names in chat-template terms; other names stay as they are."""

CONTENT_KEYS = ("content", "value", "parts")
"""Keys under which the text of a message may stand."""
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

ENCODED_MESSAGES = re.compile(r"\s*(?:\[\s*)?\{\s*['\"](?:role|content|from|value)['\"]\s*:")
OPENING_ROLES = ("system", "developer", "user")


class RowFault(Exception):
    """This row cannot become a pair; the reader counts it and reads the next."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def describe(value: object) -> str:
    """Type and start of a value, for one line of an error message."""
    return f"{type(value).__name__} {shown(value, 40)}"


def is_messages(value: object) -> bool:
    """Whether a cell holds a message, a non-empty list of messages, or either as JSON text or Python's repr."""
    if isinstance(value, str):
        if not ENCODED_MESSAGES.match(value):
            return False
        return value.lstrip()[0] == "[" or any(
            keys <= _keys(value) for keys in ({"role", "content"}, {"from", "value"})
        )
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _keys(text: str) -> set[str]:
    found = decoded(text)
    return set(found) if isinstance(found, dict) else set()


def opens_conversation(value: object) -> bool:
    """Whether a cell is a message list that opens with a system or user turn: it repeats the prompt."""
    try:
        return is_messages(value) and to_messages(value, "", "assistant")[0]["role"] in OPENING_ROLES
    except RowFault:
        return False


def to_messages(value: object, column: str, role: str) -> list[Message]:
    """Messages of one cell; plain text becomes one message of ``role``.

    Raises:
        RowFault: nothing, NaN or a non-text part stands where text belongs, or JSON that cannot be read.
    """
    if value is None or value == []:
        raise RowFault(MISSING_RESPONSE if role == "assistant" else NON_TEXT, f"`{column}` is {describe(value)}")
    if isinstance(value, float) and math.isnan(value):
        raise RowFault(NON_TEXT, f"`{column}` is NaN")
    if isinstance(value, str) and is_messages(value):
        value = _decoded(value, column)
    if isinstance(value, str):
        return [{"role": role, "content": _text(value, column)}]
    turns = [value] if isinstance(value, dict) else value
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        return [_message(turn, column) for turn in turns]
    raise RowFault(NON_TEXT, f"`{column}` holds {describe(value)} where text or a list of messages belongs")


def split_transcript(text: str, column: str, style: Style = HH) -> list[Message]:
    r"""Turns of a transcript (``\n\nHuman: … \n\nAssistant: …``), stripped of the space around them.

    Raises:
        RowFault: the text does not open with a turn's mark.
    """
    turns = turns_of(_text(text, column), style)
    if not turns:
        raise RowFault(NO_ASSISTANT_TURN, f"`{column}` does not start with a turn marked as in {style.name}")
    return turns


def _decoded(text: str, column: str) -> Any:
    found = decoded(text)
    if isinstance(found, str):
        raise RowFault(UNREADABLE, f"`{column}` holds a list of messages as {_undecoded(text)}")
    return found


def _undecoded(text: str) -> str:
    try:
        parse_json(text)
    except TooDeep as fault:
        return str(fault)
    except ValueError:
        pass
    return "text that is neither JSON nor Python's repr"


def _message(turn: dict[str, Any], column: str) -> Message:
    role = turn.get("role") or turn.get("from")
    if not isinstance(role, str):
        raise RowFault(NON_TEXT, f"`{column}` has a message without a role")
    role = _text(role, column).strip().lower()
    content = next((turn[key] for key in CONTENT_KEYS if turn.get(key) is not None), None)
    message: dict[str, Any] = {"role": ROLES.get(role, role), "content": _content(content, column)}
    found = {key: without_absent(turn[key]) for key in MESSAGE_KEYS if turn.get(key) is not None}
    message.update({key: as_json(value, column) for key, value in found.items()})
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
        value.isascii() or value.encode("utf-8")
    except UnicodeEncodeError:
        raise RowFault(NON_TEXT, f"`{column}` has half a surrogate pair, which is not text") from None
    return value
