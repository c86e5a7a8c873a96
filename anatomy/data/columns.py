"""The columns of a sample of records: what their names say, what kind of values they hold, and the values of a path."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from anatomy.data.column_names import words_of_path
from anatomy.data.json_stream import TooDeep, check_depth, parse_json

Kind = Literal[
    "text", "numeral", "messages", "texts", "lists", "dicts", "numbers", "number", "bool", "media", "object", "none"
]
"""What the values of a column are: ``numeral`` is a number or a truth value as text, ``object`` a mapping."""
TEXT = ("text", "numeral", "messages")
LISTED = ("texts", "lists", "dicts")
NUMERIC = ("number", "numeral", "bool")
DEEPEST_NAME = 3
LONGEST_NAME = 300
LONGEST_LITERAL = 1 << 20
"""Characters of a cell that is read as Python's repr: what it takes to parse grows with nesting, not safely bounded."""
MEDIA_FILE = re.compile(r"\S+\.(png|jpe?g|gif|webp|bmp|tiff?|wav|mp3|flac|ogg|mp4|avi|mov|webm)", re.IGNORECASE)
MESSAGE = {"role", "content", "from", "value", "parts"}
STRUCTURE = re.compile(r"\s*[\[{]")


@dataclass(frozen=True)
class Column:
    """A column, or a field inside of one: its path, the words of its name, its kind, and values from the sample."""

    name: str
    words: tuple[str, ...]
    kind: Kind
    values: Sequence[Any]

    @property
    def filled(self) -> list[Any]:
        """The values that are something."""
        return [value for value in self.values if kind_of(value) != "none"]


def columns_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """The columns of a sample by name, in order; the fields of an object stand for it (``question.full_text``)."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in _fields(record):
            values.setdefault(name, []).append(value)
    return {name: Column(name, words_of_path(name), _common(found), found) for name, found in values.items()}


def _fields(record: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        name = f"{before}{key}"
        inner = decoded(value) if isinstance(value, str) else value
        if isinstance(inner, dict) and kind_of(inner) == "object" and depth < DEEPEST_NAME:
            yield from _fields(inner, f"{name}.", depth + 1)
        else:
            yield name, value


def _common(values: Sequence[Any]) -> Kind:
    kinds = Counter(kind for kind in map(kind_of, values) if kind != "none")
    if not kinds:
        return "none"
    if {"text", "messages"} <= kinds.keys():
        return "messages" if kinds["messages"] > kinds["text"] else "text"
    return kinds.most_common(1)[0][0]


def kind_of(value: Any) -> Kind:
    """The kind of one value."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return _kind_of_text(value)
    if isinstance(value, bytes) or (isinstance(value, dict) and _is_media(value)):
        return "media"
    if isinstance(value, dict):
        return "messages" if len(MESSAGE & value.keys()) >= 2 or value.keys() == {"content"} else "object"
    return _kind_of_list(value) if isinstance(value, list) else "object"


def _kind_of_text(value: str) -> Kind:
    if not value.strip():
        return "none"
    if len(value) < LONGEST_NAME and MEDIA_FILE.fullmatch(value.strip()):
        return "media"
    if number_in(value) is not None or value.strip().lower() in ("true", "false"):
        return "numeral"
    inner = decoded(value)
    found = kind_of(inner) if isinstance(inner, dict | list) else "text"
    return found if found in ("messages", "texts", "lists", "dicts", "numbers") else "text"


def _kind_of_list(value: list[Any]) -> Kind:
    kinds = {kind_of(item) for item in value} - {"none"}
    if kinds == {"messages"} and all(isinstance(item, dict) for item in value if item is not None):
        return "messages"
    if "media" in kinds:
        return "media"
    if kinds and kinds <= {"number", "bool"}:
        return "numbers"
    if any(isinstance(item, list) for item in value) or (kinds == {"messages"} and isinstance(value[0], str)):
        return "lists"
    return "texts" if any(isinstance(item, str) for item in value) else "dicts"


def _is_media(value: Mapping[str, Any]) -> bool:
    return bool({"bytes", "array"} & value.keys()) or (
        value.keys() <= {"path", "url", "src", "sampling_rate"} and any(map(bool, value.values()))
    )


def decoded(value: Any) -> Any:
    """The list or mapping that a text cell holds as JSON or as Python's repr; the value itself where it holds none."""
    if not isinstance(value, str) or not STRUCTURE.match(value):
        return value
    try:
        found = parse_json(value)
    except TooDeep:
        return value
    except json.JSONDecodeError:
        found = literal(value)
    return found if isinstance(found, dict | list) and found else value


def literal(text: str) -> Any:
    """The value of Python's repr in a text of limited size; None if it is no literal, or a deep one."""
    if len(text) > LONGEST_LITERAL or not re.match(r"\s*[\[{]\s*['\"{\[]", text):
        return None
    try:
        found = ast.literal_eval(text.strip())
        check_depth(found)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError, TooDeep):
        return None
    return found


def number_in(value: Any) -> float | None:
    """The finite number that a value is, or spells; truth values are 1 and 0."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


Getter = Callable[[Mapping[str, Any]], Any]


def getter(path: str) -> Getter:
    """What reads a path from a record: a column's own name first, then its parts between dots.

    ``a+b`` joins the texts that are there by line breaks (of message lists, the messages).
    """
    if "+" in path:
        getters = [getter(part.strip()) for part in path.split("+")]
        return lambda record: _joined_values([get(record) for get in getters])
    parts = path.split(".")

    def get(record: Mapping[str, Any]) -> Any:
        if path in record or len(parts) == 1:
            return record.get(path)
        return _inside(record, parts)

    return get


def _inside(value: Any, parts: Sequence[str]) -> Any:
    """The value under a path; of a list, the item of a number, or the list of what each item has under a name.

    ``-1`` is the last item of a list, ``:-1`` all others.
    """
    for place, part in enumerate(parts):
        value = decoded(value)
        if isinstance(value, list) and part in ("-1", ":-1"):
            value = value[:-1] if part == ":-1" else value[-1] if value else None
        elif isinstance(value, list) and part.isdigit():
            value = value[int(part)] if int(part) < len(value) else None
        elif isinstance(value, list):
            return [_inside(item, parts[place:]) for item in value]
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _joined_values(values: Sequence[Any]) -> Any:
    there = [value for value in values if kind_of(value) != "none"]
    if len(there) < 2:
        return there[0] if there else None
    if all(isinstance(value, str) for value in there) and not any(kind_of(value) == "messages" for value in there):
        return "\n".join(there)
    return there


def long_text(column: Column) -> bool:
    """Whether a column holds prose rather than names: half of its texts have several words and 25 characters."""
    if column.kind == "messages":
        return True
    texts = [value for value in column.filled if isinstance(value, str)]
    return column.kind == "text" and 2 * sum(len(text) >= 25 and text.count(" ") >= 3 for text in texts) > len(texts)


def has_media(value: Any) -> bool:
    """Whether a message list has a part that is no text: an image, sound or film."""
    if not isinstance(value, list):
        return False
    contents = [turn.get("content") for turn in value if isinstance(turn, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(isinstance(part, dict) and part.get("type", "text") != "text" for part in parts)
