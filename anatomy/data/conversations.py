"""Whole conversations of a record: a prompt, or none, and a response that continues or repeats it.

Every layout comes down to whole conversations; the prompt of a pair is the longest run of leading *messages* that both
share, so a response can never lose its first words to the prompt. Each side keeps at least its last message.
"""

from __future__ import annotations

from collections.abc import Sequence

from anatomy.data.faults import EMPTY_RESPONSE, NO_ASSISTANT_TURN
from anatomy.data.messages import OPENING_ROLES, RowFault, describe
from anatomy.types import Message


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


def joined(prompt: list[Message], response: list[Message]) -> list[Message]:
    """``response`` after ``prompt``, where it may repeat the prompt, its end, or (below other turns) all of it."""
    overlap = _overlap(prompt, response)
    if overlap:
        return prompt + response[overlap:]
    return response if response[0]["role"] in OPENING_ROLES else prompt + response


def _overlap(before: list[Message], after: list[Message]) -> int:
    """The most messages that ``before`` ends in and ``after`` starts with; in linear time (Knuth, Morris, Pratt)."""
    if after[0] not in before:
        return 0
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


def check_response(messages: Sequence[Message], name: str) -> None:
    """Refuse a response that does not end in text, or a tool call, of the assistant.

    Raises:
        RowFault: says which.
    """
    last = messages[-1]
    if last["role"] != "assistant":
        raise RowFault(NO_ASSISTANT_TURN, f"`{name}` ends in a turn of {describe(last['role'])}")
    if not last["content"].strip() and not any(last.get(key) for key in ("tool_calls", "function_calls")):
        raise RowFault(EMPTY_RESPONSE, f"`{name}` has no text in its final assistant turn")


def common_start(chosen: str, rejected: str) -> int:
    """Characters that two texts share at their start, as TRL cuts a prompt from them, but never inside a word.

    The space before the first word that differs belongs to the responses.
    """
    shared = 0
    for ours, theirs in zip(chosen, rejected, strict=False):
        if ours != theirs:
            break
        shared += 1
    inside = any(len(text) > shared and text[shared].isalnum() for text in (chosen, rejected))
    while inside and shared and chosen[shared - 1].isalnum():
        shared -= 1
    return shared - 1 if shared and chosen[shared - 1] == " " else shared
