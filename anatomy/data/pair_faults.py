"""Faults of a pair whose two sides can be compared: what differs that should not, and what is not for the user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anatomy.data import faults
from anatomy.text.form_differences import FormKind, first_difference, form_difference
from anatomy.text.grader_address import grader_address
from anatomy.text.visible import visible
from anatomy.types import Message, Pair

SYSTEM_ROLES = ("system", "developer")
FLAG_OF_FORM: dict[FormKind, str] = {
    "invisible characters": faults.DIFFER_INVISIBLY,
    "white space": faults.DIFFER_IN_SPACE,
    "Unicode form": faults.DIFFER_IN_UNICODE,
    "case": faults.DIFFER_IN_CASE,
    "final punctuation": faults.DIFFER_IN_PUNCTUATION,
    "form": faults.DIFFER_IN_FORM,
}
SHOWN = 60
"""Characters of a text that are shown before and after the place that a flag is about."""


def pair_faults(pair: Pair) -> Iterator[tuple[str, str]]:
    """The flags (of ``faults.FLAGS``) that a pair deserves, each with what was found."""
    chosen, rejected = pair.chosen, pair.rejected
    if len(chosen) > 1 or len(rejected) > 1:
        ours, theirs = _systems(chosen), _systems(rejected)
        if ours != theirs:
            yield faults.SYSTEM_DIFFERS, f"{_quoted(ours)} / {_quoted(theirs)}"
    kind = _form_difference(chosen, rejected)
    if kind is not None:
        texts = next((a, b) for a, b in zip(_contents(chosen), _contents(rejected), strict=True) if a != b)
        yield FLAG_OF_FORM[kind], " / ".join(f"“{text}”" for text in first_difference(*texts))
    answers = [chosen[-1]["content"], rejected[-1]["content"]]
    yield from _to_grader(answers, _contents(pair.prompt))


def _to_grader(answers: Sequence[str], asked: Sequence[str]) -> Iterator[tuple[str, str]]:
    for text, flag in zip(answers, faults.TO_GRADER, strict=True):
        place = grader_address(text, asked)
        if place is not None:
            yield flag, visible(text[max(0, place[0] - SHOWN // 2) : place[1] + SHOWN])


def _systems(messages: Sequence[Message]) -> list[str]:
    return [message["content"] for message in messages if message["role"] in SYSTEM_ROLES]


def _quoted(texts: Sequence[str]) -> str:
    return f"“{visible(texts[0][:SHOWN])}”" if texts else "none"


def _contents(messages: Sequence[Message]) -> list[str]:
    return [message["content"] for message in messages]


def _form_difference(chosen: Sequence[Message], rejected: Sequence[Message]) -> FormKind | None:
    """What alone sets the sides apart, if roles and all else (tool calls) are the same."""
    if len(chosen) != len(rejected):
        return None
    kind = form_difference(_contents(chosen), _contents(rejected))
    same = kind is not None and all(
        {**ours, "content": ""} == {**theirs, "content": ""} for ours, theirs in zip(chosen, rejected, strict=True)
    )
    return kind if same else None
