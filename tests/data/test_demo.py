"""The demo set holds what its key says: planted concepts where they belong, and nothing by accident."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from anatomy.types import SIDES, Pair

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "anatomy" / "data" / "demo"
ROWS = [json.loads(line) for line in (DEMO / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
KEY = {entry["name"]: entry for entry in json.loads((DEMO / "planted.json").read_text(encoding="utf-8"))}
PAIRS = [Pair(i, row["prompt"], row["chosen"], row["rejected"]) for i, row in enumerate(ROWS)]
PROMPT_IDS = np.array([pair.prompt_id for pair in PAIRS])
HALF = np.array([int(prompt_id, 16) % 2 for prompt_id in PROMPT_IDS])
SOURCE = np.array([row["source"] for row in ROWS])
SOURCES = sorted(set(SOURCE))
PLANTS = [name for name, entry in KEY.items() if entry["direction"] != "none"]


def text(row: dict, side: str) -> str:
    return row[side][-1]["content"]


def found(name: str) -> dict[str, np.ndarray]:
    """Whether the concept's pattern matches, per side, read from the text alone."""
    pattern = re.compile(KEY[name]["pattern"])
    return {side: np.array([bool(pattern.search(text(row, side))) for row in ROWS]) for side in SIDES}


def signed(name: str) -> np.ndarray:
    """Chosen minus rejected presence, in {-1, 0, 1}."""
    hits = found(name)
    return hits["chosen"].astype(float) - hits["rejected"].astype(float)


def clustered_z(x: np.ndarray) -> float:
    """Mean over its standard error clustered by prompt (0 when nothing varies)."""
    _, prompt = np.unique(PROMPT_IDS, return_inverse=True)
    error = np.sqrt((np.bincount(prompt, x - x.mean()) ** 2).sum()) / len(x)
    return x.mean() / error if error else 0.0


def contrast_z(x: np.ndarray, inside: np.ndarray) -> float:
    """Inside minus outside mean over its standard error clustered by prompt."""
    _, prompt = np.unique(PROMPT_IDS, return_inverse=True)
    residual = np.where(inside, (x - x[inside].mean()) / inside.sum(), -(x - x[~inside].mean()) / (~inside).sum())
    return (x[inside].mean() - x[~inside].mean()) / np.sqrt((np.bincount(prompt, residual) ** 2).sum())


def test_counts_domains_and_repeated_prompts():
    assert 400 <= len(ROWS) <= 440
    assert len(SOURCES) >= 6
    assert min(Counter(SOURCE).values()) >= 25
    repeats = Counter(Counter(PROMPT_IDS).values())
    assert set(repeats) == {1, 2, 3}
    assert repeats[2] > 100
    assert (DEMO / "pairs.jsonl").stat().st_size < 1_000_000


def test_rows_are_conversational_pairs_with_some_longer_prompts():
    for row in ROWS:
        assert row["prompt"][-1]["role"] == "user"
        assert [[m["role"] for m in row[side]] for side in SIDES] == [["assistant"], ["assistant"]]
        assert all(m["content"].strip() for part in ("prompt", *SIDES) for m in row[part])
    roles = Counter(tuple(m["role"] for m in row["prompt"]) for row in ROWS)
    assert roles["system", "user"] >= 10
    assert roles["user", "assistant", "user"] >= 10


def test_no_row_or_response_is_repeated():
    assert len({pair.row_id for pair in PAIRS}) == len(ROWS)
    assert len({text(row, side) for row in ROWS for side in SIDES}) == 2 * len(ROWS)


def test_writers_are_balanced_across_labels():
    for source in SOURCES:
        writers = Counter(row["chosen_model"] for row in ROWS if row["source"] == source)
        assert writers["writer-a"] == writers["writer-b"]
    assert all({row["chosen_model"], row["rejected_model"]} == {"writer-a", "writer-b"} for row in ROWS)


@pytest.mark.parametrize("name", KEY)
def test_key_lists_exactly_the_rows_whose_text_carries_the_concept(name):
    for side, hits in found(name).items():
        assert np.flatnonzero(hits).tolist() == KEY[name][f"{side}_rows"]


@pytest.mark.parametrize("name", PLANTS)
def test_plants_are_strong_where_the_key_says(name):
    entry = KEY[name]
    sign = {"chosen": 1, "rejected": -1}[entry["direction"]]
    x = sign * signed(name)
    if entry["context"] == "all":
        assert clustered_z(x) > 6
        assert all(x[source == SOURCE].mean() > 0.3 for source in SOURCES)
        assert all(abs(contrast_z(x, source == SOURCE)) < 1 for source in SOURCES)
    else:
        inside = entry["context"] == SOURCE
        assert inside.sum() >= 60
        assert contrast_z(x, inside) > 6
        assert abs(x[~inside].mean()) < 0.02


def test_decoy_is_exactly_balanced_and_common():
    x = signed("cats")
    for source in SOURCES:
        for half in (0, 1):
            assert x[(source == SOURCE) & (half == HALF)].sum() == 0
        assert 0.25 < found("cats")["chosen"][source == SOURCE].mean() < 0.35
    assert np.abs(x).mean() > 0.3  # it differs within many pairs, so only balance keeps it from being found


@pytest.mark.parametrize("name", PLANTS)
def test_decoy_is_independent_of_every_plant(name):
    decoy, plant = signed("cats"), signed(name)
    assert abs(np.corrcoef(decoy, plant)[0, 1]) < 2.5 / np.sqrt(len(ROWS))
    assert abs(decoy[plant != 0].mean()) < 0.15


@pytest.mark.parametrize(
    "length",
    [len, lambda t: len(t.split()), lambda t: len(re.findall(r"'?\w{1,8}|\*\*|[^\w\s]", t))],
    ids=["characters", "words", "rough-tokens"],
)
def test_length_does_not_give_the_label_away(length):
    lengths = {side: np.array([length(text(row, side)) for row in ROWS]) for side in SIDES}
    assert lengths["chosen"].mean() == pytest.approx(lengths["rejected"].mean(), rel=0.03)
    longer = np.sign(lengths["chosen"] - lengths["rejected"])
    assert abs(longer.mean()) < 0.2  # "the longer one wins" is right on 40 to 60 % of the rows
    for source in SOURCES:
        chosen, rejected = (lengths[side][source == SOURCE].mean() for side in SIDES)
        assert chosen == pytest.approx(rejected, rel=0.05)


def test_generator_reproduces_the_shipped_files(tmp_path):
    command = [sys.executable, "-m", "experiments.demo_data.make", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    for name in ("pairs.jsonl", "planted.json"):
        assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes()
