"""Recognise the format of preference rows and turn each into an explicit conversational pair.

Every format comes down to two whole conversations; the prompt is the longest run of leading *messages* that both
share, so a response can never lose its first words to the prompt. Each side keeps at least its last message.

==================  =======================================================================================
explicit            ``prompt`` (text or messages); ``chosen``, ``rejected`` (text or messages) continue it
full-conversations  ``prompt``; ``chosen``, ``rejected`` are message lists that repeat the prompt
implicit            no prompt column; ``chosen``, ``rejected`` are message lists
hh                  ``chosen``, ``rejected`` are ``Human:``/``Assistant:`` transcripts, or continue one in ``prompt``
sharegpt            ``conversations`` (``from``/``value``, or ``content``); ``chosen``, ``rejected`` continue it
==================  =======================================================================================

A text column ``system`` beside a prompt column becomes the system turn of conversations that have none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from anatomy.data.faults import EMPTY_RESPONSE, NO_ASSISTANT_TURN, UNREADABLE, Fault
from anatomy.data.json_stream import TooDeep, parse_json
from anatomy.data.messages import (
    RowFault,
    as_json,
    describe,
    is_messages,
    is_transcript,
    split_transcript,
    to_messages,
)
from anatomy.data.readers import Record
from anatomy.errors import RowsError
from anatomy.settings import RowFormat
from anatomy.text.visible import without_surrogates
from anatomy.types import SIDES, Message, Pair

PROMPT_COLUMN: dict[str, str] = {
    "explicit": "prompt",
    "full-conversations": "prompt",
    "sharegpt": "conversations",
}
KNOWN = "prompt/chosen/rejected, chosen/rejected message lists or HH transcripts, conversations/chosen/rejected"
MOST_LISTED = 15
OPENING_ROLES = ("system", "developer", "user")


def recognise(head: Sequence[Record], wanted: RowFormat = "auto") -> RowFormat:
    """Format of the rows in ``head`` (the first rows of one file), or ``wanted`` once its columns are known to exist.

    Raises:
        RowsError: a column is missing, no row can be read, or texts without a prompt column leave no boundary.
    """
    if all(record.fault for record in head):
        raise RowsError(f"{head[0].place}: {head[0].fault}, and no later row can be read; write the file again")
    head = [record for record in head if not record.fault]
    columns = list(dict.fromkeys(column for record in head for column in record.values))
    name = _detected(head, columns) if wanted == "auto" else wanted
    needed = [*SIDES, PROMPT_COLUMN[name]] if name in PROMPT_COLUMN else list(SIDES)
    for column in needed:
        if column not in columns:
            raise RowsError(
                f"{head[0].place}: no column `{column}`; columns here: {_listed(columns)}; "
                f"rename yours to fit a known format ({KNOWN})"
            )
    return name


def _listed(columns: Sequence[str]) -> str:
    """The first columns' names, on one line."""
    names = " ".join(", ".join(columns[:MOST_LISTED]).split())
    return (names or "none") + (f" and {len(columns) - MOST_LISTED} more" if len(columns) > MOST_LISTED else "")


def _detected(head: Sequence[Record], columns: Sequence[str]) -> RowFormat:
    sides = [record.values.get(side) for record in head for side in SIDES]
    full = [value for value in sides if value is not None and value not in ("", [])]
    if "conversations" in columns:
        return "sharegpt"
    if full and all(map(is_transcript, full)):
        return "hh"
    if "prompt" in columns:
        prompts = [record.values["prompt"] for record in head if record.values.get("prompt") is not None]
        if prompts and all(map(is_transcript, prompts)):
            return "hh"
        return "full-conversations" if any(map(_opens_conversation, full)) else "explicit"
    if set(SIDES) <= set(columns) and full and not any(map(is_messages, full)):
        raise RowsError(
            f"{head[0].place}: `chosen` and `rejected` are plain text and there is no `prompt` column, so nothing "
            "says where the prompt ends; add a `prompt` column, message lists or `Human:`/`Assistant:` turns"
        )
    return "implicit"


def _opens_conversation(value: object) -> bool:
    """Whether a side repeats the prompt: a message list that opens with a system or user turn."""
    try:
        return is_messages(value) and to_messages(value, "", "assistant")[0]["role"] in OPENING_ROLES
    except RowFault:
        return False


def to_pair(record: Record, index: int, name: RowFormat) -> Pair | Fault:
    """One raw record as a pair, or the fault that keeps it from being one."""
    values = record.values
    if record.fault:
        return Fault(index, UNREADABLE, record.fault)
    try:
        conversations = [_conversation(values, side, name) for side in SIDES]
        prompt, chosen, rejected = split_shared(*conversations)
        for side, messages in zip(SIDES, (chosen, rejected), strict=True):
            _check_response(messages, side)
        tools = _json_column(values, "tools", list)
        template_kwargs = _json_column(values, "chat_template_kwargs", dict)
    except RowFault as fault:
        return Fault(index, fault.reason, fault.detail)
    used = {*SIDES, "prompt", "conversations", "system", "tools", "chat_template_kwargs"}
    metadata = {
        without_surrogates(key): _plain(value) for key, value in values.items() if key not in used and _is_scalar(value)
    }
    return Pair(index, prompt, chosen, rejected, metadata, tools, template_kwargs)


def split_shared(
    chosen: Sequence[Message], rejected: Sequence[Message]
) -> tuple[list[Message], list[Message], list[Message]]:
    """Prompt, chosen and rejected: the longest common run of leading messages, and what follows on either side.

    Each side keeps at least its last message, also when the two conversations are the same.
    """
    shared = 0
    for ours, theirs in zip(chosen[:-1], rejected[:-1], strict=False):
        if ours != theirs:
            break
        shared += 1
    return list(chosen[:shared]), list(chosen[shared:]), list(rejected[shared:])


def _conversation(values: Mapping[str, Any], side: str, name: RowFormat) -> list[Message]:
    """The whole conversation of one side."""
    if name == "hh":
        return _transcript(values, side)
    response = to_messages(values.get(side), side, "assistant")
    column = PROMPT_COLUMN.get(name)
    if column is None:
        if not is_messages(values[side]):
            raise RowFault(
                UNREADABLE, f"`{side}` holds {describe(values[side])} where the rows above hold message lists"
            )
        return response
    conversation = _joined(to_messages(values.get(column), column, "user"), response)
    system = values.get("system")
    if isinstance(system, str) and system.strip() and conversation[0]["role"] != "system":
        return to_messages(system, "system", "system") + conversation
    return conversation


def _joined(prompt: list[Message], response: list[Message]) -> list[Message]:
    """``response`` after ``prompt``, where it may repeat the prompt, its end, or (below other turns) all of it."""
    overlap = _overlap(prompt, response)
    if overlap:
        return prompt + response[overlap:]
    return response if response[0]["role"] in OPENING_ROLES else prompt + response


def _overlap(before: list[Message], after: list[Message]) -> int:
    """The most messages that ``before`` ends in and ``after`` starts with; in linear time (Knuth, Morris, Pratt)."""
    shorter = [0] * len(after)  # for each start of `after`, its longest proper end that is a start too
    for place in range(1, len(after)):
        shorter[place] = _longer(after, shorter, shorter[place - 1], after[place])
    matched = 0
    for message in before:
        matched = _longer(after, shorter, shorter[-1] if matched == len(after) else matched, message)
    return matched


def _longer(after: list[Message], shorter: list[int], matched: int, message: Message) -> int:
    """How many messages of ``after`` are matched once ``message`` follows ``matched`` of them."""
    while matched and after[matched] != message:
        matched = shorter[matched - 1]
    return matched + (after[matched] == message)


def _transcript(values: Mapping[str, Any], side: str) -> list[Message]:
    response = to_messages(values.get(side), side, "assistant")
    if len(response) != 1 or not isinstance(values[side], str):
        raise RowFault(
            UNREADABLE, f"`{side}` holds {describe(values[side])} where a `Human:`/`Assistant:` transcript belongs"
        )
    text, prompt = response[0]["content"], values.get("prompt")
    if isinstance(prompt, str) and not is_transcript(text):
        return split_transcript(prompt + text, side)
    return split_transcript(text, side)


def _check_response(messages: Sequence[Message], side: str) -> None:
    last = messages[-1]
    if last["role"] != "assistant":
        raise RowFault(NO_ASSISTANT_TURN, f"`{side}` ends in a turn of {describe(last['role'])}")
    if not last["content"].strip():
        raise RowFault(EMPTY_RESPONSE, f"`{side}` has no text in its final assistant turn")


def _json_column(values: Mapping[str, Any], column: str, kind: type) -> Any:
    """A list or mapping, given as such or as JSON text; nothing, or an empty one, is ``None``."""
    value = values.get(column)
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value)
        except json.JSONDecodeError:
            raise RowFault(UNREADABLE, f"`{column}` holds {describe(value)} which is not JSON") from None
        except TooDeep as fault:
            raise RowFault(UNREADABLE, f"`{column}` holds {fault}") from None
    if value is None or value in ("", [], {}) or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, kind):
        raise RowFault(UNREADABLE, f"`{column}` holds {describe(value)} where a JSON {kind.__name__} belongs")
    return as_json(value, column)


def _is_scalar(value: object) -> bool:
    return value is not None and not isinstance(value, list | dict | bytes)


def _plain(value: Any) -> Any:
    """A metadata value that JSON and UTF-8 can hold; dates and the like become text."""
    return value if isinstance(value, int | float | bool) else without_surrogates(str(value))
