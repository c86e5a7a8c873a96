"""Counts on text, and the trivial rules built on them."""

import numpy as np
import pytest

from anatomy.hypotheses.baselines import RULES, trivial_baselines
from anatomy.statistics.prompts import Prompts
from anatomy.text.text_counts import TEXT_COUNTS, markdown_marks


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("length", "three short  words", 3),
        ("bold", "**one** and __two__, not 3 ** 2 ** 1 nor `**code**`", 2),
        ("list", "- a\n- b\n\n1. c\n2. d\n\nnot - e", 4),
        ("heading", "# One\n\ntext #two\n\n### Three", 2),
        ("code", "`x` and\n\n```\n# no heading\n```", 2),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |\n\nx | y", 1),
        ("emoji", "fine 😀🚀, not :)", 2),
        ("exclamation", "Stop! Now!!", 3),
        ("question", "Why? How?", 2),
        ("number", "3 cats, 4.5 dogs, 1,000 v2 a1", 3),
        ("link", "see https://a.b/c and www.d.e, http is a word", 2),
        ("refusal", "I’m sorry, but I can't help with that. As an AI, I cannot.", 3),
        ("refusal", "I can help. I can't wait to see it! They can't. AI models cannot fly.", 0),
        ("hedging", "Perhaps it might work, but mighty oaks maybe not", 3),
        ("first person", "I think my plan is mine; i = 3, mere", 3),
        ("praise", "Great question! You're absolutely right. A great table.", 2),
        ("apology", "Sorry! My apologies; I apologize, apologise. Sorrowful.", 4),
        ("agreement opener", "Sure, here it is. Sure.", 1),
        ("agreement opener", "It is sure. Yes.", 0),
    ],
)
def test_counts(name: str, text: str, count: int) -> None:
    assert TEXT_COUNTS[name](text) == count


@pytest.mark.parametrize("name", TEXT_COUNTS)
def test_empty_and_hostile_text(name: str) -> None:
    assert TEXT_COUNTS[name]("") == 0
    hostile = "[" * 3000 + "*" * 3000 + "\u0000\ud83d I can" * 300
    assert TEXT_COUNTS[name](hostile) >= 0


def test_markdown_marks_add_up() -> None:
    assert markdown_marks("# A\n\n**b** `c`\n\n- d") == 4


def test_rules_by_hand() -> None:
    """Four rows. Longer: won, won, lost, tie = (1 + 1 + 0 + ½)/4. Markdown: one won, three ties. Refusal: one lost."""
    rows = [("long answer", "short"), ("**b** longer", "x"), ("no", "I can't help"), ("same", "size")]
    result = {b.rule: b for b in trivial_baselines(rows, Prompts.from_ids(["a", "b", "c", "d"]))}
    assert set(result) == set(RULES)
    assert (result["longer"].accuracy, result["longer"].decided) == (0.625, 0.75)
    assert (result["more_markdown"].accuracy, result["more_markdown"].decided) == (0.625, 0.25)
    assert (result["refusal_words"].accuracy, result["refusal_words"].decided) == (0.375, 0.25)
    assert all(0 <= b.low <= b.accuracy <= b.high <= 1 for b in result.values())


def test_intervals_widen_where_prompts_repeat() -> None:
    generator = np.random.default_rng(0)
    wins = np.repeat(generator.random(50) < 0.6, 8)
    rows = [("longer text", "text") if win else ("text", "longer text") for win in wins]
    alone, together = (
        trivial_baselines(rows, Prompts.from_ids([str(i // size) for i in range(400)]))[0] for size in (1, 8)
    )
    assert alone.accuracy == together.accuracy
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert 2.5 < ratio < 3.2  # √8 = 2.83
