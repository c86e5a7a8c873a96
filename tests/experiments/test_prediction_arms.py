"""The prediction study's arms against hand-made validations: leave-out curve, swapped labels, means by prompt."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import stats

from anatomy import artifacts
from anatomy.data.pair_stream import read_pairs
from anatomy.settings import RowSettings
from experiments.prediction import leave_out, swapped_labels
from experiments.prediction.by_prompt import against, mean_change
from experiments.prediction.leave_out import curves, intervals, training_noise
from experiments.prediction.preference_sets import TRAIN, without, write_split


def write_recorded(path: Path, table: pa.Table) -> None:
    """A table and its hash, as a command leaves them."""
    artifacts.write_table(path, table)
    artifacts.record_outputs(path.parent, [path.name])


def write_validation(folder: Path, before_GT: np.ndarray, after_GT: np.ndarray) -> None:
    """Validations ``validate-0`` … with means of R3 on every prompt (rows) of every training (columns)."""
    for seed in range(after_GT.shape[1]):
        means = {"prompt_id": [f"p{place}" for place in range(len(after_GT))], "view": "global", "response": "R3",
                 "before": before_GT[:, seed], "after": after_GT[:, seed]}  # fmt: skip
        (folder / f"validate-{seed}").mkdir(parents=True)
        write_recorded(folder / f"validate-{seed}" / "prompt_means.parquet", pa.Table.from_pandas(pd.DataFrame(means)))
        (folder / f"validate-{seed}" / "validation.json").write_text("{}")


def test_the_curve_pools_trainings_and_compares_arms(tmp_path):
    """Intervals against scipy; a planted difference of 0.5 in the direction that was predicted (down)."""
    rng = np.random.default_rng(0)
    start_G = rng.normal(5, 1, 40)

    def arm(mean, trainings):
        return rng.normal(mean, 1, (40, trainings)) + rng.normal(0, 0.1, trainings)

    whole, top, random = arm(-2.0, 3), arm(-1.0, 2), arm(-1.5, 2)
    start_GT = np.repeat(start_G[:, None], 3, axis=1)
    write_validation(tmp_path, start_GT, start_GT + whole)
    trace = tmp_path / "trace-R3"
    write_validation(trace / "5-percent", start_GT[:, :2] + random, start_GT[:, :2] + top)
    others = [{"share": share, "kind": kind, "predicted": -1.0} for share in (0.05, 0.1) for kind in ("top", "random")]
    (trace / "trace.json").write_text(json.dumps({"cluster": "R3", "predicted": -2.0, "without": others}))
    rows = {row["without"]: row for row in curves([tmp_path])}
    assert list(rows) == ["none", "5 % top", "5 % random"]  # 10 % was not trained
    assert rows["none"]["observed"] == pytest.approx(whole.mean())
    by_prompt = stats.ttest_1samp(whole.mean(axis=1), 0).confidence_interval()
    ends = [rows["none"][f"observed, prompts: {end}"] for end in ("low", "high")]
    assert ends == pytest.approx(list(by_prompt))
    assert rows["5 % random"]["observed"] == pytest.approx(random.mean())
    assert rows["5 % top"]["predicted, of all rows'"] == 0.5
    found = rows["5 % top"]
    less = -(random - top).mean(axis=1)  # trainings of one seed
    assert found["less"] == pytest.approx(less.mean())
    ends = [found[f"less, prompts: {end}"] for end in ("low", "high")]
    assert ends == pytest.approx(list(stats.ttest_1samp(less, 0).confidence_interval()))
    spread = np.concatenate([part.mean(axis=0) - part.mean() for part in (whole, top, random)])
    half = stats.t.ppf(0.975, 4) * np.sqrt((spread**2).sum() / 4)  # of two trainings each: (1 + 1) / 2 variances
    assert found["less, trainings: high"] - found["less"] == pytest.approx(half)


def test_arms_compare_predicted_and_observed_over_trainings(data, tmp_path):
    """Two clusters traced, 25 % left out: four arms and all rows; their shifts follow the rows' contributions."""
    folder = tmp_path / "alpaca_eval"
    write_split(data, "alpaca_eval", folder / "rows", 40, 5)
    ids = [row.row_id for row in read_pairs(RowSettings(rows=str(folder / "rows" / TRAIN)))]
    contribution_N = np.arange(1.0, len(ids) + 1)
    start_GT = np.random.default_rng(0).normal(size=(30, 1))
    random = set(ids[:5] + ids[-5:])
    arms = {"trace-R3/25-percent/random": random, "trace-R3/25-percent/top": set(ids[-10:]),
            "trace-R9/25-percent/random": random, "trace-R9/25-percent/top": set(ids[:10])}  # fmt: skip
    left = {}
    for name, gone in arms.items():
        without(folder / "rows" / TRAIN, gone, folder / name / TRAIN, gone)
        left[name] = np.mean([value for row, value in zip(ids, contribution_N, strict=True) if row not in gone])
    shares = {name: value / contribution_N.mean() for name, value in left.items()}
    write_validation(folder, start_GT, start_GT + 2.0)
    for name in ("R3", "R9"):
        trace = folder / f"trace-{name}"
        write_recorded(trace / "contributions.parquet", pa.table({"row_id": ids, "contribution": contribution_N}))
        (trace / "trace.json").write_text(json.dumps({"cluster": name}))
        pair = (2 * shares[f"trace-{name}/25-percent/{arm}"] for arm in ("random", "top"))
        write_validation(trace / "25-percent", *(start_GT + shift for shift in pair))
    rows, fits = leave_out.table(folder)
    assert [row["arm"] for row in rows] == [
        "all rows", "without 25-percent random beside R3", "without 25-percent of R3",
        "without 25-percent random beside R9", "without 25-percent of R9"]  # fmt: skip
    assert [row["rows"] for row in rows] == [len(ids), *[len(ids) - 10] * 4]
    assert [row["R3: predicted"] for row in rows] == pytest.approx([1.0, *shares.values()])
    assert [row["R3: observed"] for row in rows] == pytest.approx([2.0, *(2 * share for share in shares.values())])
    assert fits[0]["arms"] == 5
    assert fits[0]["r"] == pytest.approx(1.0)
    assert fits[0]["slope"] == pytest.approx(1.0)


def test_intervals_over_trainings_hold_the_truth_at_their_rate():
    """1,000 pairs of arms without a difference, of two trainings each among seven arms: 95 % [93.4, 96.4] hold 0."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        arms = [pd.DataFrame(rng.normal(0, 1, (1, 2)) + np.zeros((5, 1))) for _ in range(7)]
        *_, low, high = intervals(arms[0] - arms[1], training_noise(arms), 1.0)
        held += low <= 0 <= high
    assert 934 <= held <= 964


def planted_parts(folder: Path, even: float, seed: int, clusters: int = 60, prompts: int = 150):
    """Into ``folder`` prompt means of a training and its swapped twin: an odd part of variance 1, an even part of
    ``even`` times that, and noise on every prompt as large as ten times the odd part.
    """
    rng = np.random.default_rng(seed)
    odd_M, even_M = rng.normal(0, 1, clusters), rng.normal(0, np.sqrt(even), clusters)
    names = [f"R{m}" for m in range(clusters)]
    before, plus, minus = (
        shift_M + rng.normal(0, 10**0.5, (prompts, clusters)) for shift_M in (0.0, even_M + odd_M, even_M - odd_M)
    )

    def write(out, first, second):
        sides = {"before": first.ravel(), "after": second.ravel()}
        prompt = np.repeat([f"p{g}" for g in range(prompts)], clusters)
        table = pd.DataFrame({"prompt_id": prompt, "view": "global", "response": names * prompts, **sides})
        (out / "validate-0").mkdir(parents=True)
        write_recorded(out / "validate-0" / "prompt_means.parquet", pa.Table.from_pandas(table))

    write(folder, before, plus)
    write(folder / swapped_labels.SWAPPED, minus, plus)
    return odd_M, even_M


@pytest.mark.parametrize("even", [0.0, 0.5])
def test_the_part_that_labels_turn_is_told_from_the_rest(even, tmp_path):
    odd_M, even_M = planted_parts(tmp_path, even, seed=0)
    names, means = swapped_labels.parts(tmp_path, "validate-0")
    rows = {row["part"]: row for row in swapped_labels.spread(means)}
    assert rows["whole"]["share"] == 1.0
    for name, shift_M in (("odd", odd_M), ("even", even_M)):
        truth = shift_M.var() / (odd_M + even_M).var()
        assert rows[name]["low"] - 0.02 < truth < rows[name]["high"] + 0.02
    predicted = {name: odd_M[int(name[1:])] for name in names}
    shifts = pd.DataFrame({"view": "global", "context": "all", "predictor": "sgd", "response": list(predicted),
                           "predicted": list(predicted.values())})  # fmt: skip
    (row,), numbers = swapped_labels.table(names, means, shifts)
    np.testing.assert_allclose(numbers["odd"] + numbers["even"], numbers["whole"])
    assert row["odd: r"] == pytest.approx(rows["odd"]["noise allows r"], abs=0.03)
    assert row["odd: low"] < row["odd: r"] < row["odd: high"]
    assert abs(row["even: r"]) < 0.3
    assert row["whole: r"] == pytest.approx(np.sqrt(1 / (1 + even)), abs=0.12)


def test_a_prediction_is_held_against_the_mean_over_trainings_and_prompts(tmp_path):
    """r by numpy over the prompts that both trainings have; the truth reaches what noise allows, noise nothing."""
    rng = np.random.default_rng(2)
    shift_M, names = rng.normal(0, 1, 50), [f"R{m}" for m in range(50)]
    for seed in (0, 1):
        values = shift_M + rng.normal(0, 6, (100, 50))
        ids = [f"p{g}" for g in range(seed, 100 + seed)]
        table = pd.DataFrame({"prompt_id": np.repeat(ids, 50), "view": "global", "response": names * 100,
                              "before": 1.0, "after": 1.0 + values.ravel()})  # fmt: skip
        (tmp_path / f"validate-{seed}").mkdir()
        write_recorded(tmp_path / f"validate-{seed}/prompt_means.parquet", pa.Table.from_pandas(table))
    observed = mean_change([tmp_path / "validate-0", tmp_path / "validate-1"])
    assert observed.shape == (99, 50)
    known_M = shift_M[[int(name[1:]) for name in observed.columns]]
    found = against(known_M, observed.to_numpy())
    assert found["r"] == pytest.approx(np.corrcoef(known_M, observed.mean())[0, 1])
    assert found["low"] < found["noise allows r"] < found["high"]
    assert found["r"] == pytest.approx(found["noise allows r"], abs=0.05)
    nothing = [against(rng.normal(size=50), observed.to_numpy()) for _ in range(200)]
    assert abs(np.mean([one["r"] for one in nothing])) < 0.04


def test_the_curve_is_of_a_large_prediction_that_came_true(tmp_path):
    """R0 to R11 by falling prediction: R1 went the other way, R2 unsurely, R3 surely, R11 is not among ten."""
    names = [f"R{place}" for place in range(12)]
    predicted = [(-1) ** place * (12.0 - place) for place in range(12)]
    observed = np.array([0.1, 3, 2, -2, *[0.0] * 7, -9])
    width = np.array([1, 1, 4, 1, *[1.0] * 7, 1])
    columns = {"predictor": "gradient", "view": "global", "response": names, "predicted": predicted,
               "observed": observed, "observed_low": observed - width, "observed_high": observed + width}  # fmt: skip
    table = pd.DataFrame(columns)
    others = table.assign(view="features", observed=99.0), table.assign(predictor="tilt", observed=99.0)
    write_recorded(tmp_path / "shifts.parquet", pa.Table.from_pandas(pd.concat([table, *others])))
    assert leave_out.surest(tmp_path / "shifts.parquet", "gradient") == "R3"
