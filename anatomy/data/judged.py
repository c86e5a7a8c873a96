"""One record of any layout as a judged prompt: whole conversations, each with a score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from anatomy.data.cell_values import inner_ratings, is_scalar, json_column, plain
from anatomy.data.column_names import RANK, words_of
from anatomy.data.columns import decoded, getter, kind_of, number_in
from anatomy.data.conversations import check_response, common_start, joined
from anatomy.data.faults import (
    BOTH_BAD,
    MISSING_RESPONSE,
    NO_LABEL,
    NON_TEXT,
    TIE,
    UNREADABLE,
    Fault,
)  # fmt: skip
from anatomy.data.messages import RowFault, describe, is_messages, split_transcript, to_messages
from anatomy.data.readers import Record
from anatomy.data.reading import FileReading
from anatomy.data.single_responses import truth_of
from anatomy.data.transcripts import is_in
from anatomy.data.winners import BOTH_BAD as ALL_BAD
from anatomy.data.winners import TIE as NONE_BETTER
from anatomy.text.visible import without_surrogates
from anatomy.types import Message

KNOWN_SCORES = {
    f"{word}_{side}" for word in ("score", "rating", "reward", "avg_rating") for side in ("chosen", "rejected")
}
SIDE_ROLES = ("chosen", "rejected", "response_a", "response_b", "responses", "response")


class Judged(NamedTuple):
    """A prompt and the responses to it, as whole conversations with scores; ``facts`` hold for one response each.

    ``prompt`` counts the messages before the response. ``rows`` are the rows of the source, from 0.
    """

    rows: tuple[int, ...]
    conversations: Sequence[list[Message]]
    scores: Sequence[float]
    prompt: int
    metadata: Mapping[str, Any] = {}
    facts: Sequence[Mapping[str, Any]] = ()
    tools: Any = None
    template_kwargs: Any = None


class StatedResponse(NamedTuple):
    """A response as it stands in a record: its column, its cell, how good it is, and what else is said of it."""

    column: str
    cell: Any
    score: float
    facts: Mapping[str, Any] = {}


class RecordReader:
    """Reads the records of one file; ``read`` gives a :class:`Judged`, or the :class:`Fault` that keeps it from one."""

    def __init__(self, reading: FileReading) -> None:
        self.reading = reading
        self._roles = reading.roles
        self._get = {role: getter(name) for role, name in reading.roles.named().items()}
        self._winner = reading.winner.reads() if reading.winner else None
        self._sides = [part for role in SIDE_ROLES for part in (getattr(reading.roles, role) or "").split("+") if part]
        names = [(f"{side}_{what}", name) for side in ("chosen", "rejected")
                 for what, name in (("model", f"{side}_model"), ("score", f"score_{side}"))]  # fmt: skip
        self._canonical = [(role, name) for role, name in names if role in self._get and reading.layout == "pairs"]
        self._media = [getter(name) for name in reading.media]
        self._heads = {name.split(".")[0] for name in self._sides}
        self._several_votes = reading.roles.vote is not None and not reading.has_voters
        self._tools = getter(reading.tools)
        self._used = frozenset(
            {
                *("tools", "chat_template_kwargs", *self._sides, *self._heads),
                *(
                    part
                    for role in ("prompt", "system", "history")
                    for part in (getattr(reading.roles, role) or "").split("+")
                ),
            }
        )
        take: dict[str, Callable[[Mapping[str, Any]], list[StatedResponse]]] = {
            "pairs": self._named, "winner": self._won, "ranking": self._ranked,
            "pointwise": self._scored, "unpaired": self._labelled,
        }  # fmt: skip
        self._take = take[reading.layout]

    def read(self, record: Record, row: int) -> Judged | Fault:
        """The judged prompt of one record."""
        if record.fault:
            return Fault(row, UNREADABLE, record.fault)
        try:
            return self._judged(record.values, row)
        except RowFault as fault:
            return Fault(row, fault.reason, fault.detail)

    def _judged(self, values: Mapping[str, Any], row: int) -> Judged:
        if self._media and any(kind_of(get(values)) == "media" for get in self._media):
            raise RowFault(NON_TEXT, "the row needs an image, audio or video, and only text is read")
        if self._heads.isdisjoint(values):
            names = " ".join(without_surrogates(", ".join(values)[:100]).split())
            raise RowFault(UNREADABLE, f"none of the columns of the responses; columns of this row: {names}")
        responses = self._take(values)
        cut = common_start(*(str(answer.cell) for answer in responses)) if self.reading.cut else 0
        prompt = self._prompt(values, responses, cut)
        conversations = [self._conversation(prompt, values, answer, cut) for answer in responses]
        scores = [answer.score for answer in responses]
        return Judged(
            (row,),
            conversations,
            scores,
            len(prompt) if prompt else len(conversations[0]) - 1,
            self._metadata(values, scores),
            [answer.facts for answer in responses],
            json_column(self._tools(values), self.reading.tools, list),
            json_column(values.get("chat_template_kwargs"), "chat_template_kwargs", dict),
        )

    def _named(self, values: Mapping[str, Any]) -> list[StatedResponse]:
        roles = self._roles
        return [
            StatedResponse(str(roles.chosen), self._get["chosen"](values), 1.0),
            StatedResponse(str(roles.rejected), self._get["rejected"](values), 0.0),
        ]

    def _won(self, values: Mapping[str, Any]) -> list[StatedResponse]:
        first = self._outcome(values)
        sides = [(str(getattr(self._roles, role)), self._get[role](values)) for role in ("response_a", "response_b")]
        return [StatedResponse(name, value, float(place == first)) for place, (name, value) in enumerate(sides)]

    def _outcome(self, values: Mapping[str, Any]) -> int:
        assert self.reading.winner is not None
        assert self._winner is not None
        found = self._winner(values)
        outcome = self.reading.winner.outcome(found)
        name = self.reading.winner.column
        if outcome == NONE_BETTER:
            raise RowFault(TIE, f"`{name}` says that none is better")
        if outcome == ALL_BAD:
            raise RowFault(BOTH_BAD, f"`{name}` says that both are bad")
        if outcome is None:
            said = values.get(name) if self.reading.winner.whole else found
            raise RowFault(NO_LABEL, f"`{name}` holds {describe(said)}, which names no response")
        return outcome

    def _ranked(self, values: Mapping[str, Any]) -> list[StatedResponse]:
        roles = self._roles
        if roles.chosen:
            sides = [(role, getattr(roles, role), decoded(self._get[role](values))) for role in ("chosen", "rejected")]
            return [
                StatedResponse(str(name), item, float(role == "chosen"))
                for role, name, value in sides
                for item in _items(value, str(name))
            ]
        name, value = str(roles.responses), self._get["responses"](values)
        value = decoded(value) if "+" not in name else self._columns(values, name)
        items = value if roles.response and isinstance(value, list) and value else _items(value, name)
        texts = [getter(roles.response)(item) if roles.response and isinstance(item, dict) else item for item in items]
        return [
            StatedResponse(name, text, score, self._facts(item))
            for item, text, score in zip(items, texts, self._scores(values, items), strict=False)
            if not math.isnan(score) and text is not None
        ]

    def _columns(self, values: Mapping[str, Any], names: str) -> list[Any]:
        return [getter(name)(values) for name in names.split("+")]

    def _scores(self, values: Mapping[str, Any], items: Sequence[Any]) -> list[float]:
        roles = self._roles
        if self.reading.winner is not None:
            best = self._outcome(values)
            return [float(place == best) for place in range(len(items))]
        name = str(roles.scores)
        if roles.response:
            found = [getter(name)(item) if isinstance(item, dict) else None for item in items]
        else:
            found = self._columns(values, name) if "+" in name else decoded(self._get["scores"](values)) or []
        sign = -1 if set(words_of(name)) & set(RANK) else 1
        numbers = [number_in(value) for value in (found if isinstance(found, list) else [])]
        if sum(number is not None for number in numbers) < 2:
            raise RowFault(NO_LABEL, f"`{name}` holds {describe(found)}, not two scores")
        return [math.nan if number is None else sign * number for number in numbers]

    def _scored(self, values: Mapping[str, Any]) -> list[StatedResponse]:
        name, found = str(self._roles.score), self._get["score"](values)
        number = number_in(found)
        if number is None:
            raise RowFault(NO_LABEL, f"`{name}` holds {describe(found)}, which is no score")
        sign = -1 if set(words_of(name)) & set(RANK) else 1
        return [StatedResponse(str(self._roles.response), self._get["response"](values), sign * number)]

    def _labelled(self, values: Mapping[str, Any]) -> list[StatedResponse]:
        found = self._get["label"](values)
        truth = truth_of(found)
        if truth is None:
            raise RowFault(NO_LABEL, f"`{self._roles.label}` holds {describe(found)}, which is no label")
        return [StatedResponse(str(self._roles.response), self._get["response"](values), float(truth))]

    def _prompt(self, values: Mapping[str, Any], responses: Sequence[StatedResponse], cut: int) -> list[Message]:
        """The messages of the prompt's column (and system, history); none where there is no such column."""
        if self.reading.cut:
            start = str(responses[0].cell)[:cut]
            if not start.strip():
                raise RowFault(UNREADABLE, "the two texts have no common start, so there is no prompt")
            return [{"role": "user", "content": start}]
        if "prompt" not in self._get:
            return []
        value, column = self._get["prompt"](values), str(self._roles.prompt)
        style = self.reading.style
        if style is not None and not is_messages(value) and (isinstance(value, str) or kind_of(value) == "none"):
            return []
        listed = isinstance(value, list) or (isinstance(value, str) and value.lstrip()[:1] == "[")
        if listed and kind_of(value) == "texts" and not is_messages(value):
            return []
        messages = _flat(value, column, "user")
        if "history" in self._get:
            messages = self._history(values) + messages
        return self._with_system(values, messages)

    def _with_system(self, values: Mapping[str, Any], messages: list[Message]) -> list[Message]:
        system = self._get["system"](values) if "system" in self._get else None
        if isinstance(system, str) and system.strip() and messages and messages[0]["role"] != "system":
            return to_messages(system, str(self._roles.system), "system") + messages
        return messages

    def _history(self, values: Mapping[str, Any]) -> list[Message]:
        value = decoded(self._get["history"](values))
        if kind_of(value) == "none":
            return []
        if isinstance(value, list) and all(isinstance(turn, list | tuple) and len(turn) == 2 for turn in value):
            roles = ("user", "assistant")
            return [
                m
                for turn in value
                for role, text in zip(roles, turn, strict=True)
                for m in to_messages(text, "history", role)
            ]
        return to_messages(value, "history", "user")

    def _conversation(
        self, prompt: list[Message], values: Mapping[str, Any], answer: StatedResponse, cut: int
    ) -> list[Message]:
        """The whole conversation of one response."""
        name, value = answer.column, answer.cell
        if self.reading.cut:
            if not isinstance(value, str):
                raise RowFault(UNREADABLE, f"`{name}` holds {describe(value)} where the rows above hold texts")
            found = [*prompt, *to_messages(value[cut:], name, "assistant")]
        elif self.reading.style is not None and not prompt:
            found = self._transcript(values, name, value)
        elif not prompt and "prompt" in self._get:
            found = self._interleaved(values, name, value)
        elif not prompt:
            if not is_messages(value) and kind_of(value) != "none":
                raise RowFault(UNREADABLE, f"`{name}` holds {describe(value)} where the rows above hold message lists")
            found = self._with_system(values, to_messages(value, name, "assistant"))
        else:
            found = joined(prompt, to_messages(value, name, "assistant"))
            if found[0]["role"] != "system":
                found = self._with_system(values, found)
        check_response(found, name)
        return found

    def _transcript(self, values: Mapping[str, Any], name: str, value: Any) -> list[Message]:
        style = self.reading.style
        assert style is not None
        response = to_messages(value, name, "assistant")
        if len(response) != 1 or not isinstance(value, str):
            raise RowFault(UNREADABLE, f"`{name}` holds {describe(value)} where a {style.name} transcript belongs")
        text = response[0]["content"]
        prompt = self._get["prompt"](values) if "prompt" in self._get else None
        if not isinstance(prompt, str) or is_in(text, style):
            return split_transcript(text, name, style)
        before = split_transcript(prompt, str(self._roles.prompt), style) if style.mark.search(prompt) else []
        if before and (before[-1]["role"] != "assistant" or before[-1]["content"]) and not style.mark.match(text):
            return [*before, {**response[0], "content": style.end.sub("", text) if style.end else text}]
        return split_transcript(prompt + text, name, style)

    def _interleaved(self, values: Mapping[str, Any], name: str, value: Any) -> list[Message]:
        """Turns of a user and of the assistant that are two lists of texts, or one whose last text is the user's."""
        asked, answered = decoded(self._get["prompt"](values)), decoded(value)
        if isinstance(answered, str) and isinstance(asked, list):
            roles = itertools.cycle(("user", "assistant"))
            turns = [
                to_messages(text, str(self._roles.prompt), role) for text, role in zip(asked[::-1], roles, strict=False)
            ]
            return [*(message for turn in turns[::-1] for message in turn), *to_messages(answered, name, "assistant")]
        if not isinstance(answered, list) or not isinstance(asked, list) or len(answered) != len(asked):
            raise RowFault(UNREADABLE, f"`{name}` does not hold one text for each of the prompt's")
        return [
            turn
            for question, answer in zip(asked, answered, strict=True)
            for turn in (
                *to_messages(question, str(self._roles.prompt), "user"),
                *to_messages(answer or "", name, "assistant"),
            )
        ]

    def _metadata(self, values: Mapping[str, Any], scores: Sequence[float]) -> dict[str, Any]:
        """The other scalar columns, and authors and scores of the sides under one name each."""
        others = _others(tuple(values), self._used)
        found = {name: plain(values[key]) for key, name in others if is_scalar(values[key])}
        for role, name in self._canonical:
            self._put(found, values, role, name)
        if self.reading.layout == "winner":
            order = ("a", "b") if scores[0] > scores[1] else ("b", "a")
            for side, letter in zip(("chosen", "rejected"), order, strict=True):
                self._put(found, values, f"model_{letter}", f"{side}_model")
            if self.reading.winner is not None and self.reading.winner.strength and self._winner is not None:
                found["preference_strength"] = abs(number_in(self._winner(values)) or 0.0)
        return found

    def _put(self, found: dict[str, Any], values: Mapping[str, Any], role: str, name: str) -> None:
        """Put the value of a role under a name that later steps know, unless its own column is known to them."""
        column = getattr(self._roles, role)
        if column is None or _is_known(column, name):
            return
        value = self._get[role](values)
        if is_scalar(value):
            found.setdefault(name, plain(value))

    def _facts(self, item: Any) -> dict[str, Any]:
        """What an object that holds a response says of it besides."""
        if self._roles.response is None or not isinstance(item, dict):
            return {}
        left = {key: value for key, value in item.items() if key != self._roles.response and is_scalar(value)}
        found = {without_surrogates(key): plain(value) for key, value in left.items()}
        return found | {without_surrogates(name): number for name, number in inner_ratings(item)}

    def votes(self, values: Mapping[str, Any]) -> list[float]:
        """The single preferences that a record holds several of, if it does."""
        if self.reading.winner is not None and self.reading.winner.votes is not None:
            return [{0: -1.0, 1: 1.0}.get(place, 0.0) for place in self.reading.winner.votes(values)]
        if not self._several_votes:
            return []
        found = self._get["vote"](values)
        numbers = [number_in(value) for value in (found if isinstance(found, list) else [])]
        return [number for number in numbers if number is not None]


@lru_cache(maxsize=256)
def _others(names: tuple[str, ...], used: frozenset[str]) -> list[tuple[str, str]]:
    """The columns among ``names`` that are not used, each with its name in metadata."""
    return [(name, without_surrogates(name)) for name in names if name not in used]


@lru_cache(maxsize=256)
def _is_known(column: str, name: str) -> bool:
    """Whether later steps know a column by its own name, and not by ``name`` alone."""
    own = column.lower().replace("-", "_")
    first, _, second = own.rpartition("_")
    return own == name or not KNOWN_SCORES.isdisjoint({own, f"{second}_{first}"})


def _items(value: Any, name: str) -> list[Any]:
    """The responses of a list, or the only one."""
    if kind_of(value) == "none":
        raise RowFault(MISSING_RESPONSE, f"`{name}` is {describe(value)}")
    return value if isinstance(value, list) and kind_of(value) != "messages" else [value]


def _flat(value: Any, column: str, role: str) -> list[Message]:
    """Messages of a cell, or of several cells that ``a+b`` joins."""
    if isinstance(value, list) and value and not all(isinstance(item, dict) for item in value):
        return [message for item in value for message in to_messages(item, column, role)]
    return to_messages(value, column, role)
