"""Values of single cells as metadata, tools and template arguments, in JSON's types."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from anatomy.data.column_names import SCORE, words_of
from anatomy.data.columns import DEEPEST_NAME, number_in
from anatomy.data.faults import UNREADABLE
from anatomy.data.json_stream import TooDeep, parse_json
from anatomy.data.messages import RowFault, as_json, describe
from anatomy.data.readers import without_absent
from anatomy.text.visible import without_surrogates


def inner_ratings(item: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, float]]:
    """Ratings in objects inside of a response's (``annotations.helpfulness.Rating``), by their path."""
    for key, value in item.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and depth < DEEPEST_NAME:
            yield from inner_ratings(value, f"{name}.", depth + 1)
        elif before and set(words_of(key)) & set(SCORE) and (number := number_in(value)) is not None:
            yield name, number


def json_column(value: Any, column: str, kind: type) -> Any:
    """A list or mapping, given as such or as JSON text; nothing, or an empty one, is ``None``.

    Null fields of what is given as such are dropped, as everywhere: in columnar formats they say nothing.

    Raises:
        RowFault: it is something else.
    """
    if isinstance(value, str) and value.strip():
        try:
            value = parse_json(value)
        except ValueError:
            raise RowFault(UNREADABLE, f"`{column}` holds {describe(value)} which is not JSON") from None
        except TooDeep as fault:
            raise RowFault(UNREADABLE, f"`{column}` holds {fault}") from None
    else:
        value = without_absent(value)
    if value is None or value in ("", [], {}) or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, kind):
        raise RowFault(UNREADABLE, f"`{column}` holds {describe(value)} where a JSON {kind.__name__} belongs")
    return as_json(value, column)


_NUMBER, _NO_SCALAR = (int, float), (list, dict, bytes)  # a union of types takes four times as long


def is_scalar(value: object) -> bool:
    """Whether a value is a number, a truth value or a text, or the like."""
    return value is not None and not isinstance(value, _NO_SCALAR)


def plain(value: Any) -> Any:
    """A metadata value that JSON and UTF-8 can hold; dates and the like become text."""
    return value if isinstance(value, _NUMBER) else without_surrogates(str(value))
