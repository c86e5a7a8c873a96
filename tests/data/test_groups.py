"""Columns of few values divide a set into groups, each with its counts; columns of ids do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anatomy.data import groups
from anatomy.data.groups import MOST_VALUES, GroupTable, groups_of
from anatomy.data.health import Health
from anatomy.data.health_parts import GroupHealth
from anatomy.data.ingest import measure
from anatomy.errors import RowsError
from anatomy.report.health_text import format_health
from anatomy.settings import RowSettings
from anatomy.types import Pair

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"


def pair(index: int, chosen: str = "long answer", rejected: str = "short", prompt: str = "", **metadata: Any) -> Pair:
    texts = (prompt or f"Question {index}", chosen, rejected)
    return Pair(index, *([{"role": "user", "content": text}] for text in texts), metadata=metadata)


def table_of(*rows: Pair, wanted: tuple[str, ...] = (), status: str = "retained") -> GroupHealth | None:
    table = GroupTable(wanted)
    for row in rows:
        table.add(row, status, (row.metadata.get("chosen_model"), row.metadata.get("rejected_model")))
    return table.found()


@pytest.mark.parametrize(
    ("name", "is_group"),
    [
        ("preference_type", True), ("domain", True), ("subset", True), ("category", True), ("task", True),
        ("language", True), ("prompt-category", True), ("taskType", True), ("Language", True), ("task_id", False),
        ("prompt_id", False), ("source", False), ("typed", False), ("category_score", False), ("domain_url", False),
    ],
)  # fmt: skip
def test_columns_are_groups_by_their_names(name: str, is_group: bool) -> None:
    settings = RowSettings(rows="x")
    assert groups_of({name: "a", "id": 3, "note": "b"}, settings) == ({name: "a"} if is_group else {})


def test_the_user_asks_for_columns_by_name_in_any_spelling() -> None:
    settings = RowSettings(rows="x", group_by="source, Data-Set")  # type: ignore[arg-type]
    assert groups_of({"source": "web", "data_set": 7, "note": "b"}, settings) == {"source": "web", "data_set": "7"}
    assert groups_of({"source": "  ", "domain": "a\n b"}, settings) == {"domain": "a b"}


def test_counts_of_a_group() -> None:
    rows = [
        pair(0, "long", "b", domain="math", chosen_model="m1", rejected_model="m2"),
        pair(1, "b", "long", domain="math", chosen_model="m1", rejected_model="m1"),
        pair(2, "same", "size", domain="math"),
        pair(3, "long", "b", domain="chat"),
    ]
    found = table_of(*rows)
    assert found is not None
    assert list(found.columns["domain"].values) == ["math", "chat"]
    math = found.columns["domain"].values["math"]
    assert (math.rows, math.retained, math.identical, math.ties) == (3, 3, 0, 0)
    assert math.mean_characters == {"chosen": 3.0, "rejected": 3.0}
    assert math.longer_wins.value == 0.5
    assert {name: (sides.chosen, sides.rejected) for name, sides in math.models.items()} == {"m1": (2, 1), "m2": (0, 1)}


def test_rows_that_are_not_retained_are_counted_alone() -> None:
    found = table_of(pair(0, domain="a"), pair(1, domain="a"), status="identical-pair")
    assert found is not None
    group = found.columns["domain"].values["a"]
    assert (group.rows, group.retained, group.identical) == (2, 0, 2)
    assert group.longer_wins.value is None


def test_many_values_are_no_groups() -> None:
    few = table_of(*(pair(index, task=str(index % MOST_VALUES)) for index in range(2 * MOST_VALUES)))
    assert few is not None
    assert len(few.columns["task"].values) == MOST_VALUES
    many = table_of(*(pair(index, task=str(index % (MOST_VALUES + 1))) for index in range(4 * MOST_VALUES)))
    assert many is not None
    assert (many.columns, many.refused) == ({}, {"task": "more than 50 values"})
    ids = table_of(*(pair(index, row=str(index)) for index in range(10)), wanted=("row",))
    assert ids is not None
    assert ids.refused == {"row": "fewer than 2 rows a value"}
    assert table_of(pair(0, note="a")) is None


def test_a_column_that_no_row_has_is_refused() -> None:
    table = GroupTable(("sauce",))
    table.add(pair(0, source="a"), "retained", (None, None))
    with pytest.raises(RowsError, match=r"--group-by sauce: no row has such a column; did you mean `source`\?"):
        table.require_wanted("rows.jsonl")


def test_intervals_by_lots_of_prompts_cover_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 prompts of six equal rows in 64 lots: the interval holds the planted share of 0.7 at its level."""
    monkeypatch.setattr(groups, "LOTS", 64)
    rng = np.random.default_rng(0)
    covered, runs = 0, 150
    rows = {
        longer: [pair(0, *(("long", "b") if longer else ("b", "long")), prompt=f"Q {number}") for number in range(200)]
        for longer in (True, False)
    }
    for _ in range(runs):
        tally = groups.GroupTally()
        for number, longer in enumerate(rng.random(200) < 0.7):
            for _ in range(6):
                tally.add(rows[bool(longer)][number], "retained", (None, None))
        wins = tally.found().longer_wins
        covered += wins.low <= 0.7 <= wins.high  # type: ignore[operator]
    assert 0.9 <= covered / runs <= 0.99


def test_groups_are_in_the_health_of_a_set_and_in_its_text(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Q{i}", "chosen": "long answer", "rejected": "no", "domain": "ab"[i % 2], "source": "s"}
        for i in range(8)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    health = Health.of(measure(RowSettings(rows=str(path), group_by=("source",))))
    assert health.groups is not None
    assert list(health.groups.columns) == ["source", "domain"]
    lines = format_health(health).splitlines()
    assert "By domain:" in lines
    assert lines[lines.index("By source:") + 2].split()[:3] == ["s", "8", "8"]
    with pytest.raises(RowsError, match="--group-by topic: no row has such a column"):
        measure(RowSettings(rows=str(path), group_by=("topic",)))


@pytest.mark.parametrize(
    ("name", "wanted", "column", "values"),
    [
        ("01-dolci-instruct-dpo.jsonl", (), "preference_type",
         {"delta_learning": 7, "gpt_judge": 7, "multi_turn_self_talk": 6}),
        ("09-lmarena-140k.jsonl", (), "language", {"en": 8, "ru": 5, "de": 4}),
        ("31-label-problems.jsonl", ("source",), "source", {"base": 12, "canned": 6, "paraphrase": 5}),
    ],
)  # fmt: skip
def test_groups_of_real_layouts(name: str, wanted: tuple[str, ...], column: str, values: dict[str, int]) -> None:
    if not (CASES / name).is_file():
        pytest.skip(f"needs {CASES / name}")
    found = measure(RowSettings(rows=str(CASES / name), group_by=wanted or None)).groups
    assert found is not None
    assert list(found.columns) == [column]
    assert {value: found.columns[column].values[value].rows for value in values} == values
