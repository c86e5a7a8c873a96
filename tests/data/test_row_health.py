"""The health table counts what was planted, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anatomy.artifacts import ROWS
from anatomy.data import faults
from anatomy.data.faults import Fault
from anatomy.data.health_parts import SpanLengths
from anatomy.data.ingest import ingest
from anatomy.data.lengths import LengthTable
from anatomy.data.row_health import CheckResult, HealthTable, read_ratings
from anatomy.errors import RowsError
from anatomy.settings import RowSettings
from anatomy.types import Pair

SHARED = Path(__file__).parents[3] / "shared" / "data"


def pair(index: int, prompt: str, chosen: str, rejected: str, **metadata: Any) -> Pair:
    messages = [[{"role": role, "content": text}] for role, text in zip("uaa", (prompt, chosen, rejected), strict=True)]
    return Pair(index, *messages, metadata=metadata)


def table_of(*rows: Pair | Fault) -> tuple[list[str], dict[str, Any]]:
    table = HealthTable("explicit")
    return [table.add(row) for row in rows], table.found().model_dump()


def test_each_reason_is_given_to_its_row() -> None:
    statuses, table = table_of(
        pair(0, "Q", "A", "B"),
        pair(1, "Q", "A", "A"),
        pair(2, "Q", "A", "B", source="another copy"),
        pair(3, "Q", "B", "A"),
        pair(4, "Q", "C", "D", score_chosen=3, score_rejected=3.0),
        Fault(5, "empty-response", "`chosen` has no text"),
        pair(6, "R", "A", "B"),
    )
    expected = ["retained", "identical-pair", "duplicate-row", "opposite-label", "tie", "empty-response", "retained"]
    assert statuses == expected
    assert (table["rows"], table["retained"], table["format"]) == (7, 2, "explicit")
    assert {reason: entry["count"] for reason, entry in table["reasons"].items()} == dict.fromkeys(expected[1:-1], 1)
    assert table["rows"] == table["retained"] + sum(entry["count"] for entry in table["reasons"].values())
    assert table["reasons"]["opposite-label"]["examples"] == [{"index": 3, "excerpt": "Q → B"}]
    assert table["reasons"]["empty-response"]["examples"] == [{"index": 5, "excerpt": "`chosen` has no text"}]


def test_a_removed_row_makes_no_later_row_a_duplicate() -> None:
    """The tie is not retained, so its rated copy is the first usable row, not a duplicate."""
    statuses, _ = table_of(
        pair(0, "Q", "A", "B", score_chosen=1, score_rejected=1),
        pair(1, "Q", "A", "B", rating_chosen=5, rating_rejected=4),
    )
    assert statuses == ["tie", "retained"]


def test_the_same_responses_under_another_prompt_are_another_row() -> None:
    statuses, table = table_of(pair(0, "Q", "A", "B"), pair(1, "R", "A", "B"), pair(2, "S", "B", "A"))
    assert statuses == ["retained"] * 3
    assert table["reasons"] == {}


def test_rating_against_label_is_flagged_and_retained() -> None:
    statuses, table = table_of(
        pair(0, "Q", "A", "B", **{"chosen-rating": 2, "rejected-rating": 10}), pair(1, "R", "A", "B", chosen_rating=2)
    )
    assert statuses == ["retained", "retained"]
    assert table["flags"] == {
        "rating-against-label": {"count": 1, "examples": [{"index": 0, "excerpt": "2 < 10: Q → A"}]}
    }


def test_empty_prompt_is_flagged_and_retained() -> None:
    no_prompt = Pair(0, [], *[[{"role": "assistant", "content": text}] for text in "AB"])
    statuses, table = table_of(no_prompt, pair(1, " ", "A", "B"))
    assert statuses == ["retained", "retained"]
    assert table["flags"]["empty-prompt"]["count"] == 2


@pytest.mark.parametrize(
    "columns",
    ["score_{}", "rating_{}", "{}-rating", "{}_rating", "{}_score", "reward_{}", "{}_avg_rating", "Score_{}"],
)
def test_rating_columns(columns: str) -> None:
    names = columns.format("chosen"), columns.format("rejected")
    assert read_ratings({names[0]: "4.5", names[1]: 2}) == (4.5, 2.0)
    assert read_ratings({names[0]: float("nan"), names[1]: 2}) is None
    assert read_ratings({names[0]: 3}) is None
    assert read_ratings({names[0]: "good", names[1]: "bad"}) is None


def test_examples_are_few_and_short() -> None:
    table = HealthTable("explicit")
    for index in range(10):
        table.add(pair(index, "word " * 500, "same " * 500, "same " * 500))
    entry = table.found().reasons["identical-pair"]
    assert entry.count == 10
    assert [example.index for example in entry.examples] == [0, 1, 2]
    assert all(len(example.excerpt) < 160 for example in entry.examples)


def test_repeated_prompts_and_responses_by_hand() -> None:
    """Prompts Q Q Q R R S: 3 distinct, largest group 3, 5 rows in groups. Responses A×5 B×2 C D E F Z: 7 repeat."""
    _, table = table_of(
        pair(0, "Q", "A", "B"),
        pair(1, "Q", "A", "C"),
        pair(2, "Q", "D", "A"),
        pair(3, "R", "A", "E"),
        pair(4, "S", "F", "Z"),
        pair(5, "R", "A", "B"),
    )
    assert table["prompts"] == {"distinct": 3, "largest_group": 3, "repeated_rows": 5}
    assert table["responses"] == {"distinct": 7, "repeated": 7}


def test_sources_and_models_of_retained_rows() -> None:
    _, table = table_of(
        pair(0, "Q", "A", "B", source="x", chosen_model="m", rejected_model="n"),
        pair(1, "R", "A", "B", source="y", chosen_model="m", rejected_model="m"),
        pair(2, "S", "A", "B", **{"source": "x", "chosen-model": "n"}),
        pair(3, "S", "A", "A", source="z"),
    )
    assert table["sources"] == {"x": 2, "y": 1}
    assert table["models"] == {"m": {"chosen": 2, "rejected": 1}, "n": {"chosen": 1, "rejected": 1}}


def test_a_column_of_different_sources_stays_bounded() -> None:
    table = HealthTable("explicit")
    for index in range(10_050):
        table.add(pair(index, str(index), "A", "B", source=f"https://{index}"))
    assert table.found().sources["(other)"] == 50
    assert len(table.found().sources) == 20


def test_judge_gives_truncation_faults_and_token_lengths() -> None:
    def check(row: Pair) -> CheckResult | None:
        reason = {1: faults.PROMPT_FILLS_WINDOW, 2: faults.IDENTICAL_AFTER_TRUNCATION}.get(row.index)
        return None if row.index == 3 else CheckResult(reason, {"prompt": 11, "chosen": 22, "rejected": 33})

    table = HealthTable("explicit", check)
    rows = [pair(index, f"Q{index}", "A", "B") for index in range(3)]
    assert [table.add(row) for row in rows] == ["retained", "prompt-fills-window", "identical-after-truncation"]
    lengths = table.found().lengths["rejected"]
    assert lengths == SpanLengths(unit="tokens", mean=33, p5=33, p50=33, p95=33, max=33)


def test_lengths_in_characters_without_a_tokeniser() -> None:
    _, table = table_of(pair(0, "Q" * 10, "A" * 20, "B" * 5), pair(1, "R" * 30, "A" * 40, "B" * 5))
    assert table["lengths"]["prompt"] == {"unit": "characters", "mean": 20.0, "p5": 10, "p50": 10, "p95": 30, "max": 30}
    assert table["lengths"]["rejected"]["mean"] == 5


def test_quantiles_against_numpy() -> None:
    """Log-normal lengths up to about a million: within half a percent of numpy's inverted_cdf; mean and max exact."""
    rng = random.Random(0)
    lengths = [int(rng.lognormvariate(7, 2)) for _ in range(20_000)]
    table = LengthTable()
    for length in lengths:
        table.add(length)
    for share in (0.05, 0.5, 0.95, 0.999):
        exact = np.quantile(lengths, share, method="inverted_cdf")
        assert table.quantile(share) == pytest.approx(exact, rel=0.005)
    assert table.max == max(lengths)
    assert table.mean == pytest.approx(np.mean(lengths), rel=1e-12)
    assert len(table._counts) < 1000 + 900 * 4


def test_long_lengths_are_rounded_to_three_digits() -> None:
    for length, kept in {999: 999, 1996: 2000, 1004: 1000, 123_456: 123_000}.items():
        table = LengthTable()
        table.add(length)
        assert (table.quantile(0.5), table.max) == (kept, length)


def test_require_retained() -> None:
    table = HealthTable("explicit")
    with pytest.raises(RowsError, match="set: no rows"):
        table.require_retained("set")
    table.add(pair(0, "Q", "A", "A"))
    with pytest.raises(RowsError, match=r"none of 1 rows can be used; 1 are `identical-pair`"):
        table.require_retained("set")
    table.add(pair(1, "Q", "A", "B"))
    table.require_retained("set")


def test_ingest_writes_every_row_and_tells_progress(write: Callable[[str, Any], Path], tmp_path: Path) -> None:
    path = write("a.csv", "prompt,chosen,rejected\nQ,A,B\nQ,,B\nR,A,B\n")
    seen: list[int] = []
    health = ingest(RowSettings(rows=str(path)), tmp_path / "run", progress=seen.append)
    assert (health.rows, health.retained, sum(seen)) == (3, 2, 3)
    assert (tmp_path / "run" / ROWS).is_file()


def test_alpaca_eval_health(tmp_path: Path) -> None:
    path = SHARED / "alpaca_eval_pairs.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    health = ingest(RowSettings(rows=str(path)), tmp_path)
    assert health.rows == 7260
    assert health.prompts.distinct == 605
    assert health.prompts.largest_group == 12
    assert sum(health.sources.values()) == health.retained
    both = [sides.chosen + sides.rejected for sides in health.models.values()]
    assert sum(both) == 2 * health.retained
    assert max(both) == health.retained, "GPT-4-turbo is on one side of every row"
