"""Plain text for a terminal of 110 columns: nothing that it would obey, cut and aligned by what is seen on screen."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from anatomy.text.visible import visible

WIDTH = 110


def width(text: str) -> int:
    """Columns that printable ``text`` takes: two for wide (CJK, emoji) characters, none for combining marks."""
    return cell_len(text)


def fit(text: object, columns: int) -> str:
    """``text`` on one line without control characters, cut with ``…`` to at most ``columns``."""
    shown = visible(str(text))
    if width(shown) <= columns:
        return shown
    ends = itertools.accumulate(map(width, shown))
    return "".join(character for character, end in zip(shown, ends, strict=True) if end < columns) + "…"


def wrap(text: str, first: str = "", indent: str = "", columns: int = WIDTH) -> list[str]:
    """``text`` made safe, broken at spaces into lines: the first begins with ``first``, the others with ``indent``."""
    words = visible(text).split()
    lines = [fit(first + words[0], columns)] if words else []
    for word in words[1:]:
        if width(f"{lines[-1]} {word}") <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(fit(indent + word, columns))
    return lines


def table(rows: Iterable[Sequence[object]], right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """Rows as aligned lines; the columns numbered in ``right`` are flush right; the last column is cut to the width."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [" " * (size - width(cell)) + cell if place in right else cell + " " * (size - width(cell))
                  for place, (cell, size) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append(fit(indent + "  ".join(padded).rstrip(), WIDTH))
    return lines


def count(value: object) -> str:
    """A number with thousands separators; ``?`` where it is not known."""
    return f"{value:,}" if isinstance(value, int | float) else "?"


def countable(value: int | None) -> str:
    """How many are not assessed; nothing where it is no matter of counting."""
    return "" if value is None else count(value)


def share(value: object) -> str:
    """A share in percent; ``?`` where it is not known."""
    return f"{value:.1%}" if isinstance(value, int | float) else "?"
