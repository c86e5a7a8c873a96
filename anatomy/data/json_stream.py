"""Read a large JSON document row by row, holding one row at a time.

The standard decoder parses one value out of a growing text window; a value that the window cuts off is tried again
with more text. This keeps a JSON array of any length in bounded memory without another dependency.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

from anatomy.errors import RowsError

CHUNK = 1 << 20
LONGEST_LITERAL = 16
"""No number prefix, escape or literal that a window cuts off starts further than this from the window's end."""


def not_utf8(place: str, error: UnicodeDecodeError) -> RowsError:
    """The error for bytes that are not UTF-8 text."""
    byte = error.object[error.start]
    return RowsError(
        f"{place}: not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8, or name it .gz if it is compressed"
    )


class JSONStream:
    """A cursor over JSON text: ``rows()`` yields ``(line, value)`` of each row."""

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
        line, members, wrapped = self._here(), {}, False
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            self._take(":")
            if key == "data" and self._peek() == "[":
                wrapped = True
                yield from self._array()
            else:
                members[key] = self._value()
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if not wrapped:
            yield line, members

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
                value, end = json.JSONDecoder().raw_decode(self._window, start)
            except json.JSONDecodeError as error:
                if not self._cut_off(error) or not self._more():
                    self._position += error.pos - start
                    raise self._error(error.msg) from None
            except (RecursionError, ValueError) as error:  # nested without end, or a number of thousands of digits
                raise self._error(str(error)) from None
            else:
                near_end = end >= len(self._window) - LONGEST_LITERAL
                if near_end and isinstance(value, int | float) and self._more():
                    continue  # `12`, `12.` or `12e` may be the start of a longer number
                self._position += end - start
                return value

    def _cut_off(self, error: json.JSONDecodeError) -> bool:
        """Return whether more text may resolve the error; a real one is reported without reading to the end."""
        return error.msg.startswith("Unterminated") or error.pos >= len(self._window) - LONGEST_LITERAL

    def _more(self) -> bool:
        """Drop what was read and append at least one chunk, and as much as is pending; false at the end."""
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
