"""Find the column of responses that stand alone, one a row, and what labels or rates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from anatomy.data.column_names import FILLER, LABEL, RESPONSE, SCORE, first_of, is_only, words_of
from anatomy.data.columns import TEXT, Column
from anatomy.data.prompt_column import mostly_ends
from anatomy.errors import RowsError
from anatomy.settings import RowSettings

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
MOST_SCALES = 3
_GOOD = {
    *("true", "1", "1.0", "good", "yes", "desirable", "up", "thumbs_up", "thumbs up", "positive"),
    *("chosen", "accepted"),
}
_BAD = {
    *("false", "0", "0.0", "-1", "-1.0", "bad", "no", "undesirable", "down", "thumbs_down", "thumbs down"),
    *("negative", "rejected", "declined"),
}


class Single(NamedTuple):
    """Roles of the response and its label, columns that may rate it, and notes."""

    roles: dict[str, str]
    scales: tuple[str, ...]
    notes: tuple[str, ...]


def single(columns: Mapping[str, Column], taken: Sequence[str], settings: RowSettings) -> Single | None:
    """One column of responses, or of whole conversations, with a label of it or scales that rate it.

    Raises:
        RowsError: several labels differ, and the user chooses none of them.
    """
    names = [column for column in columns.values() if column.kind in TEXT and column.name not in taken]
    responses = [column for column in names if is_only(column.words, (*RESPONSE, "transcript"), FILLER)]
    responses = responses or [column for column in columns.values() if mostly_ends(column, "assistant")]
    if not responses:
        return None
    response = min(responses, key=lambda column: first_of(column.words, (*RESPONSE, "transcript")))
    labels = [column for column in columns.values() if is_label(column) and settings.score is None]
    labels = [column for column in labels if column.name == settings.label] or labels
    if len({tuple(map(truth_of, column.values)) for column in labels}) > 1:
        flags = " or ".join(f"`--label {column.name}`" for column in labels)
        raise RowsError(f"several columns say whether a response is good, and they differ; choose with {flags}")
    scales = [column.name for column in columns.values() if is_scale(column)]
    roles = {"response": response.name} | ({"label": labels[0].name} if labels else {})
    rated = [name for name in scales if set(words_of(name)) & set(SCORE)] if labels else []
    notes = tuple(f"`{name}` rates responses, too: `--score {name}` pairs them by it" for name in rated[:MOST_SCALES])
    return Single(roles, tuple(scales), notes)


def is_label(column: Column) -> bool:
    """Whether a column says of one response that it is good or bad."""
    found = {str(value).strip().lower() for value in column.filled}
    return (
        is_only(column.words, LABEL, ("is", "if", "was", "human", "response", "answer", "completion", "up", "kto"))
        and column.kind in ("bool", "numeral", "number", "text")
        and 0 < len(found) <= 2
        and all(truth_of(value) is not None for value in found)
    )


def truth_of(value: object) -> bool | None:
    """Whether a label is a good one; None where it says neither."""
    text = str(value).strip().lower()
    return True if text in _GOOD else False if text in _BAD else None


def is_scale(column: Column) -> bool:
    """Whether a column rates a response with a number."""
    return column.kind == "number" and not set(column.words) & set(NO_SCALE + LENGTH_ONLY)
