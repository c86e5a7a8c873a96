"""Counts of chat markup and reasoning over a set, by hand."""

from __future__ import annotations

from anatomy.data.text_marks import TextMarks
from anatomy.types import Pair


def pair(prompt: str, chosen: str, rejected: str, **extra) -> Pair:
    sides = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
    sides[0][0].update(extra)
    return Pair(0, [{"role": "user", "content": prompt}], *sides)


def test_end_tokens_are_counted_by_side():
    marks = TextMarks()
    for row in (
        pair("Which bird?", "A wren.</s>", "A cow."),
        pair("Which bird?", "A wren.</s>", "A cow.</s>"),
        pair("[INST] Which bird? [/INST]", "A wren.", "A cow.<|im_end|>"),
        pair("What does </s> mean?", "The end.", "Nothing."),
    ):
        marks.add(row)
    found = marks.markup()
    assert (found.turns, found.ends, found.only) == (
        1,
        {"prompt": 1, "chosen": 2, "rejected": 2},
        {"chosen": 1, "rejected": 1},
    )
    assert marks.reasoning() is None


def test_reasoning_is_counted_by_side():
    marks = TextMarks()
    for row in (
        pair("Which bird?", "<think>Small.</think>A wren.", "<think></think>A cow."),
        pair("Which bird?", "A wren.", "<think>So big, so big", thinking="Small."),
        pair("Which bird?", "A wren.", "A cow."),
    ):
        marks.add(row)
    found = marks.reasoning()
    assert (found.rows, found.sides, found.unclosed) == (2, {"chosen": 2, "rejected": 1}, 1)
    assert marks.markup() is None
