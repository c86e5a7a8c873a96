"""Every text rule takes linear time: on texts of these sizes a quadratic one would take minutes."""

from __future__ import annotations

import random

import pytest

from anatomy.data.messages import is_messages, split_transcript
from anatomy.data.transcripts import STYLES, style_of, turns_of
from anatomy.text.markdown_spans import CONSTRUCTS, markdown_ranges
from anatomy.text.matchers import MATCHERS
from anatomy.text.ngrams import words
from anatomy.text.visible import excerpt, visible

UNITS = [
    "A-", "A'", "Ab and ", "(Ab & ", "Ab et al. ", "(A", "10.1234/", "arXiv:", "1", "1,", "1.", "http://", "http://(",
    "www.", "www.a(", ".", "it is a ", "known a ", "I am a ", "not a ", " ", "\n", "’", "👍\u200d", "👍\U000e0061", "🇩",
    "#\ufe0f",
]  # fmt: skip
ENDS = ["", "x", "1x", " (2019", "\ud800"]
OF_TEXT = {name: rule for name, rule in MATCHERS.items() if name not in CONSTRUCTS}


@pytest.mark.parametrize("name", [*OF_TEXT, "words", "visible"])
def test_rule_on_repetitive_texts(name):
    rule = {**OF_TEXT, "words": words, "visible": visible}[name]
    for unit in UNITS:
        rule(unit * (100_000 // len(unit)) + ENDS[len(unit) % len(ENDS)])


def test_names_of_citations_are_bounded():
    """A-A-A-… of 600,000 characters: each hyphen is the start of a name that may reach to the end."""
    assert MATCHERS["citation"]("A-" * 300_000) == []
    assert MATCHERS["citation"]("Lee-Smith-O'Hara et al. (2019)") == [(0, 30)]


MARKDOWN = [
    "---\nkey: v\n" + "- :\n" * 20_000,  # not closed: each line could be a key or a list
    "---\nkey: v\n" + "- a:\n # \n" * 10_000 + "x",
    "[" * 20_000, "[a](" * 5_000, "![" * 10_000, "*a_ " * 10_000, "a **" + "b **c " * 5_000, "`" * 20_000,
    "".join("`" * count + " " for count in range(300)), "> " * 10_000, "a" + "|a" * 10_000 + "\na" + "|-" * 10_000,
    "a|" * 5_000 + "\n" + "-|" * 5_000 + "\n" + "x|" * 5_000, "<a " * 10_000, "<!-- a " * 5_000, "&a" * 10_000,
    "- a\n" * 5_000, "".join("  " * depth + "- a\n" for depth in range(100)), "a\n" * 10_000, "\\*" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MARKDOWN)))
def test_markdown_of_repetitive_texts(number):
    markdown_ranges(MARKDOWN[number])


def test_markdown_of_random_marks_has_ranges_inside_the_text():
    marks = [
        "*", "**", "_", "`", "```\n", "#", "# ", "- ", "1. ", "|", "|-|\n", "---\n", "> ", "[", "](", ")", "<", ">",
        "a", " ", "\n", "\n\n", "\t", "\\", "&", "\r\n", "\0", "\u2028", "    ", "~~~\n", "=\n", "key: v\n",
    ]  # fmt: skip
    chance = random.Random(0)
    for _ in range(1500):
        text = "".join(chance.choice(marks) for _ in range(chance.randrange(60)))
        for ranges in markdown_ranges(text).values():
            assert all(0 <= start < stop <= len(text) for start, stop in ranges), repr(text)


def test_long_texts_are_not_remembered():
    from anatomy.text import markdown_spans

    markdown_spans._remembered.cache_clear()
    markdown_ranges("**b** " * 10)
    markdown_ranges("**b** " * 10_000)
    assert markdown_spans._remembered.cache_info().currsize == 1


def test_transcripts_and_messages_are_recognised_in_linear_time():
    for text in (" " * 500_000, "\n\nHuman:" * 50_000, "[" + " " * 500_000, "\n" * 500_000 + "Human:"):
        assert not is_messages(text)
        style_of(text)
    for style in STYLES:
        for text in (
            " " * 500_000 + "x",
            "\n" * 500_000 + "x",
            "###" * 100_000,
            "USER: " * 50_000,
            "<|im_start|>" * 50_000,
        ):
            turns_of(text, style)
    assert len(split_transcript("\n\nHuman: a\n\nAssistant: b" * 20_000, "chosen")) == 40_000


def test_excerpt_of_tokens_without_text():
    assert excerpt([""] * 50_000 + ["end"], 50_000) == "…"
