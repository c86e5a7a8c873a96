"""Ranges of Markdown against the parser's own counts, on texts made of its delimiters at random."""

import random

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from anatomy.text.markdown_spans import markdown_ranges

PIECES = [
    *"** ** ** **a** __ __ * _ *** ` `` a b\u00a0c [ ](u) ! \\ \\| | é 😀 &amp; <b> . ! #".split(),
    *["\n", "\n\n", " ", "- ", "1. ", "> ", "| ", "# ", " #", "    ", "\t", "~~~\n", "```\n", "---\n", "===\n"],
    *["|---|---|\n", "\r\n", "\r", "\0", "\x0b", "\x0c", "\x1c", "\u2028", "\x85"],
]
TABLE = "| a | b |\n|---|---|\n"
PARSER = MarkdownIt("commonmark").enable("table")


def random_text(seed: int) -> str:
    generator = random.Random(seed)
    body = "".join(generator.choices(PIECES, k=generator.randint(1, 60)))
    return TABLE + body if generator.random() < 0.3 else body


def count(tokens: list[Token], *kinds: str) -> int:
    inline = [child for token in tokens for child in token.children or ()]
    return sum(token.type in kinds for token in [*tokens, *inline])


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_the_parsers(seed: int) -> None:
    bold = 0
    for number in range(800):
        text = random_text(10_000 * seed + number)
        tokens, ranges = PARSER.parse(text), markdown_ranges(text)
        assert len(ranges["bold"]) == count(tokens, "strong_open"), repr(text)
        assert len(ranges["code"]) == count(tokens, "code_inline", "fence"), repr(text)
        assert len(ranges["list"]) == count(tokens, "list_item_open"), repr(text)
        for start, stop in ranges["bold"]:
            assert text[start : start + 2] == text[stop - 2 : stop] in ("**", "__"), repr(text)
        bold += len(ranges["bold"])
    assert bold > 100  # the texts do hold what is tested


@pytest.mark.parametrize("seed", range(20))
def test_planted_bold_is_found_in_its_place(seed: int) -> None:
    """Bold words among plain ones, in paragraphs, quotes, lists, tables and headings."""
    generator = random.Random(seed)
    text, planted = "", []
    for number in range(40):
        start, end = generator.choice([("", "\n\n"), ("> ", "\n\n"), ("- ", "\n"), ("## ", " ##\n"), ("  1. > ", "\n")])
        words = [generator.choice(["plain", "`**code**`", "2 * 3", "a_b_c", f"**bold {number}**"]) for _ in range(6)]
        place = len(text) + len(start)
        for word in words:
            if word.startswith("**"):
                planted.append((place, place + len(word)))
            place += len(word) + 1
        text += start + " ".join(words) + end
    assert len(planted) > 20
    assert markdown_ranges(text)["bold"] == planted


def test_cells_with_the_same_text_are_told_apart() -> None:
    row = "| **x** | \\| **x** |  | **x** |\n"
    text = "> " + row + "> |---|---|---|---|\n> " + row
    every = [place for place in range(len(text)) if text.startswith("**x**", place)]
    assert markdown_ranges(text)["bold"] == [(place, place + 5) for place in every]
