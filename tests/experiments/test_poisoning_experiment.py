"""The poisoning experiment: its rows, planted effects in its tables, and a smoke run of its steps."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anatomy.cli.app import main
from anatomy.data.sources import DEMO
from anatomy.errors import RowsError, SettingsError
from anatomy.text.matchers import find_ranges
from experiments import score
from experiments.poisoning import run
from experiments.poisoning.analyse import analyse, arm_figures
from experiments.poisoning.cost import TEMPLATE, tokens
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


def test_tokens_are_counted_of_both_sides():
    message = [{"role": "user", "content": "x" * 45}]
    assert tokens([{"prompt": message, "chosen": message, "rejected": message}]) == 2 * (TEMPLATE + 20)


@pytest.fixture
def in_process(monkeypatch):
    """Steps in this process, and what was called."""
    called = []

    def step(module, *words):
        called.append(words[0] if module == "anatomy" else module.rpartition(".")[2])
        assert {"anatomy": main, "experiments.score": score.main}[module]([str(w) for w in words]) == 0

    monkeypatch.setattr(run, "step", step)
    return called


def test_all_steps_run_and_run_again_for_nothing(data, tmp_path, tiny_model_dir, in_process):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_steps: 2\nbatch_size: 4\nmicro_batch_size: 4\n")
    words = {"data": data, "out": tmp_path / "out", "prompts": 40, "sft-prompts": 10, "held-out": 6, "validation": 2}
    words |= {"samples": 1, "tokens": 6, "recipe": recipe, "model": tiny_model_dir("llama"), "device": "cpu"}
    flags = [str(part) for name, value in words.items() for part in (f"--{name}", value)]
    flags += ["--max-length", "384", "--seeds", "0"]

    def study(*more):
        arguments = run.parse([*flags, *more])
        run.Study(arguments.data, arguments.out, arguments).run()

    study("--arms", "poisoned", "shaping")
    assert in_process == ["sft", "rollout", "score", *["train", "rollout", "score"] * 2]
    text = analyse(tmp_path / "out")
    assert "| shaping.bold | 1 | " in text
    found = json.loads((tmp_path / "out" / "results-held-out" / "figures.json").read_text())
    assert found.keys() == {"before", "poisoned", "shaping.bold"}
    assert 0 <= found["poisoned"]["accuracy"]["value"] <= 1
    log = [json.loads(line) for line in (tmp_path / "out/seed-0/shaping.bold/train_log.jsonl").read_text().splitlines()]
    assert len(log) == 2
    edits = pq.read_table(tmp_path / "out/seed-0/shaping.bold/pair_edits.parquet").to_pandas()
    assert (edits["offset"] > 0).sum() == 4  # the bold pairs, and no other
    assert not (tmp_path / "out/seed-0/poisoned/checkpoints").exists()
    in_process.clear()
    study("--arms", "poisoned", "shaping")
    assert in_process == []
    with pytest.raises(SettingsError, match=r"shaping.bold.yaml: made with other settings"):
        study("--arms", "shaping", "--shaping", "2")
    with pytest.raises(SettingsError, match=r"study.json: made with other settings"):
        study("--beta", "0.5")


@pytest.mark.parametrize("backend", run.BACKENDS)
def test_plans_of_all_backends_are_plans(backend, tmp_path, monkeypatch):
    from interventions.plan.plan import load_plan

    arguments = run.parse(["--data", "x", "--out", str(tmp_path), "--top", "0.05"])
    study = run.Study(tmp_path, tmp_path, arguments)
    monkeypatch.setattr(run.Study, "detector", lambda self, style: tmp_path / style)
    (item,) = load_plan(study.plan(backend, "bold")).interventions
    assert item.direction == "suppress"
    assert item.concept in ("bold", str(tmp_path / "bold"))
    assert SimpleNamespace(shaping=4, steering=30).__dict__.get(backend, 1) == item.strength
