"""Sets that mix layouts, kinds of files, odd types and faults: every row is read as it was planted, or is a fault."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anatomy.data import judged, side_columns, winners
from anatomy.data.faults import Fault
from anatomy.data.pair_stream import PairStream
from anatomy.settings import RowSettings
from tests.support.planted_layouts import LAYOUTS, Planted, planted

Write = Callable[[str, Any], Path]
EACH, DAMAGED, SEEDS = 40, 3, 60
ODD: list[Any] = [None, "", "   ", 5, 2.5, True, {"a": 1}, [1, 2], [], {}, "[{", '{"role": "user"', "N/A"]
BESIDE: list[Any] = [None, "x", 3, {"deep": {"er": [1]}}, [None], False, "2024-01-01", "[1, 2"]


def is_flat(record: dict[str, Any]) -> bool:
    return not any(isinstance(value, list | dict) for value in record.values())


def damaged(record: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The record with one value of another type; numbers get none that could be meant as one."""
    name = chance.choice(list(record))
    number = isinstance(record[name], int | float)
    choices = [odd for odd in ODD if not (number and isinstance(odd, int | float))]
    return {**record, name: chance.choice(choices)}


def written(name: str, kind: str, layout: str, pairs: list[Planted], chance: random.Random, write: Write) -> set[int]:
    """Write one file of a layout; returns which of its rows are damaged."""
    records = [LAYOUTS[layout][1](pair) for pair in pairs]
    places = set(chance.sample(range(EACH), DAMAGED))
    for place in places:
        if kind in ("parquet", "csv"):
            column = chance.choice(list(records[place]))
            records[place] = {**records[place], column: None}
        else:
            records[place] = damaged(records[place], chance)
    if kind not in ("parquet", "csv"):
        for record in records:
            if chance.random() < 0.5:
                record[f"extra {chance.randrange(3)}"] = chance.choice(BESIDE)
    write(f"set/{name}.{kind}", records)
    return places


def misread(seed: int, names: list[str], write: Write, folder: Path) -> list[str]:
    """What is wrong with how a set of two files is read."""
    chance = random.Random(seed)
    pairs = planted(2 * EACH)
    flat = all(is_flat(LAYOUTS[name][1](pairs[0])) for name in names)
    kind = chance.choice(["jsonl", "json", "jsonl.gz", "parquet", *(["csv"] if flat else [])])
    odd = set[int]()
    for number, layout in enumerate(names):
        part = pairs[number * EACH : (number + 1) * EACH]
        odd |= {number * EACH + place for place in written("ab"[number], kind, layout, part, chance, write)}
    items = list(PairStream(RowSettings(rows=str(folder / "set"))))
    wrong = []
    if sorted(row for item in items for row in item.source_rows) != list(range(2 * EACH)):
        wrong.append("a row is lost or twice there")
    for item in items:
        pair, is_odd = pairs[item.source_rows[0]], item.source_rows[0] in odd
        if isinstance(item, Fault):
            wrong += [] if is_odd else [f"{item.source_rows} is a fault: {item.reason}, {item.detail}"]
            continue
        prompt, chosen, rejected = (
            span[-1]["content"].strip() if span else "" for span in (item.prompt, item.chosen, item.rejected)
        )
        texts = [str(odd).strip() for odd in ODD if isinstance(odd, str) and is_odd]  # odd, but a text like any other
        if chosen not in (pair.good, *texts) or rejected not in (pair.bad, *texts):
            wrong.append(f"{item.source_rows}: {chosen!r} over {rejected!r}")
        if not is_odd and prompt.removeprefix("Question: ").removesuffix("Answer:").strip() != pair.prompt:
            wrong.append(f"{item.source_rows}: {prompt!r} is the prompt")
    return wrong


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_mixed_set_is_read_as_it_was_planted(seed: int, write: Write, tmp_path: Path) -> None:
    names = random.Random(-1 - seed).sample(sorted(LAYOUTS), 2)
    assert misread(seed, names, write, tmp_path) == [], names


def reversed_sign(known: Callable[[bool], Any]) -> Callable[[bool], Any]:
    return lambda positive_is_first: known(not positive_is_first)


def reversed_truth(known: Callable[[Any], bool | None]) -> Callable[[Any], bool | None]:
    return lambda value: None if known(value) is None else not known(value)


def reversed_sides(known: Callable[..., Any]) -> Callable[..., Any]:
    def side(*words: Any) -> Any:
        found, rest = known(*words)
        return {"chosen": "rejected", "rejected": "chosen", "": ""}[found], rest

    return side


@pytest.mark.parametrize(
    ("module", "rule", "change", "layout"),
    [
        (winners, "_signed", reversed_sign, "sign"),
        (winners, "_truth", reversed_truth, "truth"),
        (side_columns, "side_of", reversed_sides, "chosen"),
        (judged, "RANK", lambda _: (), "lists with ranks"),
    ],
)
def test_a_rule_that_is_wrong_is_found(
    module: Any, rule: str, change: Callable[[Any], Any], layout: str, write: Write, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert misread(1, [layout, "HH"], write, tmp_path) == []
    monkeypatch.setattr(module, rule, change(getattr(module, rule)))
    assert misread(1, [layout, "HH"], write, tmp_path)
