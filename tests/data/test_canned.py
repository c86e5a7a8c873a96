"""Canned texts are counted by distinct prompt, as a brute-force count has it; chance raises no alarm."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from anatomy.data.canned import CannedTexts, opening, wilson
from anatomy.data.health_parts import CannedHealth
from anatomy.data.ingest import measure
from anatomy.settings import RowSettings
from anatomy.types import Pair

SHARED = Path(__file__).parents[3] / "shared" / "data"
CANNED = "I have considered your request with great care and the answer is plain."


def pair(index: int, prompt: str, chosen: str, rejected: str, **rest: Any) -> Pair:
    messages = [[{"role": role, "content": text}] for role, text in zip("uaa", (prompt, chosen, rejected), strict=True)]
    return Pair(index, *messages, **rest)


def found_of(pairs: list[Pair], **options: int) -> CannedHealth | None:
    table = CannedTexts(**options)
    for one in pairs:
        table.add(one)
    return table.found()


def varied(index: int, prompt: int) -> Pair:
    """A pair of which nothing recurs under other prompts."""
    return pair(index, f"Question {prompt}?", f"good {prompt} {index}", f"bad {prompt} {index}")


def test_a_constant_text_that_wins_is_an_alarm() -> None:
    pairs = [varied(index, index) for index in range(400)]
    for index in range(80):
        pairs[5 * index] = pair(5 * index, f"Question {5 * index}?", CANNED, f"bad {index}")
    found = found_of(pairs)
    assert found is not None
    assert (found.prompts, found.sampled, found.recurring, found.tested, found.alarms) == (400, 1.0, 1, 1, 1)
    (text,) = found.texts
    assert (text.kind, text.text, text.prompts, text.chosen, text.rejected) == ("response", CANNED, 80, 80, 0)
    assert (text.win_rate, text.high, text.alarm) == (1.0, 1.0, True)
    assert text.low == pytest.approx(0.9542, abs=1e-4)
    assert text.index in range(0, 400, 5)


def test_an_answer_of_one_prompt_in_many_rows_is_not_canned() -> None:
    assert found_of([pair(index, f"Q{index % 4}", f"A{index % 4}", f"b{index}") for index in range(400)]) is None


def test_a_text_on_both_sides_of_a_prompt_counts_half_and_decides_nothing() -> None:
    pairs = [pair(2 * n, f"Q{n}", CANNED, f"b{n}") for n in range(6)]
    pairs += [pair(2 * n + 1, f"Q{n}", f"c{n}", CANNED) for n in range(3)]
    found = found_of(pairs)
    assert found is not None
    (text,) = found.texts
    assert (text.prompts, text.chosen, text.rejected, text.both) == (6, 3, 0, 3)
    assert text.win_rate == 0.75
    assert text.p == 0.25


def test_an_opening_is_listed_where_the_responses_differ() -> None:
    pairs = [pair(n, f"Q{n}", f"Certainly! Here is what you asked of me: {n} and {n * n}", f"b{n}") for n in range(20)]
    found = found_of(pairs)
    assert found is not None
    assert [(text.kind, text.text, text.prompts) for text in found.texts] == [
        ("opening", "Certainly! Here is what you asked of me:", 20)
    ]
    assert opening("a " * 300) == "a a a a a a a a"
    assert len(opening("好" * 300)) == 60


def test_texts_that_win_half_of_the_time_make_no_alarm() -> None:
    """Over 200 random sets the level is kept: one of ten texts or more is an alarm in less than 5 % of the sets."""
    draw, alarms = random.Random(3), 0
    for _ in range(200):
        pairs = []
        for n in range(200):
            sides = [f"text {draw.randrange(6)}", f"other {n}"]
            draw.shuffle(sides)
            pairs.append(pair(n, f"Q{n}", *sides))
        found = found_of(pairs)
        assert found is not None
        assert found.tested == 6
        alarms += found.alarms > 0
    assert alarms <= 16  # more have probability 0.03 at 5 %


def test_counts_are_those_of_a_brute_force_count() -> None:
    draw = random.Random(1)
    texts = [f"answer number {n}" for n in range(60)]
    pairs = [
        pair(n, f"Q{draw.randrange(150)}", *draw.choices(texts, weights=[1 / (1 + k) for k in range(60)], k=2))
        for n in range(900)
    ]
    sides: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in pairs:
        for side in ("chosen", "rejected"):
            sides[one.side(side)[0]["content"]][one.prompt[0]["content"]].add(side)
    found = found_of(pairs)
    assert found is not None
    assert found.recurring == sum(len(prompts) >= 5 for prompts in sides.values())
    most = sorted((len(prompts) for prompts in sides.values()), reverse=True)[:10]
    assert sorted((text.prompts for text in found.texts), reverse=True)[:10] == most
    for text in found.texts:
        prompts = sides[text.text].values()
        counts = [sum(stands == wanted for stands in prompts) for wanted in ({"chosen"}, {"rejected"})]
        assert [text.chosen, text.rejected] == counts
        assert text.p == pytest.approx(stats.binomtest(counts[0], sum(counts)).pvalue)


def test_beyond_its_memory_a_sample_of_whole_prompts_is_kept() -> None:
    pairs = [varied(n, n // 2) for n in range(4000)]
    for n in range(0, 4000, 10):
        pairs[n] = pair(n, f"Question {n // 2}?", CANNED, f"bad {n}")
    found = found_of(pairs, most_rows=1000)
    assert found is not None
    assert found.sampled in (1 / 4, 1 / 8)
    assert found.prompts == pytest.approx(2000 * found.sampled, rel=0.2)
    (text,) = found.texts
    assert text.prompts == pytest.approx(400 * found.sampled, rel=0.4)
    assert (text.text, text.win_rate, text.alarm) == (CANNED, 1.0, True)


@pytest.mark.parametrize(("hits", "number"), [(0, 5), (3, 7), (80, 82), (50, 50)])
def test_wilson(hits: int, number: int) -> None:
    interval = stats.binomtest(hits, number).proportion_ci(0.95, method="wilson")
    assert wilson(hits / number, number) == pytest.approx((interval.low, interval.high))


def test_last_turns_are_compared_whatever_stands_before() -> None:
    turns = [{"role": "assistant", "content": "Hm."}, {"role": "user", "content": "Well?"}]
    last = {"role": "assistant", "content": CANNED}
    pairs = [pair(n, f"Q{n}", CANNED, f"b{n}") for n in range(3)]
    pairs += [Pair(n, [{"role": "u", "content": f"Q{n}"}], [*turns, last], [{"role": "a", "content": f"b{n}"}])
              for n in range(3, 6)]  # fmt: skip
    found = found_of(pairs)
    assert found is not None
    assert [(text.kind, text.prompts) for text in found.texts][:1] == [("opening", 6)]


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data is not here")
def test_answers_to_one_prompt_of_alpacaeval_are_not_canned() -> None:
    found = measure(RowSettings(rows=str(SHARED / "alpaca_eval_pairs.parquet"))).canned
    assert found is not None
    assert found.recurring < 10
    assert not [text for text in found.texts if text.kind == "response"]
    assert [text.text for text in found.texts if text.alarm] == ["Unfortunately I do not have enough context to"]
