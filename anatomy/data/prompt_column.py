"""Find the column of the prompt by its name, or by what it holds: a conversation that waits for an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anatomy.data.column_names import FILLER, MODEL, PROMPT, first_of, is_only
from anatomy.data.columns import TEXT, Column, decoded, long_text
from anatomy.data.messages import ROLES

ALL_BUT_LAST = ".:-1"
MOSTLY = 0.8
NO_PROMPT = (
    *("system", "template", "category", "type", "length", "source", "tag", "topic", "label", "generation"),
    *("quality", "explanation", "reason", "rationale", "intent", "criteria", "judge", "labelling", "grading", "rubric"),
    *("feedback", "summary", "response", "answer", "output", "completion", "translation", "id", "hash", "url"),
)
"""Words beside a word for a prompt that make a column one about prompts."""


def prompt_column(columns: Mapping[str, Column], taken: Sequence[str]) -> str | None:
    """The column of the prompt, or None: of the free columns of texts, the one whose word stands first in the table."""
    free = [column for column in columns.values() if column.kind in (*TEXT, "texts") and column.name not in taken]
    found = [column for column in free if is_only(column.words, PROMPT, FILLER)]
    if not found:
        return None
    best = min(found, key=lambda column: first_of(column.words, PROMPT))
    joins = [column.name for column in found if column.words == ("input",) and column.kind in ("text", "numeral")]
    return f"{best.name}+{joins[0]}" if best.words == ("instruction",) and joins else best.name


def likely_prompt(columns: Mapping[str, Column], taken: Sequence[str]) -> str | None:
    """The column that must be the prompt where none is named so, or None if several could be.

    It is the only one that has a word for a prompt among others (``chatml_prompt``), else the only one of conversations
    that end in a turn of the user, else one that is named ``text``.
    """
    about = {*NO_PROMPT, *MODEL}
    texts = [column for column in columns.values() if column.name not in taken and long_text(column)]
    for choice in (
        [column for column in texts if set(column.words) & {*PROMPT, "task"} and not set(column.words) & about],
        [column for column in texts if column.kind == "messages" and mostly_ends(column, "user")],
        [column for column in texts if column.words == ("text",)],
    ):
        if len(choice) == 1:
            return choice[0].name
    return None


def mostly_ends(column: Column, role: str) -> bool:
    """Whether nearly all that a column holds are conversations which end with a role; one turn is no answer."""
    found = [decoded(value) for value in column.filled]
    least = 2 if role == "assistant" else 1
    ends = [value[-1] for value in found if isinstance(value, list) and len(value) >= least]
    return bool(found) and sum(isinstance(turn, dict) and role_of(turn) == role for turn in ends) >= MOSTLY * len(found)


def role_of(turn: Mapping[str, Any]) -> str:
    """The role of a message, in chat-template terms."""
    role = str(turn.get("role") or turn.get("from")).strip().lower()
    return ROLES.get(role, role)
