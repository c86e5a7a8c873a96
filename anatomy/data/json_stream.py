"""Read a large JSON document row by row, holding one row at a time.

The standard decoder parses one value out of a growing text window; a value that the window cuts off is tried again
with more text. This keeps a JSON array of any length in bounded memory without another dependency.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from anatomy.errors import RowsError

CHUNK = 1 << 20
LONGEST_ROW = 1 << 26
"""Characters of one row, at most: a row is held in memory, several times over while it is read."""
DEEPEST = 64
"""Levels of lists and objects in one value; what is deeper fits no message, and no later step that walks through it."""
LONGEST_INTEGER = 308
"""Digits of the largest integer that is also a float; longer ones are read as floats, often infinite."""
LONGEST_LITERAL = 16
"""No number prefix, escape or literal that a window cuts off starts further than this from the window's end."""


class TooDeep(Exception):
    """A JSON value is nested deeper than ``DEEPEST`` levels."""

    def __init__(self) -> None:
        super().__init__(f"lists and objects nested more than {DEEPEST} levels deep")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


DECODER = json.JSONDecoder(parse_int=_integer)
BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}"]', re.DOTALL)
"""Whole strings, which may hold brackets, and brackets outside of them; a lone quote opens a string that is cut off."""


def parse_json(text: str) -> Any:
    """The value of a JSON text; integers past ``LONGEST_INTEGER`` digits become floats.

    Raises:
        json.JSONDecodeError: it is not JSON.
        TooDeep: it is nested without reason.
    """
    try:
        value = DECODER.decode(text)
    except RecursionError:
        raise TooDeep from None
    if text.count("[") + text.count("{") > DEEPEST:
        check_depth(value)
    return value


def check_depth(value: object) -> None:
    """Refuse a value whose lists and objects are nested too deeply.

    Raises:
        TooDeep: there are more than ``DEEPEST`` levels.
    """
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise TooDeep


def _checked(value: Any) -> Any:
    """``value``, or the fault of one that is nested too deeply."""
    try:
        check_depth(value)
    except TooDeep as fault:
        return fault
    return value


def _inside(value: object) -> list[object]:
    """The lists and objects directly inside of a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, dict | list)]


def not_utf8(place: str, error: UnicodeDecodeError) -> RowsError:
    """The error for bytes that are not UTF-8 text."""
    byte = error.object[error.start]
    return RowsError(
        f"{place}: not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8, or name it .gz if it is compressed"
    )


class JSONStream:
    """A cursor over JSON text: ``rows()`` yields ``(line, value)`` of each row, :class:`TooDeep` for one that is."""

    def __init__(self, stream: TextIO, name: str, chunk: int = CHUNK) -> None:
        self._stream, self._name, self._chunk = stream, name, chunk
        self._window, self._position, self._ended = "", 0, False
        self._line = 1  # of the window's first character

    def rows(self) -> Iterator[tuple[int, Any]]:
        """Elements of a top-level array, of the array under ``data``, or of top-level objects in sequence."""
        while (opening := self._peek()) != "":
            if opening == "[":
                yield from self._array()
            elif opening == "{":
                yield from self._object()
            else:
                raise self._error(f"expected `[` or `{{`, found {opening!r}")

    def _array(self) -> Iterator[tuple[int, Any]]:
        self._take("[")
        if self._peek() == "]":
            return self._take("]")
        while True:
            self._peek()
            yield self._here(), self._value()
            if self._peek() != ",":
                return self._take("]")
            self._take(",")

    def _object(self) -> Iterator[tuple[int, Any]]:
        """The rows under ``data``, or the object itself, as a row, when it has no such array."""
        line, members, wrapped, deep = self._here(), {}, False, None
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            self._take(":")
            if key == "data" and self._peek() == "[":
                wrapped = True
                yield from self._array()
            else:
                value = members[key] = self._value()
                deep = value if isinstance(value, TooDeep) else deep
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if not wrapped:
            yield line, deep or members

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            while self._position < len(self._window) and self._window[self._position] in " \t\r\n":
                self._position += 1
            if self._position < len(self._window):
                return self._window[self._position]
            if not self._more():
                return ""

    def _take(self, character: str) -> None:
        found = self._peek()
        if found != character:
            raise self._error(f"expected `{character}`, found {repr(found) if found else 'the end of the file'}")
        self._position += 1

    def _value(self) -> Any:
        if self._peek() == "":
            raise self._error("the file ends in the middle of a value")
        while True:
            start = self._position
            try:
                value, end = DECODER.raw_decode(self._window, start)
            except json.JSONDecodeError as error:
                if not self._cut_off(error) or not self._more():
                    self._position += error.pos - start
                    raise self._error(error.msg) from None
            except RecursionError:
                return self._passed_over()
            else:
                near_end = end >= len(self._window) - LONGEST_LITERAL
                if near_end and isinstance(value, int | float) and self._more():
                    continue  # `12`, `12.` or `12e` may be the start of a longer number
                opened = sum(self._window.count(bracket, start, end) for bracket in "[{")
                self._position += end - start
                return _checked(value) if opened > DEEPEST else value

    def _passed_over(self) -> TooDeep:
        """Move behind a value that is too deep to be parsed."""
        while (end := self._closing()) is None:
            if not self._more():
                raise self._error(f"{TooDeep()}, and not closed") from None
        self._position = end
        return TooDeep()

    def _closing(self) -> int | None:
        """The place in the window at which the list or object at the cursor ends; None if that is not in sight."""
        depth = 0
        for mark in BRACKETS.finditer(self._window, self._position):
            if mark[0] == '"':  # a string that the window cuts off
                return None
            depth += (mark[0] in "[{") - (mark[0] in "]}")
            if depth == 0:
                return mark.end()
        return None

    def _cut_off(self, error: json.JSONDecodeError) -> bool:
        """Return whether more text may resolve the error; a real one is reported without reading to the end."""
        return error.msg.startswith("Unterminated") or error.pos >= len(self._window) - LONGEST_LITERAL

    def _more(self) -> bool:
        """Drop what was read and append at least one chunk, and as much as is pending; false at the end."""
        if len(self._window) - self._position > LONGEST_ROW:
            raise self._error(f"a row of more than {LONGEST_ROW:,} characters") from None
        try:
            text = self._stream.read(max(self._chunk, len(self._window) - self._position))
        except UnicodeDecodeError as error:
            raise not_utf8(f"{self._name}, line {self._here()} or later", error) from None
        self._line += self._window.count("\n", 0, self._position)
        self._window, self._position = self._window[self._position :] + text, 0
        return bool(text)

    def _here(self) -> int:
        return self._line + self._window.count("\n", 0, self._position)

    def _error(self, problem: str) -> RowsError:
        return RowsError(
            f"{self._name}, line {self._here()}: invalid JSON ({problem}); correct the file or write it again"
        )
