"""Where Markdown constructs stand in a text, by a CommonMark parser with tables.

The parser knows the lines of blocks but not the characters of inline marks. Its two rules that make bold and code
spans are wrapped here, so that each mark keeps its place in the inline text; each line of inline text is then found in
the source line it came from. Front matter (``---`` lines around ``key: value`` lines at the very start) is blanked out
first: the parser would read it as a horizontal rule and a heading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, backtick, emphasis
from markdown_it.token import Token

Range = tuple[int, int]
REMEMBERED_CHARS = 20_000
"""Longer texts are parsed anew for each construct: 4,096 of them in memory could be any number of gigabytes."""

BLOCKS = {
    "list_item_open": "list",
    "heading_open": "heading",
    "fence": "code",
    "table_open": "table",
    "hr": "horizontal rule",
}
"""Type of a block token → the construct that there is one of for each."""
CONSTRUCTS = ("bold", *BLOCKS.values())

_FRONT_MATTER = re.compile(
    # atomic: `- :` begins like a list and like a key, and each such line would double the ways to try
    r"\A---[ \t]*(?:\r?\n)[\w-]+[ \t]*:.*\n(?:(?>[\w-]+[ \t]*:|[ \t]+\S|- |#).*\n)*?(?:---|\.\.\.)[ \t]*(?=\r?\n|\Z)"
)
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")


def _placed(rule: Callable[[StateInline, bool], bool]) -> Callable[[StateInline, bool], bool]:
    """The parser's ``rule``, whose tokens remember the characters of the inline text that they stand for."""

    def located(state: StateInline, silent: bool) -> bool:
        start = state.pos
        done = rule(state, silent)
        if done and not silent and state.tokens:
            last = state.tokens[-1]
            if last.type == "code_inline" and not last.meta:
                last.meta["at"] = (start, state.pos)
            elif state.src[start] in "*_":  # a run of marks: one token for each character
                for back in range(1, state.pos - start + 1):
                    state.tokens[-back].meta["at"] = (state.pos - back, state.pos - back + 1)
        return done

    return located


_PARSER = MarkdownIt("commonmark").enable("table")
_PARSER.inline.ruler.at("emphasis", _placed(emphasis.tokenize))
_PARSER.inline.ruler.at("backticks", _placed(backtick))


def markdown_ranges(text: str) -> dict[str, list[Range]]:
    """Character ranges ``[start, stop)`` of each construct in ``text``, markers included, in the order of their starts.

    Ranges of one construct may nest (a list item inside another). Blocks run from their first line's first visible
    character to their last line's last one. Code is fenced blocks and code spans; no mark inside code counts.
    """
    return _remembered(text) if len(text) <= REMEMBERED_CHARS else _found(text)


@lru_cache(maxsize=4096)
def _remembered(text: str) -> dict[str, list[Range]]:
    return _found(text)


def _found(text: str) -> dict[str, list[Range]]:
    source = _FRONT_MATTER.sub(lambda match: re.sub(r"[^\r\n]", " ", match[0]), text).replace("\0", "\ufffd")
    lines = [match.span(1) for match in _LINE.finditer(source)]
    ranges: dict[str, list[Range]] = {name: [] for name in CONSTRUCTS}
    cell_from = 0  # where the rest of the table row begins in the source
    for before, token in pairwise([Token("", "", 0), *_PARSER.parse(source)]):
        if token.map is None:
            continue
        first = lines[token.map[0]][0]
        if token.type in BLOCKS:
            ranges[BLOCKS[token.type]].append(_trimmed(source, first, lines[token.map[1] - 1][1]))
        elif token.type == "tr_open":
            cell_from = first
        elif token.type == "inline" and token.content:
            places = _places(token, source, lines, cell_from if before.type in ("th_open", "td_open") else None)
            cell_from = places[-1] + 1
            for name, (start, stop) in _inline(token.children or []):
                ranges[name].append((places[start], places[stop - 1] + 1))
    return {name: sorted(found) for name, found in ranges.items()}


def _trimmed(source: str, start: int, stop: int) -> Range:
    """The range without white space at its ends."""
    inside = source[start:stop]
    return start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())


def _inline(children: list[Token]) -> Iterator[tuple[str, Range]]:
    """Bold and code spans as ranges of the inline text. A strong token stands at the inner of its two characters."""
    opened: list[int] = []
    for child in children:
        if child.type == "strong_open":
            opened.append(child.meta["at"][0] - 1)
        elif child.type == "strong_close":
            yield "bold", (opened.pop(), child.meta["at"][1] + 1)
        elif child.type == "code_inline":
            yield "code", child.meta["at"]


def _places(token: Token, source: str, lines: list[Range], cell_from: int | None) -> list[int]:
    """The place in the source of each character of an inline token's text.

    Its lines are ends of source lines, up to white space and the closing ``#`` of a heading; a cell (``cell_from``
    given) is the next text of its row, where a backslash stands before each ``|``.
    """
    assert token.map is not None
    places: list[int] = []
    number = token.map[0]
    for content in token.content.split("\n"):
        visible = content.strip()
        form = visible if cell_from is None else visible.replace("|", r"\|")
        while form not in source[slice(*lines[number])]:
            number += 1  # the parser drops leading lines of nothing but odd spaces
        start, stop = lines[number]
        at = source.rindex(form, start, stop) if cell_from is None else source.index(form, cell_from, stop)
        found = [at] * (len(content) - len(content.lstrip()))  # indentation, which the parser may have rewritten
        for character in visible:
            at += source[at] != character  # the backslash before a cell's |
            found.append(at)
            at += 1
        places += found + [at] * (len(content) + 1 - len(found))  # spaces and line break
        number += 1
    return places[:-1]
