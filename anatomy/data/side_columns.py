"""Find the columns of the responses, and what says which is better, by the words of their names and their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anatomy.data.column_names import (
    CHOSEN,
    DIFFERENCE,
    FILLER,
    MODEL,
    NUMBERINGS,
    NUMBERS,
    PROMPT,
    RANK,
    REJECTED,
    RESPONSE,
    SCORE,
    VOTER,
    WINNER,
    first_of,
    is_only,
    words_of,
)
from anatomy.data.columns import LISTED, NUMERIC, TEXT, Column, decoded, long_text
from anatomy.data.prompt_column import ALL_BUT_LAST, mostly_ends
from anatomy.data.single_responses import NO_SCALE
from anatomy.data.winners import (
    Winner,
    by_names,
    by_scores,
    by_value,
    by_votes,
    either_way,
    of_number,
    of_text,
    of_truth,
    one_hot,
)
from anatomy.errors import RowsError
from anatomy.settings import RowSettings

Columns = Mapping[str, Column]
MOST_VERDICTS = 12
"""Different texts that a column of verdicts holds at most, however long they are (``A is much better than B``)."""


@dataclass(frozen=True)
class Sides:
    """Columns of the responses by role, and what may say which is better; ``rated`` means that scores do.

    Then the ``winners``, of which the first are these scores, only have to agree.
    """

    roles: dict[str, str]
    winners: tuple[Winner, ...] = ()
    scales: tuple[str, ...] = ()
    rated: bool = False
    notes: tuple[str, ...] = ()
    unclear: tuple[str, ...] = field(default=())


def named_pair(columns: Columns, better: Sequence[str] = CHOSEN, worse: Sequence[str] = REJECTED) -> Sides | None:
    """Two columns of which one name says chosen and the other rejected, in otherwise the same words.

    Raises:
        RowsError: two such pairs are equally good.
    """
    pairs: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for column in columns.values():
        side, rest = side_of(column.words, better, worse)
        if side and column.kind in (*TEXT, *LISTED, "none") and (not rest or is_only(rest, RESPONSE + FILLER)):
            pairs.setdefault(rest, {"chosen": [], "rejected": []})[side].append(column.name)
    whole = {
        rest: {side: _first(columns, names, (*better, *worse)) for side, names in found.items()}
        for rest, found in pairs.items()
        if all(any(not rest or columns[name].kind != "none" for name in names) for names in found.values())
    }
    if not whole:
        return _rest_of_conversation(columns, pairs)
    ordered = sorted(whole, key=lambda rest: ("full" in rest, len(rest)))
    if len(ordered) > 1 and (len(ordered[0]), "full" in ordered[0]) == (len(ordered[1]), "full" in ordered[1]):
        raise ambiguous([whole[rest] for rest in ordered[:2]])
    return Sides(whole[ordered[0]])


def _rest_of_conversation(columns: Columns, pairs: Mapping[tuple[str, ...], Mapping[str, list[str]]]) -> Sides | None:
    """A rejected response beside whole conversations that end in another answer: that one is the chosen."""
    rejected = [name for found in pairs.values() for name in found["rejected"] if not found["chosen"]]
    rejected = [name for name in rejected if columns[name].kind in TEXT]
    whole = [
        column.name for column in columns.values()
        if column.kind == "messages" and column.name not in rejected and is_only(column.words, PROMPT, FILLER)
        and mostly_ends(column, "assistant")
    ]  # fmt: skip
    if len(rejected) != 1 or len(whole) != 1:
        return None
    note = f"the last turn of `{whole[0]}` is the chosen response"
    roles = {"prompt": whole[0] + ALL_BUT_LAST, "chosen": f"{whole[0]}.-1", "rejected": rejected[0]}
    return Sides(roles, notes=(note,))


def side_of(
    words: Sequence[str], better: Sequence[str] = CHOSEN, worse: Sequence[str] = REJECTED
) -> tuple[str, tuple[str, ...]]:
    """The side that a name says, if it says one, and its other words."""
    for side, table in (("rejected", worse), ("chosen", better)):
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


def numbered(columns: Columns, records: Sequence[Mapping[str, Any]], settings: RowSettings) -> Sides | None:
    """Columns of numbered responses, with what says which is better: winner columns, else scores.

    Raises:
        RowsError: two sets of responses are equally good, or nothing says which is better.
    """
    found = families(columns.values(), (*TEXT, "texts"), RESPONSE, FILLER + MODEL)
    found = [names for names in found if any(map(_is_response, (columns[name] for name in names)))]
    found = found or _bare(columns)
    if not found:
        return _told_by_name(columns)
    names = found[0]
    if len(found) > 1 and first_of(columns[names[0]].words, RESPONSE) == first_of(columns[found[1][0]].words, RESPONSE):
        raise ambiguous([dict(zip(("response_a", "response_b"), pair, strict=False)) for pair in found[:2]])
    roles = {f"response_{letter}": name for letter, name in zip("ab", names, strict=False)}
    roles = roles if len(names) == 2 else {"responses": "+".join(names)}
    roles |= _models(columns, names)
    winners, unclear = winners_of(columns, names)
    winners = _of_people(winners)
    models = [roles[role] for role in ("model_a", "model_b") if role in roles]
    winners += tuple(_repeated(columns, [names, *([models] if models else [])], records, winners))
    scores = _scores_of(columns, names)
    if settings.score and len(settings.score.split("+")) == len(names) and {*settings.score.split("+")} <= {*columns}:
        scores = [settings.score, *(name for name in scores if name != settings.score)]
    if scores and settings.label is None and (settings.score or not winners):
        return _rated(columns, names, scores, () if settings.score else unclear)
    if [number_of(name, place) for place, name in enumerate(names)] == ["j", "k"] and not (winners or unclear):
        note = f"`{names[0]}` is the better response, as j is before k in losses of reward models"
        return Sides({"chosen": names[0], "rejected": names[1]}, notes=(note,))
    return Sides(roles, winners + tuple(map(by_scores, scores[:1])), unclear=unclear)


def _of_people(winners: tuple[Winner, ...]) -> tuple[Winner, ...]:
    """The winner columns, those of several people (``annotator1``, ``annotator2``) as one: votes."""
    people = [winner for winner in winners if set(words_of(winner.column)) & set(VOTER)]
    rest = tuple(winner for winner in winners if winner not in people)
    return (by_votes(people), *rest) if len(people) > 1 else winners


def _told_by_name(columns: Columns) -> Sides | None:
    """Two columns of texts, and one that says which is better by a word of their names."""
    texts = [column for column in columns.values() if _is_prose(column) and is_only(column.words[-1:], RESPONSE)]
    verdicts = [
        column for column in columns.values()
        if column.kind == "text" and any(word in WINNER for word in column.words) and not long_text(column)
    ]  # fmt: skip
    for column in verdicts:
        said = {words_of(str(value)) for value in column.filled}
        names = [text.name for text in texts if any(words and set(words) <= set(text.words) for words in said)]
        winner = by_names(column, names) if len(names) == 2 else None
        if winner is not None:
            return Sides({"response_a": names[0], "response_b": names[1]}, (winner,))
    return None


def _is_prose(column: Column) -> bool:
    """Whether most texts of a column have three words or more."""
    return column.kind == "text" and 2 * sum(str(value).count(" ") >= 2 for value in column.filled) > len(column.filled)


def _bare(columns: Columns) -> list[tuple[str, ...]]:
    """Columns of texts whose whole names are numbers or letters: ``A`` and ``B``."""
    found = {column.words[0]: column.name for column in columns.values()
             if len(column.words) == 1 and column.words[0] in NUMBERS and _is_prose(column)}  # fmt: skip
    names = in_order(found)
    return [names] if len(names) > 1 else []


def _scores_of(columns: Columns, names: Sequence[str]) -> list[str]:
    """Scores of each of the responses: columns that differ in a number, joined by ``+``, and columns of lists."""
    scales = families(columns.values(), NUMERIC, SCORE, RESPONSE + FILLER)
    lists = [
        column.name for column in columns.values()
        if column.kind == "numbers" and any(word in SCORE for word in column.words)
        and all(len(decoded(value)) == len(names) for value in column.filled)
    ]  # fmt: skip
    return ["+".join(scale) for scale in scales if len(scale) == len(names)] + lists


def _rated(columns: Columns, names: Sequence[str], scores: Sequence[str], unclear: Sequence[str]) -> Sides:
    """Numbered responses with scores, which have to agree with columns that may say which is better."""
    flags = f"--map response_a={names[0]},response_b={names[1]}"
    open_ways = [either_way(columns[name], flags) for name in unclear] if len(names) == 2 else []
    rivals = tuple(winner for winner in open_ways if winner is not None)
    notes = tuple(f"`{name}` may say which is better, too; scores are used" for name in unclear)
    roles = {**_models(columns, names), "responses": "+".join(names), "scores": scores[0]}
    rivals = (by_scores(scores[0]), *rivals) if rivals else ()
    return Sides(roles, rivals, rated=True, notes=(*choice_of(scores[0], scores[1:]), *notes))


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
        named = any(word in WINNER for word in column.words) and not set(column.words) & set(VOTER)
        if column.name not in used and column.kind in TEXT and named:
            winner = by_value(column.name, groups, records)
            if winner is not None:
                yield winner


def may_say(column: Column) -> bool:
    """Whether a column's name is that of a winner, or of a difference of scores, and its values are not prose."""
    difference = is_only(column.words, DIFFERENCE, SCORE, WINNER, ("overall", "mean", "avg"))
    words = (*WINNER, *(SCORE if column.kind == "text" else ()))
    named = any(word in words for word in column.words)
    named = named or (bool(set(column.words) & set(VOTER)) and bool(set(column.words) & NUMBERS))
    return (difference or named) and not (
        long_text(column) and len({str(value) for value in column.filled}) > MOST_VERDICTS
    )


def winner_of(column: Column, numbers: Sequence[str]) -> Winner | None:
    """How a column tells the better response; None where it is unclear."""
    own = [number for number in numbers if number in column.words and not set(column.words) & set(VOTER)]
    if column.kind == "bool" or (own and column.kind == "number"):
        return of_truth(column, numbers.index(own[0])) if len(own) == 1 and len(numbers) == 2 else None
    if column.kind in ("number", "numeral"):
        return of_number(column, numbers)
    return of_text(column, numbers) if column.kind == "text" else None


def of_several(names: Sequence[str], columns: Columns, numbers: Sequence[str]) -> Winner:
    """How several columns say which response is better: as the votes of several people, else as one-hot columns."""
    known = [columns[name] for name in names if name in columns]
    people = [winner_of(column, numbers) for column in known if set(column.words) & set(VOTER)]
    if len(people) == len(names) and all(people):
        return by_votes([winner for winner in people if winner is not None])
    return one_hot(names, len(numbers))


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


def choice_of(best: str, others: Sequence[str]) -> tuple[str, ...]:
    """What is compared by, and by what else it could be."""
    order = "lower is better" if any(word in RANK for word in words_of(best)) else "higher is better"
    flags = " or ".join(f"`--score {name}`" for name in others[:5])
    return (f"compared by `{best}` ({order})" + (f"; else give {flags}" if others else ""),)
