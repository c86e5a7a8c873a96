"""Find a column of lists of responses, and what says how good each of them is."""

from __future__ import annotations

from anatomy.data.column_names import FILLER, LABEL, RESPONSE, SCORE, first_of, is_only, words_of
from anatomy.data.columns import LISTED, NUMERIC, TEXT, Column, columns_of, decoded
from anatomy.data.prompt_column import role_of
from anatomy.data.side_columns import Columns, Sides, choice_of, winners_of
from anatomy.data.winners import by_scores
from anatomy.errors import RowsError
from anatomy.settings import RowSettings


def listed(columns: Columns, settings: RowSettings) -> Sides | None:
    """A column of lists of responses, with their scores beside or inside of it.

    Raises:
        RowsError: nothing says which response is better, or several scales do.
    """
    lists = [column for column in columns.values() if _is_list(column) and is_only(column.words, RESPONSE, FILLER)]
    if not lists:
        return None
    column = min(lists, key=lambda one: first_of(one.words, RESPONSE))
    score = settings.score
    beside = [one for one in columns.values() if one.kind == "numbers" and any(word in SCORE for word in one.words)]
    if column.kind in ("dicts", "messages"):
        return _inside(columns, column, settings)
    best = score or next((one.name for one in beside), None)
    winners, _ = winners_of(columns, [f"{column.name}.{place}" for place in range(_longest(column))])
    if winners and (settings.label or not score):
        return Sides({"responses": column.name}, (*winners, *map(by_scores, [best] if best else [])))
    if best is None:
        raise RowsError(
            f"`{column.name}` holds lists of responses, and no column says which is better; where their order does, "
            f"use `--map chosen={column.name}.0,rejected={column.name}.1`, else "
            f"`--map responses={column.name},scores=COLUMN`"
        )
    others = [one.name for one in beside if one.name != best]
    return Sides({"responses": column.name, "scores": best}, notes=choice_of(best, others))


def _is_list(column: Column) -> bool:
    """Whether a column holds lists of responses, if need be as turns of the assistant alone."""
    if column.kind != "messages":
        return column.kind in LISTED
    found = [value for value in map(decoded, column.filled) if isinstance(value, list)]
    turns = [turn for value in found for turn in value]
    return len(turns) > len(found) and all(isinstance(turn, dict) and role_of(turn) == "assistant" for turn in turns)


def _longest(column: Column) -> int:
    return max([2, *(len(value) for value in map(decoded, column.filled) if isinstance(value, list))])


def _inside(columns: Columns, column: Column, settings: RowSettings) -> Sides:
    score = settings.score
    items = [item for value in column.filled for item in (decoded(value) if isinstance(decoded(value), list) else [])]
    inner = columns_of([item for item in items if isinstance(item, dict)])
    texts = [one for one in inner.values() if one.kind in TEXT and is_only(one.words, (*RESPONSE, "content"), FILLER)]
    scales = [one.name for one in inner.values() if one.kind in NUMERIC and any(word in SCORE for word in one.words)]
    scales = scales or [one.name for one in inner.values() if one.kind == "bool" and is_only(one.words, LABEL, ("is",))]
    winners, _ = winners_of(columns, [f"{column.name}.{place}" for place in range(_longest(column))])
    if texts and winners and (settings.label or not score):
        rivals = map(by_scores, [f"{column.name}.{name}" for name in scales[:1]])
        return Sides({"responses": column.name, "response": texts[0].name}, (*winners, *rivals))
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
    return Sides({"responses": column.name, "response": text, "scores": best}, notes=choice_of(best, others))
