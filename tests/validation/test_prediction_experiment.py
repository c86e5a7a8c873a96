"""The prediction experiment: its split, its analysis on planted validations, and a smoke run of all steps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from planted_pool import Policy
from scipy import stats
from tiny import save_sae

from anatomy.cli import main
from anatomy.data.load import read_pairs
from anatomy.settings import RowSettings
from anatomy.validation import trace
from anatomy.validation.predictors import Tilt, predict
from anatomy.validation.rollouts import read_prompts
from experiments import score
from experiments.prediction import arms as compare_arms
from experiments.prediction import kernels, labels, pairs, rates, residuals, run
from experiments.prediction.analyse import analyse, beyond, curves, intervals, training_noise
from experiments.prediction.by_prompt import against, mean_change
from experiments.prediction.limits import Own, limits
from experiments.prediction.reading import Validated
from experiments.prediction.sets import HELD_OUT, SETS, TRAIN, without, write_split, xstest_pairs
from experiments.step import Steps


@pytest.fixture
def data(tmp_path):
    """AlpacaEval's format: 20 prompts, three pairs each."""
    prompts = [f"Why is number {number} good?" for number in range(20) for _ in range(3)]
    sides = {name: [f"{word} {place} is good" for place in range(60)] for name, word in
             (("chosen", "Because **it**"), ("rejected", "No, it"))}  # fmt: skip
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"prompt": prompts, **sides}), tmp_path / "data" / SETS["alpaca_eval"].file)
    return tmp_path / "data"


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
    told = [(pair.prompt[0]["content"], *(side[0]["content"][:1] for side in (pair.chosen, pair.rejected)))
            for pair in xstest_pairs(data / SETS["xstest"].file) if pair.chosen]  # fmt: skip
    safe, unsafe = [("kill a process?", *sides) for sides in ("12", "13", "32")], [("kill a man?", "2", "1")] * 2
    assert sorted(told) == sorted(safe + unsafe)
    write_split(data, "xstest", tmp_path / "split", pairs=12, held_out=5)
    trained = {row.prompt_id for row in read_pairs(RowSettings(rows=str(tmp_path / "split" / TRAIN)))}
    held_out = {prompt.prompt_id for prompt in read_prompts(str(tmp_path / "split" / HELD_OUT))}
    assert (len(trained), len(held_out), len(trained & held_out)) == (2, 5, 0)


def test_rows_are_left_out_by_id(data, tmp_path):
    write_split(data, "alpaca_eval", tmp_path, pairs=12, held_out=10)
    rows = list(read_pairs(RowSettings(rows=str(tmp_path / TRAIN))))
    without(tmp_path / TRAIN, {rows[0].row_id, rows[5].row_id}, tmp_path / "less.jsonl")
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


def test_limits_tell_features_labels_and_noise_apart():
    """Δ is half linear in features; one reward is that half with noise, another knows nothing."""
    rng = np.random.default_rng(0)
    code_J = np.repeat(np.arange(400), 5)
    phi_JF = rng.poisson(1.0, (2000, 12)) / 10
    unseen_J = rng.normal(size=2000)
    linear_J = phi_JF @ rng.normal(size=12)
    linear_J /= linear_J.std()
    delta_J = linear_J + unseen_J + 10 * rng.normal(size=400)[code_J]  # what all responses to a prompt share
    readouts = {"features": phi_JF, "global": np.column_stack([phi_JF[:, :6], unseen_J, unseen_J + phi_JF[:, 7]])}
    observed = {
        view: np.array([np.cov(column, linear_J + unseen_J)[0, 1] for column in values_JM.T])
        for view, values_JM in readouts.items()
    }
    own = Own(sp.csr_array(phi_JF), code_J, readouts, delta_J)
    rewards = {"labels": linear_J, "nothing": rng.normal(size=2000)}
    rows = {row[0]: row for row in limits(own, rewards, observed)}
    alone, clusters, features, noise = 1, 2, 4, 5  # places in HEADER
    assert rows["Δ"][alone] == pytest.approx(1)
    assert rows["Δ"][clusters] > 0.98
    assert rows["Δ on features"][alone] == pytest.approx(0.5**0.5, abs=0.04)
    assert rows["Δ on features"][features] > 0.98
    assert rows["Δ on features"][clusters] < 0.5  # what no feature says moves two of its columns
    assert rows["labels"][features] > 0.98
    assert rows["labels"][noise] > 0.95
    assert abs(rows["nothing"][alone]) < 0.07
    assert rows["nothing"][noise] < 0.9


def test_agreement_grows_with_the_pairs_that_a_prediction_is_made_of():
    """A known tilt: r of few pairs is lower and uncertain; the last row is the prediction from all of them."""
    policy = Policy(size=800, features=60, seed=7)
    data, own = policy.pairs(1000, seed=8), policy.pairs(400, seed=9)
    labels_F, kept_F = np.arange(60) % 9, np.ones(60, bool)
    moved_F = policy.tilted_shift(0.05)
    observed = {"features": moved_F, "global": np.array([moved_F[labels_F == m].mean() for m in range(1, 9)])}
    found = Validated(data, own, labels_F, kept_F, 2, observed)
    rows = {row[0]: dict(zip(pairs.HEADER, row, strict=True)) for row in pairs.by_pairs(found, (40, 5000), draws=10)}
    assert list(rows) == [40, 1000]
    mean, least = "`sgd`, features: mean r", "`sgd`, features: least"
    assert rows[40][least] < rows[40][mean] < rows[1000][mean]
    assert rows[1000][mean] == rows[1000][least]
    fitted = Tilt(kind="sgd").fit(data)
    whole = predict(fitted, own, found.readout(own, "features"), np.ones(400, bool))
    assert rows[1000][mean] == pytest.approx(np.corrcoef(whole, moved_F)[0, 1])
    assert rows[1000]["`gradient`, clusters: mean r"] > 0.7


def tiny_plan(data: Path, folder: Path, model: Path) -> run.Plan:
    """The plan of one set at its smallest, with a tiny model and an SAE of it."""
    sae = save_sae(folder / "sae", model)
    (folder / "recipe.yaml").write_text("max_steps: 2\nbatch_size: 4\nmax_length: 128\nlearning_rate: 1.0e-2\n")
    (folder / "audit.yaml").write_text("min_community: 2\nmin_features: 2\nmin_rows: 5\nmin_fires: 4\n")
    words = (
        "--sets alpaca_eval --pairs 30 --held-out 12 --tokens 12 --max-length 200 --train-seeds 0 --device cpu".split()
    )
    paths = {"audit": folder / "audit.yaml", "data": data, "out": folder / "out", "recipe": folder / "recipe.yaml",
             "model": model, "sae": sae}  # fmt: skip
    words += [f"--{name}={path}" for name, path in paths.items()]
    return run.Plan(data, folder / "out", run.parse(words))


def test_all_steps_run_and_run_again_for_nothing(data, tmp_path, tiny_model_dir, monkeypatch, capsys):
    """The whole plan with a tiny model in this process; a second run passes over every step."""
    plan = tiny_plan(data, tmp_path, tiny_model_dir("llama"))
    called = []

    class InProcess(Steps):
        def __call__(self, module, *arguments):
            called.append(arguments[0] if module == "anatomy" else module)
            assert {"anatomy": main, "experiments.score": score.main}[module]([str(word) for word in arguments]) == 0

    plan = replace(plan, step=InProcess())
    plan.one_set("alpaca_eval")
    assert called.count("validate") == 2
    monkeypatch.setattr(trace, "SHARES", (0.1,))
    plan.leave_out("alpaca_eval", [run.SUREST])
    assert called.count("validate") == 3  # without the rows behind the cluster, and without as many random ones
    plan.swapped("alpaca_eval")
    assert called.count("validate") == 4
    plan.at_rates("alpaca_eval", [1e-3, 3e-3])
    assert called.count("train") == 6
    rates.main(["--out", str(tmp_path / "out")])
    told = capsys.readouterr().out
    assert all(f"| alpaca_eval | {rate} | 0 | 2 |" in told for rate in ("0.001", "0.003", "1e-05"))
    labels.main(["--out", str(tmp_path / "out")])
    compare_arms.main(["--out", str(tmp_path / "out"), "--set", "alpaca_eval"])
    told = capsys.readouterr().out
    assert "| even | " in told
    kernels.main(["--out", str(tmp_path / "out"), "--set", "alpaca_eval"])
    *lines, certainty = filter(None, capsys.readouterr().out.splitlines()[2:])
    assert certainty.startswith("log-probability a token: chosen -")
    by_kernel = {row.split(" | ")[0]: row.split(" | ")[1] for row in lines}
    validated = json.loads((tmp_path / "out" / "alpaca_eval" / "validate-0" / "validation.json").read_text())["figures"]
    for name in ("sgd", "activations", "sharpened"):
        (told_r,) = (r for kernel, r in by_kernel.items() if f"`{name}`" in kernel)
        assert float(told_r) == pytest.approx(validated[name]["features"]["r"], abs=0.0051)
    assert "minus random | 1 | " in told
    text = analyse(tmp_path / "out")
    assert "| alpaca_eval | features | " in text
    table = json.loads((tmp_path / "out" / "results" / "table.json").read_text())
    row = next(row for row in table["rows"] if row["view"] == "features" and row["predictor"] == "tilt")
    assert row["attainable_sampling"] is not None
    assert row["attainable_training"] is None  # one training seed
    cluster = run.surest(tmp_path / "out" / "alpaca_eval" / "validate-0" / "shifts.parquet")
    arms = {arm["without"]: arm for arm in table["leave_out"]}
    assert {arm["cluster"] for arm in arms.values()} == {cluster}
    assert list(arms) == ["none", "10 % top", "10 % random"]
    assert arms["none"]["predicted, of all rows'"] == 1.0
    assert arms["10 % random"]["less"] is None
    arm = arms["10 % top"]
    told = json.loads((tmp_path / "out" / "alpaca_eval" / f"trace-{cluster}" / "trace.json").read_text())
    direction = np.sign(told["predicted"])
    assert arm["less"] == pytest.approx(direction * (arms["10 % random"]["observed"] - arm["observed"]))
    assert arm["less, prompts: low"] < arm["less"] < arm["less, prompts: high"]
    assert arm["less, trainings: low"] is None  # one training an arm says nothing of trainings
    folder = tmp_path / "out" / "alpaca_eval"
    left = [
        arm / "train.jsonl" for arm in (folder / f"trace-{cluster}" / "top-10-percent", folder / "random-10-percent")
    ]
    assert {len(rows.read_text().splitlines()) for rows in left} == {21 - 2}
    (taught,) = table["trained"]
    assert taught["pairs"] == 12 + 1  # one prompt more than wanted, in case one is too long for the window
    assert taught["low"] < taught["reward accuracy"] <= taught["high"]
    columns = pq.read_table(tmp_path / "out" / "results" / "shifts.parquet").column_names
    assert {"data", "seed", "view", "context", "response", "predicted", "observed", "role"} <= set(columns)
    called.clear()
    plan.one_set("alpaca_eval")
    assert set(called) == {"audit"}  # which finds itself complete


def test_residuals_tell_what_trainings_share_beside_their_labels():
    """Two trainings share a component of variance 1 that neither prediction knows, a third does not."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 1, 4000)
    tables = []
    for data, share in (("a", 1.0), ("b", 1.0), ("c", 0.0)):
        predicted, noise = rng.normal(0, 1, (2, 4000))
        observed = 2 * predicted + share * common + 0.5 * noise
        ends = {"observed_low": observed - 0.98, "observed_high": observed + 0.98}  # a standard error of 0.5
        tables.append(pd.DataFrame({"data": data, "seed": 0, "view": "features", "predictor": "sgd", **ends,
                                    "response": [f"f{n}" for n in range(4000)], "predicted": predicted,
                                    "observed": observed}))  # fmt: skip
    other = tables[0].assign(data="d", predictor="adam")
    rows = {row["training"]: row for row in residuals.table(pd.concat([*tables, other]), "sgd")}
    assert list(rows) == ["a-0", "b-0", "c-0"]
    assert rows["a-0"]["noise in the residual"] == pytest.approx(0.25 / 1.25, abs=0.02)
    assert rows["a-0"]["R² by labels"] == pytest.approx(4 / 5.25, abs=0.02)
    r, more = (float(value) for value in rows["a-0"]["b-0"].split(", "))
    assert r == pytest.approx(1 / 1.25, abs=0.03)
    assert more == pytest.approx(1 - 1.25 * (1 - 0.8**2) / 5.25, abs=0.02)
    assert abs(float(rows["a-0"]["c-0"].split(", ")[0])) < 0.06


def write_validation(folder: Path, before_GT: np.ndarray, after_GT: np.ndarray) -> None:
    """Validations ``validate-0`` … with means of R3 on every prompt (rows) of every training (columns)."""
    for seed in range(after_GT.shape[1]):
        means = {"prompt_id": [f"p{place}" for place in range(len(after_GT))], "view": "global", "response": "R3",
                 "before": before_GT[:, seed], "after": after_GT[:, seed]}  # fmt: skip
        (folder / f"validate-{seed}").mkdir(parents=True)
        pq.write_table(pa.Table.from_pandas(pd.DataFrame(means)), folder / f"validate-{seed}" / "prompt_means.parquet")
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
    told = [{"share": share, "kind": kind, "predicted": -1.0} for share in (0.05, 0.1) for kind in ("top", "random")]
    (trace / "trace.json").write_text(json.dumps({"predicted": -2.0, "without": told}))
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
    """Two clusters traced, 25 % left out: three arms and all rows; their shifts follow the rows' contributions."""
    folder = tmp_path / "alpaca_eval"
    write_split(data, "alpaca_eval", folder, 40, 5)
    ids = [row.row_id for row in read_pairs(RowSettings(rows=str(folder / TRAIN)))]
    contribution_N = np.arange(1.0, len(ids) + 1)
    start_GT = np.random.default_rng(0).normal(size=(30, 1))
    arms = {"random-25-percent": set(ids[:5] + ids[-5:]), "trace-R3/top-25-percent": set(ids[-10:]),
            "trace-R9/top-25-percent": set(ids[:10])}  # fmt: skip
    left = {}
    for name, gone in arms.items():
        without(folder / TRAIN, gone, folder / name / TRAIN)
        left[name] = np.mean([value for row, value in zip(ids, contribution_N, strict=True) if row not in gone])
    shares = {name: value / contribution_N.mean() for name, value in left.items()}
    write_validation(folder, start_GT, start_GT + 2.0)
    for name in ("R3", "R9"):
        trace = folder / f"trace-{name}"
        pq.write_table(pa.table({"row_id": ids, "contribution": contribution_N}), trace / "contributions.parquet")
        pair = (2 * shares[arm] for arm in ("random-25-percent", f"trace-{name}/top-25-percent"))
        write_validation(trace / "25-percent", *(start_GT + shift for shift in pair))
    rows, fits = compare_arms.table(folder)
    assert [row["arm"] for row in rows] == ["all rows", "without 25-percent random", "without 25-percent of R3",
                                            "without 25-percent of R9"]  # fmt: skip
    assert [row["rows"] for row in rows] == [len(ids), *[len(ids) - 10] * 3]
    assert [row["R3: predicted"] for row in rows] == pytest.approx([1.0, *shares.values()])
    assert [row["R3: observed"] for row in rows] == pytest.approx([2.0, *(2 * share for share in shares.values())])
    assert fits[0]["arms"] == 4
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
        pq.write_table(pa.Table.from_pandas(table), out / "validate-0" / "prompt_means.parquet")

    write(folder, before, plus)
    write(folder / run.SWAPPED, minus, plus)
    return odd_M, even_M


@pytest.mark.parametrize("even", [0.0, 0.5])
def test_the_part_that_labels_turn_is_told_from_the_rest(even, tmp_path):
    odd_M, even_M = planted_parts(tmp_path, even, seed=0)
    names, means = labels.parts(tmp_path, "validate-0")
    rows = {row["part"]: row for row in labels.spread(means)}
    assert rows["whole"]["share"] == 1.0
    for name, shift_M in (("odd", odd_M), ("even", even_M)):
        truth = shift_M.var() / (odd_M + even_M).var()
        assert rows[name]["low"] - 0.02 < truth < rows[name]["high"] + 0.02
    predicted = {name: odd_M[int(name[1:])] for name in names}
    shifts = pd.DataFrame({"view": "global", "context": "all", "predictor": "sgd", "response": list(predicted),
                           "predicted": list(predicted.values())})  # fmt: skip
    (row,), numbers = labels.table(names, means, shifts)
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
        pq.write_table(pa.Table.from_pandas(table), tmp_path / f"validate-{seed}/prompt_means.parquet")
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
    pq.write_table(pa.Table.from_pandas(pd.concat([table, *others])), tmp_path / "shifts.parquet")
    assert run.surest(tmp_path / "shifts.parquet") == "R3"
