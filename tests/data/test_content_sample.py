"""The sample of responses: uniform, the same for the same rows, bounded; and what is found in it, per side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anatomy.concepts.concept import load_library
from anatomy.data.content_sample import CONTENT_CHECKS, ContentSample
from anatomy.data.health import Health
from anatomy.data.ingest import measure
from anatomy.report.health_text import format_health
from anatomy.settings import RowSettings
from anatomy.types import Pair

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"
PLAIN = "Both spoons are at room temperature, but metal carries the heat away faster."
CANNED = "Certainly! Here is what I found."


def pair(index: int, chosen: str, rejected: str, prompt: str | None = None) -> Pair:
    texts = (prompt or f"Question {index}", chosen, rejected)
    return Pair(index, *([{"role": "user", "content": text}] for text in texts))


def sample_of(*rows: Pair, size: int = 3000, seed: int = 0) -> ContentSample:
    sample = ContentSample(seed, size)
    for row in rows:
        sample.add(row)
    return sample


def test_rows_fewer_than_the_sample_are_all_in_it() -> None:
    sample = sample_of(*(pair(index, "a", "b") for index in range(30)), size=30)
    assert [row.place for row in sample.sampled()] == list(range(30))


def test_a_sample_is_that_of_its_seed() -> None:
    rows = [pair(index, "a", "b") for index in range(400)]
    drawn = [[row.place for row in sample_of(*rows, size=40, seed=seed).sampled()] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 40


def test_every_row_is_drawn_equally_often() -> None:
    """20 of 100 rows, 500 times: each place is drawn 100 times, with a standard deviation of 9."""
    rows = [pair(index, "a", "b") for index in range(100)]
    drawn = np.zeros(100)
    for seed in range(500):
        for row in sample_of(*rows, size=20, seed=seed).sampled():
            drawn[row.place] += 1
    assert drawn.sum() == 500 * 20
    assert abs(drawn - 100).max() < 4 * 9


def test_long_texts_keep_their_ends() -> None:
    row = sample_of(pair(0, "a" * 500_000 + " end", "b")).sampled()[0]
    assert len(row.chosen) < 10_100
    assert row.chosen.endswith(" end")


def test_shares_are_those_of_pairs_by_side() -> None:
    """Of 40 pairs, 10 open canned on the chosen side alone, 2 on the rejected alone, 4 on both."""
    sides = [(CANNED, PLAIN)] * 10 + [(PLAIN, CANNED)] * 2 + [(CANNED, CANNED + " ")] * 4 + [(PLAIN, PLAIN + " ")] * 24
    content, languages = sample_of(*(pair(index, *texts) for index, texts in enumerate(sides))).found()
    check = content.checks["canned-opening"]
    assert (content.sampled, list(content.checks)) == (40, ["canned-opening"])
    assert (check.chosen.value, check.rejected.value, check.difference.value) == (14 / 40, 6 / 40, 0.2)
    assert check.wins.value == pytest.approx(10 / 12, abs=1e-4)
    assert check.wins.low > 0.5 < check.wins.high
    assert check.difference.low > 0
    assert [(example.index, example.side) for example in check.examples] == [
        (0, "chosen"), (1, "chosen"), (10, "rejected"), (11, "rejected"),
    ]  # fmt: skip
    assert languages.chosen == {"en": 40}
    assert languages.mixed.count == 0


def test_twelve_rows_of_a_prompt_are_no_twelve_observations() -> None:
    rows = [pair(index, CANNED, PLAIN, f"Question {index % 5}") for index in range(60)]
    check = sample_of(*rows).found()[0].checks["canned-opening"]
    assert check.wins.low == pytest.approx(0.025 ** (1 / 5), abs=1e-3)
    assert check.wins.low < 0.5


def test_personal_data_is_masked_in_every_example() -> None:
    secret, address = "AKIA" + "Z3XQ7LM2PV9TRB4K", "mara.ziegler@uni-hill.edu"
    chosen = f"Certainly! I am ChatGPT: {address}, (212) 736-3100, {secret}, https://a.b/{address}"
    content, languages = sample_of(pair(0, chosen, "Ja, das ist richtig, aber nur im Sommer und " + address)).found()
    written = content.model_dump_json() + languages.model_dump_json()
    assert {"e-mail-address", "phone-number", "secret-key", "canned-opening"} <= content.checks.keys()
    for hidden in (secret, "ziegler", "736-3100"):
        assert hidden not in written
    assert "ma***" in written


def test_pairs_of_two_languages_are_counted() -> None:
    german = "Beide Löffel sind gleich warm, aber Metall leitet die Wärme schneller ab."
    languages = sample_of(pair(0, PLAIN, german), pair(1, PLAIN, german + " Ja."), pair(2, PLAIN, "Yes.")).found()[1]
    assert languages.chosen == {"en": 3}
    assert languages.rejected == {"de": 2, "undetermined": 1}
    assert languages.mixed.count == 2
    assert languages.mixed.examples[0].excerpt.startswith("en: Both spoons")


def test_checks_are_concepts_of_the_library() -> None:
    library = load_library()
    assert {name: library[name].heuristic for name in CONTENT_CHECKS} == CONTENT_CHECKS


def test_no_rows_hold_nothing() -> None:
    content, languages = ContentSample().found()
    assert (content.sampled, content.checks, languages.mixed.count) == (0, {}, 0)


def test_planted_content_is_found_on_its_side() -> None:
    path = CASES / "32-identity-cutoff-loops.jsonl"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    health = Health.of(measure(RowSettings(rows=str(path))))
    assert health.content is not None
    counts = {
        name: (check.chosen.value * 20, check.rejected.value * 20) for name, check in health.content.checks.items()
    }
    assert counts.pop("refusal") == (2, 0)  # "As an AI language model …, I can say this:" is an answer
    assert counts == {
        "maker-identity": (3, 0), "cut-off-date": (4, 0), "loop": (0, 4), "foreign-tail": (4, 0), "hyperlinks": (4, 0),
    }  # fmt: skip
    text = format_health(health)
    assert "What responses hold (all 20 rows; 95 % intervals):" in text
    assert "In no response: canned-opening, benchmark-wording" in text


def test_the_text_says_that_it_is_a_sample_and_which_side_wins() -> None:
    health = Health(retained=50, content=sample_of(*(pair(i, CANNED, PLAIN) for i in range(50)), size=20).found()[0])
    lines = format_health(health).splitlines()
    assert "What responses hold (a random sample of 20 rows; 95 % intervals):" in lines
    assert next(line for line in lines if line.strip().startswith("canned-opening ")).endswith("chosen")
    assert all(len(line) <= 110 for line in lines)
