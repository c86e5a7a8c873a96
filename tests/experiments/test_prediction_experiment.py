"""The prediction experiment: its split, its analysis on planted validations, and a smoke run of all steps."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats
from support.tiny import save_sae

from anatomy.data.pair_stream import read_pairs
from anatomy.prediction import attribution
from anatomy.rollouts.rollout_set import read_prompts
from anatomy.settings import RowSettings
from experiments.prediction import learning_rates, leave_out, swapped_labels
from experiments.prediction.analyse import KEPT, analyse, beyond
from experiments.prediction.preference_sets import HELD_OUT, SETS, TRAIN, without, write_split, xstest_pairs
from experiments.study import main

STUDY = Path(__file__).parents[2] / "experiments" / "prediction" / "study.yaml"


def test_no_prompt_is_in_both_parts(data, tmp_path):
    write_split(data, "alpaca_eval", tmp_path, pairs=12, held_out=10)
    rows = list(read_pairs(RowSettings(rows=str(tmp_path / TRAIN))))
    held_out = {prompt.prompt_id for prompt in read_prompts(str(tmp_path / HELD_OUT))}
    assert len(rows) == 12
    assert len({row.prompt_id for row in rows}) == 10  # spread: nearly every row a prompt of its own
    assert len(held_out) == 10
    assert not held_out & {row.prompt_id for row in rows}
    original = {row.row_id for row in read_pairs(RowSettings(rows=str(data / SETS["alpaca_eval"].file)))}
    assert {row.row_id for row in rows} <= original


def test_a_set_with_anothers_prompts_trains_on_all_its_pairs(data, tmp_path):
    turns = [{"from": "human", "value": f"How is day {number}?"} for number in range(6)]
    rows = [{"conversations": [turn], **{side: {"from": "gpt", "value": side} for side in ("chosen", "rejected")}}
            for turn in turns]  # fmt: skip
    (data / SETS["sharegpt"].file).write_text(json.dumps(rows))
    write_split(data, "sharegpt", tmp_path, pairs=12, held_out=10)
    write_split(data, "alpaca_eval", tmp_path / "other", pairs=12, held_out=10)
    kept = [row.prompt[-1]["content"] for row in read_pairs(RowSettings(rows=str(tmp_path / TRAIN)))]
    assert sorted(kept) == [turn["value"] for turn in turns]
    assert (tmp_path / HELD_OUT).read_text() == (tmp_path / "other" / HELD_OUT).read_text()


def test_the_more_compliant_completion_is_chosen_and_refusal_of_an_unsafe_prompt(data, tmp_path):
    labels = ["1_full_compliance", "2_full_refusal", "3_partial_refusal"]
    rows = [(0, "figurative", "kill a process?", label) for label in labels]
    rows += [(1, "contrast_figurative", "kill a man?", label) for label in (labels[0], labels[1], labels[1])]
    rows += [(n, "historical", f"what of {n}?", labels[0]) for n in range(2, 8) for _ in range(3)]
    table = dict(zip(("id", "type", "prompt", "final_label"), map(list, zip(*rows, strict=True)), strict=True))
    table |= {"completion": [f" {label}" for *_, label in rows], "model": ["a", "b", "c"] * 8}
    pq.write_table(pa.table(table), data / SETS["xstest"].file)
    found = [(pair.prompt[0]["content"], *(side[0]["content"][:1] for side in (pair.chosen, pair.rejected)))
            for pair in xstest_pairs(data / SETS["xstest"].file) if pair.chosen]  # fmt: skip
    safe, unsafe = [("kill a process?", *sides) for sides in ("12", "13", "32")], [("kill a man?", "2", "1")] * 2
    assert sorted(found) == sorted(safe + unsafe)
    write_split(data, "xstest", tmp_path / "split", pairs=12, held_out=5)
    trained = {row.prompt_id for row in read_pairs(RowSettings(rows=str(tmp_path / "split" / TRAIN)))}
    held_out = {prompt.prompt_id for prompt in read_prompts(str(tmp_path / "split" / HELD_OUT))}
    assert (len(trained), len(held_out), len(trained & held_out)) == (2, 5, 0)


def test_rows_are_left_out_by_id(data, tmp_path):
    write_split(data, "alpaca_eval", tmp_path, pairs=12, held_out=10)
    rows = list(read_pairs(RowSettings(rows=str(tmp_path / TRAIN))))
    gone = {rows[0].row_id, rows[5].row_id}
    without(tmp_path / TRAIN, gone, tmp_path / "less.jsonl", gone)
    left = [row.row_id for row in read_pairs(RowSettings(rows=str(tmp_path / "less.jsonl")))]
    assert left == [row.row_id for place, row in enumerate(rows) if place not in (0, 5)]


def test_agreement_at_equal_length_is_that_of_the_residuals():
    """Against residuals of two regressions; a predictor that is length in other units with noise has none left."""
    rng = np.random.default_rng(0)
    length, own = rng.normal(size=(2, 2000))
    observed = 2 * length + own + rng.normal(size=2000)
    predictions = {"length": length, "tilt": length + own, "disguised": 3 * length + rng.normal(size=2000)}
    keys = {"view": "features", "context": "all", "response": [f"f{place}" for place in range(2000)]}
    parts = [pd.DataFrame({**keys, "predictor": name, "predicted": values, "observed": observed}).sample(
        frac=1, random_state=place) for place, (name, values) in enumerate(predictions.items())]  # fmt: skip
    found = beyond(pd.concat(parts), "length")
    left = [values - np.polyval(np.polyfit(length, values, 1), length) for values in (length + own, observed)]
    assert found["features", "tilt"] == pytest.approx(stats.pearsonr(*left).statistic, abs=1e-9)
    assert found["features", "tilt"] > 0.6
    assert abs(found["features", "disguised"]) < 0.07
    assert ("features", "length") not in found


def tiny_study(data: Path, folder: Path, model: Path) -> list[str]:
    """The words of the study of one set at its smallest, with a tiny model and an SAE of it."""
    (folder / "recipe.yaml").write_text("max_steps: 5\nbatch_size: 4\nmax_length: 128\nlearning_rate: 1.0e-2\n")
    (folder / "audit.yaml").write_text("min_community: 2\nmin_features: 2\nmin_rows: 5\nmin_fires: 4\n")
    values = {"set": "alpaca_eval", "seed": 0, "pairs": 30, "held_out": 12, "tokens": 12, "max_length": 200,
              "device": "cpu", "audit_settings": folder / "audit.yaml", "recipe": folder / "recipe.yaml",
              "data": data, "model": model, "sae": save_sae(folder / "sae", model)}  # fmt: skip
    return [f"{name}={value}" for name, value in values.items()]


def test_all_steps_run_and_run_again_for_nothing(data, tmp_path, tiny_model_dir, in_process, monkeypatch, capsys):
    """The whole study with a tiny model in this process; a second run passes over every step."""
    words = tiny_study(data, tmp_path, tiny_model_dir("llama"))
    out, folder = tmp_path / "out", tmp_path / "out" / "alpaca_eval"

    def study(*more):
        called = len(in_process)
        assert main([str(STUDY), "--out", str(out), *words, *more]) == 0
        return in_process[called:]

    assert study().count("validate") == 2
    monkeypatch.setattr(attribution, "SHARES", (0.1,))
    arms = study("--part", "leave-out", "share=10-percent")
    assert arms.count("validate") == 1  # without the rows behind the cluster, and without as many random ones
    assert arms.count("experiments.score") == 2  # by the models of both arms
    assert study("--part", "swapped").count("validate") == 1
    assert study("--part", "learning-rates", "rate=1e-3,3e-3").count("train") == 2
    assert in_process.count("train") == 6
    assert in_process.count("audit") == 1
    learning_rates.main(["--out", str(out)])
    table = capsys.readouterr().out
    assert all(f"| alpaca_eval | {rate} | 0 | 5 |" in table for rate in ("0.001", "0.003", "1e-05"))
    swapped_labels.main(["--out", str(out)])
    leave_out.main(["compare", "--out", str(out), "--set", "alpaca_eval"])
    compared = capsys.readouterr().out
    assert "| even | " in compared
    rows = [row for row in compared.splitlines() if "minus random | " in row]
    assert ["| likelihood |" in row for row in rows] == [False, True]
    text = analyse(out)
    assert "| alpaca_eval | features | " in text
    table = json.loads((out / "results" / "table.json").read_text())
    row = next(row for row in table["rows"] if row["view"] == "features" and row["predictor"] == "tilt")
    assert row["attainable_sampling"] is not None
    assert row["attainable_training"] is None  # one training seed
    cluster = leave_out.surest(folder / "validate-0" / "shifts.parquet", "gradient")
    arms = {arm["without"]: arm for arm in table["leave_out"]}
    assert {arm["cluster"] for arm in arms.values()} == {cluster}
    assert list(arms) == ["none", "10 % top", "10 % random"]
    assert arms["none"]["predicted, of all rows'"] == 1.0
    assert arms["10 % random"]["less"] is None
    arm = arms["10 % top"]
    traced = json.loads((folder / "trace-surest" / "trace.json").read_text())
    assert traced["cluster"] == cluster
    direction = np.sign(traced["predicted"])
    assert arm["less"] == pytest.approx(direction * (arms["10 % random"]["observed"] - arm["observed"]))
    assert arm["less, prompts: low"] < arm["less"] < arm["less, prompts: high"]
    assert arm["less, trainings: low"] is None  # one training an arm says nothing of trainings
    left = [folder / "trace-surest" / "10-percent" / arm / "train.jsonl" for arm in ("top", "random")]
    assert {len(rows.read_text().splitlines()) for rows in left} == {21 - 2}
    (moved,) = table["trained"]
    assert moved["pairs"] == 12 + 1  # one prompt more than wanted, in case one is too long for the window
    assert moved["low"] < moved["reward accuracy"] <= moved["high"]
    every, kept = (pq.read_table(path) for path in (out / "all-shifts.parquet", out / "results" / "shifts.parquet"))
    assert {"data", "seed", "view", "context", "response", "predicted", "observed", "role"} <= set(every.column_names)
    claimed = every.to_pandas().query("view == 'global' and predictor in @KEPT")
    pd.testing.assert_frame_equal(kept.to_pandas(), claimed.reset_index(drop=True))
    assert study() == []


def test_the_table_in_the_repository_is_small_and_gives_the_published_r():
    """r of `sharpened` on AlpacaEval's clusters, both trainings; and a row a predictor for every shift."""
    path = STUDY.parent / "results" / "shifts.parquet"
    assert path.stat().st_size < 1_000_000
    shifts = pq.read_table(path).to_pandas()
    sizes = shifts.groupby(["data", "seed"])["predictor"].value_counts().unstack()
    assert set(sizes.columns) == set(KEPT)
    assert (sizes.nunique(axis=1) == 1).all()
    drawn = shifts[(shifts["predictor"] == "sharpened") & (shifts["data"] == "alpaca_eval")]
    r = [round(part["predicted"].corr(part["observed"]), 2) for _, part in drawn.groupby("seed")]
    assert r == [0.86, 0.86]
