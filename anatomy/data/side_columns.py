"""Find the columns of the responses, and what says which is better, by the words of their names and their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anatomy.data.column_names import (
    CHOSEN,
    DIFFERENCE,
    FILLER,
    LABEL,
    MODEL,
    NUMBERINGS,
    NUMBERS,
    RANK,
    REJECTED,
    RESPONSE,
    SCORE,
    WINNER,
    first_of,
    is_only,
    words_of,
)
from anatomy.data.columns import LISTED, NUMERIC, TEXT, Column, columns_of, decoded, long_text
from anatomy.data.winners import Winner, by_value, of_number, of_text, of_truth, one_hot
from anatomy.errors import RowsError

Columns = Mapping[str, Column]
NO_SCALE = (
    "id",
    "index",
    "idx",
    "turn",
    "num",
    "param",
    "count",
    "seed",
    "order",
    "time",
    "timestamp",
    "member",
    "year",
)
LENGTH_ONLY = ("token", "character", "char")


@dataclass(frozen=True)
class Sides:
    """Columns of the responses by role, and what may say which is better."""

    roles: dict[str, str]
    winners: tuple[Winner, ...] = ()
    scales: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unclear: tuple[str, ...] = field(default=())


def named_pair(columns: Columns) -> Sides | None:
    """Two columns of which one name says chosen and the other rejected, in otherwise the same words.

    Raises:
        RowsError: two such pairs are equally good.
    """
    pairs: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for column in columns.values():
        side, rest = side_of(column.words)
        if side and column.kind in (*TEXT, *LISTED, "none") and (not rest or is_only(rest, RESPONSE + FILLER)):
            pairs.setdefault(rest, {"chosen": [], "rejected": []})[side].append(column.name)
    whole = {
        rest: {side: _first(columns, names, CHOSEN + REJECTED) for side, names in found.items()}
        for rest, found in pairs.items()
        if all(any(not rest or columns[name].kind != "none" for name in names) for names in found.values())
    }
    if not whole:
        return None
    ordered = sorted(whole, key=lambda rest: ("full" in rest, len(rest)))
    if len(ordered) > 1 and (len(ordered[0]), "full" in ordered[0]) == (len(ordered[1]), "full" in ordered[1]):
        raise ambiguous([whole[rest] for rest in ordered[:2]])
    return Sides(whole[ordered[0]])


def side_of(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The side that a name says, if it says one, and its other words."""
    for side, table in (("rejected", REJECTED), ("chosen", CHOSEN)):
        said = [word for word in words if word in table]
        if len(said) == 1:
            return side, tuple(word for word in words if word != said[0])
    return "", tuple(words)


def _first(columns: Columns, names: Sequence[str], table: Sequence[str]) -> str:
    return min(names, key=lambda name: (columns[name].kind == "none", first_of(columns[name].words, table)))


def ambiguous(choices: Sequence[Mapping[str, str]]) -> RowsError:
    """The error for columns that could be read in several ways: the flags of each."""
    flags = (f"`--map {','.join(f'{role}={name}' for role, name in choice.items())}`" for choice in choices)
    return RowsError(f"more than one pair of responses; say which with {' or '.join(flags)}")


def families(columns: Iterable[Column], kinds: Sequence[str], *tables: Sequence[str]) -> list[tuple[str, ...]]:
    """Names that differ only in a number (``response_a``, ``response_b``), in order; their other words in a table."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for column in columns:
        numbers = [place for place, word in enumerate(column.words) if word in NUMBERS]
        if column.kind in kinds and numbers:
            rest = tuple(word for place, word in enumerate(column.words) if place != numbers[-1])
            if is_only(rest, *tables):
                found.setdefault(rest, {})[column.words[numbers[-1]]] = column.name
    ordered = [
        in_order(numbered) for _, numbered in sorted(found.items(), key=lambda item: first_of(item[0], tables[0]))
    ]
    return [names for names in ordered if len(names) > 1]


def in_order(numbered: Mapping[str, str]) -> tuple[str, ...]:
    """The names by their numbers, where these are the first of one way to count; else none."""
    orders = (order for order in NUMBERINGS if set(order[: len(numbered)]) == numbered.keys())
    return next((tuple(numbered[number] for number in order[: len(numbered)]) for order in orders), ())


def number_of(name: str, place: int) -> str:
    """What tells a response's column from the others; a letter where its name has none."""
    return next((word for word in reversed(words_of(name)) if word in NUMBERS), NUMBERINGS[0][place])


def numbered(columns: Columns, records: Sequence[Mapping[str, Any]]) -> Sides | None:
    """Columns of numbered responses, with what says which is better: winner columns, else scores.

    Raises:
        RowsError: two sets of responses are equally good, or nothing says which is better.
    """
    found = families(columns.values(), (*TEXT, "texts"), RESPONSE, FILLER + MODEL)
    found = [names for names in found if any(map(_is_response, (columns[name] for name in names)))]
    if not found:
        return None
    names = found[0]
    if len(found) > 1 and first_of(columns[names[0]].words, RESPONSE) == first_of(columns[found[1][0]].words, RESPONSE):
        raise ambiguous([dict(zip(("response_a", "response_b"), pair, strict=False)) for pair in found[:2]])
    roles = {f"response_{letter}": name for letter, name in zip("ab", names, strict=False)}
    roles = roles if len(names) == 2 else {"responses": "+".join(names)}
    roles |= _models(columns, names)
    winners, unclear = winners_of(columns, names)
    models = [roles[role] for role in ("model_a", "model_b") if role in roles]
    winners += tuple(_repeated(columns, [names, *([models] if models else [])], records, winners))
    scores = [
        scale for scale in families(columns.values(), NUMERIC, SCORE, RESPONSE + FILLER) if len(scale) == len(names)
    ]
    if scores and not winners:
        notes = tuple(f"`{name}` may say which is better, too; scores are used" for name in unclear)
        return Sides(
            {**_models(columns, names), "responses": "+".join(names), "scores": "+".join(scores[0])}, notes=notes
        )
    return Sides(roles, winners, unclear=unclear)


def _is_response(column: Column) -> bool:
    """Whether a column with a response's name holds more than the names of its authors."""
    return "source" not in column.words and "id" not in column.words


def _models(columns: Columns, names: Sequence[str]) -> dict[str, str]:
    if len(names) != 2:
        return {}
    for models in families(columns.values(), ("text",), MODEL, RESPONSE + FILLER):
        if len(models) == 2 and not set(models) & set(names):
            return dict(zip(("model_a", "model_b"), models, strict=True))
    return {}


def winners_of(columns: Columns, names: Sequence[str]) -> tuple[tuple[Winner, ...], tuple[str, ...]]:
    """Columns that say which of the responses ``names`` is better, and those that might, but in no clear way."""
    numbers = [number_of(name, place) for place, name in enumerate(names)]
    found, unclear, used = [], [], set(names)
    for hot in families(columns.values(), NUMERIC, WINNER, FILLER + RESPONSE + ("is", "was")):
        if len(hot) == len(names) and set(hot) - used:
            used |= {*hot, *(extra := _beside(columns, hot))}
            found.append(one_hot([*hot, *extra], len(names)))
    for column in columns.values():
        if column.name in used or not may_say(column):
            continue
        winner = winner_of(column, numbers)
        if winner is not None:
            found.append(winner)
        elif column.kind in ("number", "bool") and not set(NO_SCALE) & set(column.words):
            unclear.append(column.name)
    return tuple(found), tuple(unclear)


def _repeated(
    columns: Columns,
    groups: Sequence[Sequence[str]],
    records: Sequence[Mapping[str, Any]],
    known: Sequence[Winner],
) -> Iterator[Winner]:
    """Winner columns that hold the text or the model of the better response."""
    used = {name for group in groups for name in group} | {winner.column for winner in known}
    for column in columns.values():
        if column.name not in used and column.kind in TEXT and any(word in WINNER for word in column.words):
            winner = by_value(column.name, groups, records)
            if winner is not None:
                yield winner


def may_say(column: Column) -> bool:
    """Whether a column's name is that of a winner, or of a difference of scores, and its values are not prose."""
    difference = is_only(column.words, DIFFERENCE, SCORE, WINNER, ("overall", "mean", "avg"))
    return (difference or any(word in WINNER for word in column.words)) and not long_text(column)


def winner_of(column: Column, numbers: Sequence[str]) -> Winner | None:
    """How a column tells the better response; None where it is unclear."""
    own = [number for number in numbers if number in column.words]
    if column.kind == "bool" or (own and column.kind == "number"):
        return of_truth(column, numbers.index(own[0])) if len(own) == 1 and len(numbers) == 2 else None
    if column.kind in ("number", "numeral"):
        return of_number(column, numbers)
    return of_text(column, numbers) if column.kind == "text" else None


def _beside(columns: Columns, hot: Sequence[str]) -> list[str]:
    """Columns of ties (then of both bad) that belong to one-hot columns of winners."""
    words = set(columns[hot[0]].words) | {"tie", "draw", "bad", "both", "bothbad"}
    ties = [
        column
        for column in columns.values()
        if column.kind in NUMERIC
        and set(column.words) <= words
        and {"tie", "draw", "bothbad", "bad"} & set(column.words)
    ]
    return [column.name for column in sorted(ties, key=lambda column: any("bad" in word for word in column.words))]


def listed(columns: Columns, score: str | None) -> Sides | None:
    """A column of lists of responses, with their scores beside or inside of it.

    Raises:
        RowsError: nothing says which response is better, or several scales do.
    """
    lists = [column for column in columns.values() if column.kind in LISTED and is_only(column.words, RESPONSE, FILLER)]
    if not lists:
        return None
    column = min(lists, key=lambda one: first_of(one.words, RESPONSE))
    beside = [one for one in columns.values() if one.kind == "numbers" and any(word in SCORE for word in one.words)]
    if column.kind == "dicts":
        return _inside(columns, column, score)
    best = score or next((one.name for one in beside), None)
    if best is None:
        winners, _ = winners_of(columns, [f"{column.name}.{place}" for place in range(2)])
        if winners:
            return Sides({"responses": column.name}, winners)
        raise RowsError(
            f"`{column.name}` holds lists of responses, and no column says which is better; where their order does, "
            f"use `--map chosen={column.name}.0,rejected={column.name}.1`, else "
            f"`--map responses={column.name},scores=COLUMN`"
        )
    others = [one.name for one in beside if one.name != best]
    return Sides({"responses": column.name, "scores": best}, notes=_choice(best, others))


def _inside(columns: Columns, column: Column, score: str | None) -> Sides:
    items = [item for value in column.filled for item in (decoded(value) if isinstance(decoded(value), list) else [])]
    inner = columns_of([item for item in items if isinstance(item, dict)])
    texts = [one for one in inner.values() if one.kind in TEXT and is_only(one.words, (*RESPONSE, "content"), FILLER)]
    scales = [one.name for one in inner.values() if one.kind in NUMERIC and any(word in SCORE for word in one.words)]
    if texts and not (score or scales):
        winners, _ = winners_of(columns, [f"{column.name}.{place}" for place in range(2)])
        if winners:
            return Sides({"responses": column.name, "response": texts[0].name}, winners)
    if not texts or not (score or scales):
        missing = "which field says how good it is" if texts else "which field is its text"
        raise RowsError(
            f"`{column.name}` holds objects with {', '.join(inner)}; say {missing} with "
            f"`--map responses={column.name},response=FIELD,scores=FIELD`"
        )
    text = min(texts, key=lambda one: first_of(one.words, RESPONSE)).name
    overall = [name for name in scales if "overall" in words_of(name)] or scales
    if not score and len(overall) > 1:
        raise RowsError(
            f"`{column.name}` has several scores; choose one with "
            + " or ".join(f"`--score {name}`" for name in overall)
        )
    best = score or overall[0]
    others = [name for name in scales if name != best]
    return Sides({"responses": column.name, "response": text, "scores": best}, notes=_choice(best, others))


def _choice(best: str, others: Sequence[str]) -> tuple[str, ...]:
    """What is compared by, and by what else it could be."""
    order = "lower is better" if any(word in RANK for word in words_of(best)) else "higher is better"
    flags = " or ".join(f"`--score {name}`" for name in others[:5])
    return (f"compared by `{best}` ({order})" + (f"; else give {flags}" if others else ""),)


def single(columns: Columns, taken: Sequence[str]) -> Sides | None:
    """One column of responses, with a label of it or scales that rate it."""
    names = [column for column in columns.values() if column.kind in TEXT and column.name not in taken]
    responses = [column for column in names if is_only(column.words, (*RESPONSE, "transcript"), FILLER)]
    if not responses:
        return None
    response = min(responses, key=lambda column: first_of(column.words, (*RESPONSE, "transcript")))
    labels = [column for column in columns.values() if is_label(column)]
    scales = [column.name for column in columns.values() if is_scale(column)]
    roles = {"response": response.name} | ({"label": labels[0].name} if labels else {})
    return Sides(roles, scales=tuple(scales))


def is_label(column: Column) -> bool:
    """Whether a column says of one response that it is good or bad."""
    found = {str(value).strip().lower() for value in column.filled}
    return (
        is_only(column.words, LABEL, ("is", "human", "response", "answer", "completion", "up"))
        and column.kind in ("bool", "numeral", "number", "text")
        and 0 < len(found) <= 2
        and all(truth_of(value) is not None for value in found)
    )


def truth_of(value: object) -> bool | None:
    """Whether a label is a good one; None where it says neither."""
    text = str(value).strip().lower()
    good = {
        "true",
        "1",
        "1.0",
        "good",
        "yes",
        "desirable",
        "up",
        "thumbs_up",
        "thumbs up",
        "positive",
        "chosen",
        "accepted",
    }
    bad = {"false", "0", "0.0", "-1", "bad", "no", "undesirable", "down", "thumbs_down", "thumbs down", "negative"}
    return True if text in good else False if text in bad | {"rejected", "-1.0", "declined"} else None


def is_scale(column: Column) -> bool:
    """Whether a column rates a response with a number."""
    return column.kind == "number" and not set(column.words) & set(NO_SCALE + LENGTH_ONLY)
