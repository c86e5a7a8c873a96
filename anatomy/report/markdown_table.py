"""Markdown that shows text as it is: escaping, and the one table that all documents of this repository use."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence

from anatomy.text.visible import visible

_SPECIAL = re.compile(r"([\\`*_\[\]|~@#$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_BLOCK_START = re.compile(r"^(\d+(?=[.)](?:\s|$)))?([-+=.)])")


def escape(text: object) -> str:
    """Text that Markdown shows unchanged in any place, table cells included: no markup, HTML, link or line break."""
    inline = _SPECIAL.sub(r"\\\1", html.escape(visible(str(text)).strip(), quote=False))
    return _BLOCK_START.sub(r"\g<1>\\\2", inline)


def markdown_table(
    header: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[int] = (),
    verbatim: bool = False,
) -> str:
    """A pipe table, without a line break at its end.

    Args:
        header: our own words; they are written as they are.
        rows: cells, which are escaped.
        right: numbers of the columns that are flush right, from 0.
        verbatim: the cells are our own Markdown; only what would end a cell, a pipe or a line break, is escaped.

    Raises:
        ValueError: a row has more or fewer cells than the header.
    """
    rule = ["--:" if place in right else "---" for place in range(len(header))]
    cells = _unbroken if verbatim else escape
    lines = [_line(map(str, header)), _line(rule)]
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row of {len(row)} cells in a table of {len(header)} columns: {row!r}")
        lines.append(_line(map(cells, row)))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _unbroken(cell: object) -> str:
    return " ".join(str(cell).split("\n")).replace("|", "\\|")
