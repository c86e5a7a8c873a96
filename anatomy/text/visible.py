"""Dataset text made fit to show: nothing invisible, nothing that a terminal would obey, nothing too long.

Names, excerpts and reports all quote rows. A row may hold escape sequences, right-to-left overrides or lone
surrogates; each of these is written out as an escape before it reaches a file or a screen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_MARKS = {"\n": "↵", "\r": "␍", "\t": "⇥"}
_JOINERS = "\u200d"
"""Zero-width joiner: a format character that emoji are made of."""
EXCERPT_CHARS = 300
LEAD_CHARS = 80
"""Characters of an excerpt shown before the place it is about."""


def visible(text: str) -> str:
    """``text`` on one line with line breaks as ``↵``, tabs as ``⇥`` and other unprintable characters escaped.

    Ordinary spaces stay, unless there is nothing else: then they are shown as ``␣``. The result is encodable as UTF-8.
    """
    shown = "".join(_shown(character) for character in text)
    return shown if shown.strip(" ") else shown.replace(" ", "␣")


def printable(text: str) -> str:
    """``text`` with its line breaks, tabs and spaces; all else that a terminal would obey or hide is escaped.

    This is the boundary of the terminal: whatever is printed passes it.
    """
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(character if character in "\n\t" else _shown(character) for character in text)


def _shown(character: str) -> str:
    if character in _MARKS:
        return _MARKS[character]
    if character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return f"\\u{ord(character):04x}"


def without_surrogates(text: str) -> str:
    """``text`` with lone surrogates, which no UTF-8 file can hold, replaced by ``?``."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def excerpt(pieces: Sequence[str], position: int) -> str:
    """At most 300 characters of the text that ``pieces`` (token strings) make, around token ``position``.

    Starts at a token at most 80 characters before the position; cuts are marked with ``…``.
    """
    start, lead = position, 0
    while start > 0 and lead + len(pieces[start - 1]) <= LEAD_CHARS:
        start -= 1
        lead += len(pieces[start])
    text = "…" * (start > 0) + "".join(pieces[start : start + EXCERPT_CHARS])
    complete = len(text) <= EXCERPT_CHARS and len(pieces) <= start + EXCERPT_CHARS
    return without_surrogates(text if complete else text[: EXCERPT_CHARS - 1] + "…")
