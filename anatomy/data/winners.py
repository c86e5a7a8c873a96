"""What a column says of two or more responses: which is better, a tie, or that all are bad."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anatomy.data.column_names import DIFFERENCE, NUMBERINGS, RANK, WORD, words_of
from anatomy.data.columns import Column, Getter, decoded, getter, kind_of, number_in
from anatomy.errors import RowsError

TIE, BOTH_BAD = -1, -2
"""Outcomes beside the place of the better response."""
TIE_WORDS = {"tie", "draw", "same", "equal", "equally", "both", "tied", "either"}
BAD_WORDS = {"bad", "bothbad", "neither", "none"}
OTHER_WORDS = {
    *("model", "response", "answer", "assistant", "output", "option", "completion", "conversation", "is", "the"),
    *("better", "wins", "win", "winner", "reply", "candidate", "best", "choice", "text", "generation"),
    *("much", "slightly", "clearly", "significantly", "strongly", "somewhat", "marginally", "far", "little", "bit"),
    *("lot", "preferred", "prefer", "prefers", "than"),
}
A_BIT = re.compile(r"\ba (?=(?:bit|little|lot)\b)", re.IGNORECASE)
ORDERED = re.compile(r"\W*(\w+)\s*(>+|<+|=+|~)=?\s*(\w+)\W*")
"""``A>B``, ``[[A>>B]]``, ``1 < 2``, ``A=B``."""
SAID = re.compile(
    r"([^.]+?)\b(better|preferred|preferable|superior|worse|inferior)\b[^.]*?\b(?:than|over|to)\b([^.]+)\.?",
    re.IGNORECASE,
)
"""``Response A is much better than Response B.``"""
INDEX_WORDS = {"id", "idx", "index"}
COMPARED = re.compile(r"(?P<column>[^=<>]+)(?P<sign>[=<>])(?P<value>[^=<>]+)")
READABLE = 0.9
"""Share of a column's values that must be an outcome for it to be a column of outcomes."""

Outcome = Callable[[Any], int | None]


@dataclass(frozen=True)
class Winner:
    """How a column (or one-hot columns, joined by ``+``) tells the better response, and in words what it means.

    ``flag`` chooses it, ``--label`` unless given. ``either_way`` says that its outcomes may be the other way round.
    ``votes`` are the outcomes of several people for a record, where the columns hold one of each.
    """

    column: str
    outcome: Outcome
    meaning: str
    strength: bool = False
    whole: bool = False
    flag: str = ""
    either_way: bool = False
    votes: Callable[[Mapping[str, Any]], list[int]] | None = None

    @property
    def choose(self) -> str:
        """The flag that takes this column alone."""
        return self.flag or f"--label {self.column}"

    def reads(self) -> Getter:
        """What takes from a record what ``outcome`` judges: the column's value, or (if ``whole``) the record."""
        if self.whole:
            return lambda values: values
        if "+" in self.column:
            parts = [getter(part) for part in self.column.split("+")]
            return lambda values: [part(values) for part in parts]
        return getter(self.column.split("=")[0].split("<")[0].split(">")[0])


def place_in(value: str, count: int) -> int | None:
    """The place that a text names (``model_a``, ``B``, ``response_1``, ``left``), a tie, or that all are bad."""
    order = ORDERED.fullmatch(value) or SAID.fullmatch(value)
    if order is not None:
        first_is_better = order[2][0].lower() in ">bps"  # better, preferred, superior
        better, other = (place_in(side, count) for side in (order[1], order[3])[:: 1 if first_is_better else -1])
        known = better is not None and other is not None and min(better, other) >= 0
        return None if not known else TIE if order[2][0] in "=~" else better
    words = [word.lower() for word in WORD.findall(A_BIT.sub("", value))]
    if BAD_WORDS & set(words) and not set(words) - BAD_WORDS - TIE_WORDS - OTHER_WORDS:
        return BOTH_BAD
    if TIE_WORDS & set(words):
        return TIE
    left = [word for word in words if word not in OTHER_WORDS]
    if len(left) != 1:
        return None
    orders = (order for order in NUMBERINGS if order[0] != "0" and left[0] in order[:count])
    return next((order.index(left[0]) for order in orders), None)


def of_text(column: Column, numbers: Sequence[str]) -> Winner | None:
    """A winner column of texts; ``numbers`` are what tells the responses apart in their columns' names."""

    def outcome(value: Any) -> int | None:
        text = str(value).strip().lower()
        words = [word for word in map(str.lower, WORD.findall(text)) if word not in OTHER_WORDS]
        if len(words) == 1 and words[0] in numbers:
            return numbers.index(words[0])
        return place_in(text, len(numbers))

    return Winner(column.name, outcome, "names the better response") if _fits(column, outcome) else None


def of_number(column: Column, numbers: Sequence[str]) -> Winner | None:
    """A winner column of numbers: the sign of a preference or of a difference, or the place of the better response."""
    found = {number for number in map(number_in, column.filled) if number is not None}
    if not found:
        return None
    if min(found) < 0:
        positive_is_first = any(word in DIFFERENCE for word in column.words)
        meaning = (
            "above 0 the first is better" if positive_is_first else "below 0 the first is better, above 0 the second"
        )
        return Winner(column.name, _signed(positive_is_first), meaning, strength=True)
    names = {float(name): place for place, name in enumerate(numbers) if name.isdigit()}
    if not names and INDEX_WORDS & set(column.words) and found <= set(map(float, range(len(numbers)))):
        names = {float(place): place for place in range(len(numbers))}
    if not names and 0.0 not in found and len(found) > 1:
        names = {float(place + 1): place for place in range(len(numbers))}
    if not names or not found <= {0.0, *names} or not _tie_is_rare(column, names):
        return None

    def outcome(value: Any) -> int | None:
        number = number_in(value)
        return None if number is None else names.get(number, TIE if number == 0 else None)

    return Winner(column.name, outcome, "holds the number of the better response")


def _tie_is_rare(column: Column, names: Mapping[float, int]) -> bool:
    """Whether 0, if it is no response's number, is rarer than each of theirs: else it may be one, counted from 0."""
    counts = Counter(map(number_in, column.filled))
    return 0.0 in names or not counts[0.0] or counts[0.0] < min(counts[number] for number in names)


def _signed(positive_is_first: bool) -> Outcome:
    def outcome(value: Any) -> int | None:
        number = number_in(value)
        return None if number is None else TIE if number == 0 else int((number > 0) != positive_is_first)

    return outcome


def of_truth(column: Column, place: int) -> Winner | None:
    """A column of truth values that says whether the response at ``place`` of two is better; None of other values."""

    def outcome(value: Any) -> int | None:
        number = _truth(value)
        return None if number is None else place if number else 1 - place

    meaning = f"says whether the {('first', 'second')[place]} is better"
    return Winner(column.name, outcome, meaning) if _fits(column, outcome) else None


def one_hot(columns: Sequence[str], count: int) -> Winner:
    """Columns of which the one that is 1 says the outcome: one for each response, then a tie, then both bad."""

    def outcome(values: Any) -> int | None:
        ones = [place for place, value in enumerate(values) if _truth(value)]
        if len(ones) != 1:
            return TIE if not ones and len(values) == count else None
        return ones[0] if ones[0] < count else (TIE, BOTH_BAD)[min(ones[0] - count, 1)]

    return Winner("+".join(columns), outcome, "mark the better response with 1")


def by_scores(columns: str) -> Winner:
    """The highest of scores, in columns joined by ``+`` or in a list; nothing where the two highest are equal."""
    get = [getter(column) for column in columns.split("+")]
    sign = -1 if set(words_of(columns)) & set(RANK) else 1

    def outcome(values: Any) -> int | None:
        found = [one(values) for one in get] if len(get) > 1 else decoded(get[0](values))
        numbers = [number_in(value) for value in (found if isinstance(found, list) else [])]
        known = sorted(sign * number for number in numbers if number is not None)
        if len(known) < 2 or known[-1] == known[-2]:
            return None
        return numbers.index(sign * known[-1])

    return Winner(columns, outcome, "score the responses", whole=True, flag=f"--score {columns}")


def by_votes(winners: Sequence[Winner]) -> Winner:
    """What most of several people's columns say; a tie where as many are for either response."""
    people = [(winner.reads(), winner.outcome) for winner in winners]

    def votes(values: Mapping[str, Any]) -> list[int]:
        return [place for read, outcome in people if (place := outcome(read(values))) is not None]

    def outcome(values: Any) -> int | None:
        found = votes(values)
        counts = Counter(place for place in found if place >= 0).most_common(2)
        even = not counts or (len(counts) > 1 and counts[0][1] == counts[1][1])
        return None if not found else TIE if even else counts[0][0]

    return Winner("+".join(winner.column for winner in winners), outcome, "are votes", whole=True, votes=votes)


def by_names(column: Column, names: Sequence[str]) -> Winner | None:
    """A winner column whose values are words of the responses' columns: ``candidate`` for ``candidate_response``."""
    known = [set(words_of(name)) for name in names]

    def outcome(value: Any) -> int | None:
        text = str(value).strip()
        place = place_in(text, len(names))
        if place in (TIE, BOTH_BAD):
            return place
        found = [number for number, words in enumerate(known) if words_of(text) and set(words_of(text)) <= words]
        return found[0] if len(found) == 1 else None

    return Winner(column.name, outcome, "names the better response") if _fits(column, outcome) else None


def either_way(column: Column, flags: str) -> Winner | None:
    """A column of two numbers, one for each response, but nothing says which; None if it holds more or fewer.

    Args:
        column: what may say which of two is better.
        flags: ``--map`` up to the winner.
    """
    found = sorted({number for number in map(number_in, column.filled) if number is not None})
    if len(found) != 2 or column.kind not in ("number", "bool", "numeral"):
        return None

    def outcome(value: Any) -> int | None:
        number = number_in(value)
        return found.index(number) if number in found else None

    flag = f"{flags},winner={column.name}=VALUE"
    return Winner(column.name, outcome, "has one of two values", flag=flag, either_way=True)


def compared(text: str) -> Winner | None:
    """A winner that a person writes as ``column=value``, ``column<value`` or ``column>value``: then the first wins."""
    match = COMPARED.fullmatch(text)
    if match is None:
        return None
    sign, wanted = match["sign"], match["value"].strip()
    limit = number_in(wanted)
    if sign != "=" and limit is None:
        raise RowsError(f"--map: `winner={text}` compares with {wanted!r}, which is not a number")

    def outcome(value: Any) -> int | None:
        number = number_in(value)
        if sign == "=":
            same = number == limit if number is not None and limit is not None else str(value).strip() == wanted
            return None if kind_of(value) == "none" else 0 if same else 1
        if number is None or limit is None:
            return None
        return TIE if number == limit else int((number > limit) != (sign == ">"))

    return Winner(text, outcome, f"the first is better where {text}", strength=sign != "=")


def by_value(column: str, groups: Sequence[Sequence[str]], records: Sequence[Mapping[str, Any]]) -> Winner | None:
    """A winner column that repeats the better response's model, or its text: columns of each are ``groups``."""
    get = getter(column)
    for names in groups:
        outcome = _same_as(get, [getter(name) for name in names])
        found = [outcome(values) for values in records if kind_of(get(values)) != "none"]
        if found and sum(place is not None for place in found) >= READABLE * len(found):
            return Winner(column, outcome, f"repeats {' or '.join(names)}", whole=True)
    return None


def _same_as(get: Getter, names: Sequence[Getter]) -> Outcome:
    def outcome(values: Any) -> int | None:
        found = [place for place, name in enumerate(names) if name(values) == get(values)]
        if len(found) == 1:
            return found[0]
        return place if (place := place_in(str(get(values)), len(names))) in (TIE, BOTH_BAD) else None

    return outcome


def _truth(value: Any) -> bool | None:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    number = number_in(value)
    return None if number not in (0, 1) else bool(number)


def _fits(column: Column, outcome: Outcome) -> bool:
    """Whether nearly all values of a column are outcomes, and one of them names a response."""
    found = [outcome(value) for value in column.filled]
    read = [place for place in found if place is not None]
    return bool(found) and len(read) >= READABLE * len(found) and any(place >= 0 for place in read)
