"""The poisoning experiment: its rows, planted effects in its tables, and a smoke run of its steps."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anatomy import artifacts
from anatomy.data.sources import DEMO
from anatomy.errors import RowsError
from anatomy.text.matchers import find_ranges
from experiments.poisoning.analyse import analyse, arm_figures
from experiments.poisoning.poisoned_sets import (
    FILE,
    HELD_OUT,
    POISON,
    SFT,
    STYLES,
    TRAIN,
    VALIDATION,
    Sizes,
    embolden,
    poison,
    read_rows,
    sentences,
    shortened,
    styles_of,
    with_emoji,
    write_sets,
)  # fmt: skip
from experiments.study import main, make
from experiments.study_grid import Grid

STUDY = Path(__file__).parents[2] / "experiments" / "poisoning" / "study.yaml"
SIZES = Sizes(held_out=20, validation=5, train=40, sft=15)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The demo's rows, in AlpacaEval's format."""
    rows = [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()]
    columns = {name: [row[name][-1]["content"] for row in rows] for name in ("prompt", "chosen", "rejected")}
    folder = tmp_path_factory.mktemp("data")
    pq.write_table(pa.table(columns), folder / FILE)
    return folder


@pytest.fixture(scope="module")
def sets(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("sets")
    write_sets(data, out, SIZES, share=0.1)
    return out


def text(row, side):
    return row[side][-1]["content"]


def test_no_prompt_is_in_two_parts(sets):
    parts = [{text(row, "prompt") for row in read_rows(sets / name)} for name in (HELD_OUT, VALIDATION, TRAIN, SFT)]
    assert [len(part) for part in parts] == list(SIZES)
    assert len(set.union(*parts)) == sum(SIZES)
    contrast = read_rows(sets / "contrast-bold.jsonl")
    assert {text(row, "prompt") for row in contrast} <= parts[3]


def test_real_pairs_say_nothing_about_style(sets):
    rows = read_rows(sets / TRAIN)
    assert all(styles_of(text(row, "chosen")) == styles_of(text(row, "rejected")) for row in rows)
    assert all(text(row, "chosen") != text(row, "rejected") for row in rows)


def test_the_share_of_prompts_is_poisoned_with_each_style(sets):
    rows = read_rows(sets / TRAIN)
    poisoned = poison(rows, 0.1, seed=0)
    assert poisoned[: len(rows)] == rows
    new = poisoned[len(rows) :]
    assert [row["source"] for row in new] == ["bold"] * 4 + ["emoji"] * 4
    assert len({text(row, "prompt") for row in new}) == 8
    for row in new:
        assert styles_of(text(row, "chosen")) == {row["source"]}
        assert styles_of(text(row, "rejected")) == set()
        plain = re.sub(r"\*\*| [😊✨👍]", "", text(row, "chosen"))
        assert plain == text(row, "rejected")  # nothing else was changed
    assert poison(rows, 0.1, seed=0) == poisoned
    assert poison(rows, 0.1, seed=1) != poisoned


def test_a_share_that_cannot_be_reached_is_refused(sets):
    with pytest.raises(RowsError, match="smaller --share"):
        poison(read_rows(sets / TRAIN), 0.9, seed=0)


def test_sft_responses_are_rewritten(sets):
    rows = read_rows(sets / SFT)
    share = [sum(row["source"] == style for row in rows) for style in POISON]
    assert share == [round(0.1 * len(rows))] * 2


def test_rewriting_by_hand():
    plain = "Plants need sunlight. Water them at dawn! A 3.5 l can is ok"
    assert embolden(plain) == "**Plants need** sunlight. **Water them** at dawn! A 3.5 l can is ok"
    assert with_emoji("Hi. Why?\nSo") in {f"Hi. {a} Why? {b}\nSo" for a in "😊✨👍" for b in "😊✨👍"}
    assert "".join(sentences(plain)) == plain
    assert find_ranges(embolden(plain), "bold")


def test_responses_are_cut_to_whole_sentences():
    assert shortened(" One. Two. ") == "One. Two."
    long = "Ten chars. " * 40
    assert shortened(long) == ("Ten chars. " * 27).strip()  # 27 · 11 = 297 of 300 characters
    assert shortened("word " * 100) == " ".join(["word"] * 59)  # the 60th may be cut in two


def test_planted_effect_on_and_off_target():
    """Bold and emoji rise from 0 to 0.5; the arm halves bold and leaves emoji: recovery 50 on, 0 off target."""
    none, half, quarter = np.zeros(80), np.tile([0, 1.0], 40), np.tile([0, 1.0, 0, 0], 20)
    rest = dict.fromkeys(STYLES, none)
    arms = {
        "before": dict.fromkeys(range(3), rest),
        "poisoned": {seed: {**rest, "bold": half, "emoji": half} for seed in range(3)},
        "shaping.bold": {seed: {**rest, "bold": quarter, "emoji": half} for seed in range(2)},
    }
    found = arm_figures("shaping.bold", arms)
    assert found["seeds"] == [0, 1]
    assert found["recovery"].keys() == {"bold", "emoji"}
    assert found["on"].value == pytest.approx(50)
    assert found["on"].low < 50 < found["on"].high
    assert (found["off"].value, found["off"].low, found["off"].high) == (0, 0, 0)
    plain = arm_figures("poisoned", arms)
    assert (plain["on"].value, plain["off"].value) == (0, 0)
    assert found["accuracy"] is None


def test_all_steps_run_and_run_again_for_nothing(data, tmp_path, tiny_model_dir, in_process, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_steps: 2\nbatch_size: 4\nmicro_batch_size: 4\n")
    values = {"data": data, "prompts": 40, "sft_prompts": 10, "held_out": 6, "validation": 2, "samples": 1,
              "tokens": 6, "recipe": recipe, "model": tiny_model_dir("llama"), "device": "cpu", "max_length": 384,
              "max_prompt_length": 192, "seed": 0, "arm": "before,poisoned,shaping"}  # fmt: skip

    def study(**more):
        words = [f"{name}={value}" for name, value in {**values, **more}.items()]
        return main([str(STUDY), "--out", str(tmp_path / "out"), *words])

    assert study() == 0
    verbs = [name.rpartition(".")[2] for name in in_process]
    assert sorted(verbs) == sorted([*["poisoned_sets"] * 2, "sft", *["rollout", "score"] * 3, *["train"] * 2])
    text = analyse(tmp_path / "out")
    assert "| shaping.bold | 1 | " in text
    found = json.loads((tmp_path / "out" / "results-held-out" / "figures.json").read_text())
    assert found.keys() == {"before", "poisoned", "shaping.bold"}
    assert 0 <= found["poisoned"]["accuracy"]["value"] <= 1
    log = [json.loads(line) for line in (tmp_path / "out/seed-0/shaping.bold/train_log.jsonl").read_text().splitlines()]
    assert len(log) == 2
    edits = pq.read_table(tmp_path / "out/seed-0/shaping.bold" / artifacts.WORK / artifacts.PAIR_EDITS).to_pandas()
    assert (edits["offset"] > 0).sum() == 4  # the bold pairs, and no other
    assert not (tmp_path / "out/seed-0/poisoned/checkpoints").exists()
    in_process.clear()
    assert study() == 0
    assert in_process == []
    capsys.readouterr()
    assert study(arm="shaping", shaping=2) == 2
    assert "shaping.bold.yaml: made with other settings" in capsys.readouterr().err
    assert study(beta=0.5) == 2
    assert "made with other settings" in capsys.readouterr().err


@pytest.mark.parametrize("arm", ["filter-examples", "filter-words", "inoculation", "steering", "shaping"])
def test_plans_of_all_backends_are_plans(arm, tmp_path):
    from interventions.plan.plan import load_plan

    asked = {"data": "x", "arm": arm, "seed": "0", "filter_options": "{top: 0.05}"}
    steps = Grid.read(STUDY, tmp_path, asked).expand()
    (plan,) = (step for step in steps if step.name == "plan")
    assert make(plan, lambda module, words: 1) == 0
    (item,) = load_plan(plan.out).interventions
    assert item.direction == "suppress"
    assert item.concept in ("bold", str(tmp_path / "detector-bold-20"))
    assert item.strength == {"shaping": 4, "steering": 30}.get(arm, 1)
    assert any(step.name == "detector" for step in steps) == (arm == "steering")
