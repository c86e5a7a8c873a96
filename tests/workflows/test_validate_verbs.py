"""``anatomy validate`` and ``trace`` from end to end: planted policies with a known habit, a null, a kill, refusals."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from support.planted_run import FLAGS, held_out, plant_rollouts, write_pairs
from support.run_flags import flags_for
from support.tiny import save_sae
from transformers import AutoModelForCausalLM, AutoTokenizer

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data import shard_cache
from anatomy.data.rows_table import read_rows
from anatomy.features.feature_store import FeatureStore
from anatomy.rollouts.rollout_set import Prompt
from anatomy.runs.manifest import Manifest

COLUMNS = ["data", "seed", "role", "predictor", "view", "context", "response", "predicted", "observed", "observed_low",
           "observed_high"]  # fmt: skip
FAST = ["--bootstrap", "200", "--controls", "4", "--predictors", "disparity,continuous,tilt", "--min-prompts", "5"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model_dir):
    """An audit of pairs whose chosen side is bold in 80 %, the rejected one in 30 %."""
    folder = tmp_path_factory.mktemp("planted")
    model = tiny_model_dir("llama")
    sae = save_sae(folder / "sae", model)
    rows = write_pairs(folder / "pairs.jsonl")
    command = ["audit", str(rows), "--model", str(model), "--sae", str(sae), *FLAGS, "--out", str(folder / "run")]
    assert main(command) == 0
    plant_rollouts(folder / "before", 0.3, seed=1)
    plant_rollouts(folder / "after", 0.65, seed=2)
    return folder / "run"


def validate(run: Path, out: Path, before: str | Path = "before", after: str | Path = "after", *more: str) -> int:
    names = [str(run.parent / name) if not Path(name).is_absolute() else str(name) for name in (before, after)]
    rest = ["--before", names[0], "--after", names[1], "--out", str(out), *FAST, *more]
    return main(["validate", str(run), *flags_for(run, "model", "sae"), *rest])


@pytest.fixture(scope="module")
def validated(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("validated")
    assert validate(run, out) == 0
    return out


def shifts(out: Path, **wanted: str):
    table = pq.read_table(out / artifacts.SHIFTS).to_pandas()
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def test_the_planted_habit_is_observed_in_points_of_responses(validated):
    """Bold rose from 30 to 65 % of responses; the data's chosen are bold by 50 points more often."""
    (row,) = shifts(validated, view="concept", predictor="disparity").to_dict("records")
    assert row["response"] == "bold"
    assert row["observed_low"] < 0.35 < row["observed_high"]
    assert row["observed_high"] - row["observed_low"] < 0.35
    assert row["predicted"] == pytest.approx(0.5, abs=0.12)


def test_features_that_the_habit_moves_are_foreseen(validated):
    record = json.loads((validated / artifacts.VALIDATION).read_text())["agreements"]
    for predictor in ("continuous", "tilt"):
        figure = record[predictor]["features"]
        assert figure["r"] > 0.4
        assert figure["slope"] > 0
        assert figure["r_low"] < figure["r"] < figure["r_high"]
        assert 0.5 < figure["ceiling"]["attainable_r"] <= 1
    assert abs(record["base-rate"]["features"]["r"]) < 0.3


def test_files_and_columns(validated):
    assert list(shifts(validated).columns) == COLUMNS
    found = shifts(validated)
    assert set(found["predictor"]) == {"disparity", "continuous", "tilt", "length", "base-rate"}
    assert {"features", "global", "concept", "feature", "feature-contrast"} <= set(found["view"])
    assert np.isfinite(found["predicted"]).all()
    assert ((found["observed_low"] <= found["observed"]) & (found["observed"] <= found["observed_high"])).mean() > 0.99
    page = (validated / "scatter-features.html").read_text()
    assert "<script" in page
    assert "https://cdn" not in page.split("</script>")[-1]
    assert len(page) < 1_000_000
    assert (validated / "plotly.js").stat().st_size > 1_000_000  # once, for the pages of all views
    assert (validated / "scatter-features.svg").read_text().startswith("<svg")
    record = json.loads((validated / artifacts.VALIDATION).read_text())
    assert record["controls"]["features"]["labels flipped"]["repetitions"] == 4
    assert record["window"] == 64
    assert record["pairs"] == 160


def test_a_run_without_named_concepts_is_validated(run, tmp_path):
    settings = Manifest.of(run).settings
    command = ["audit", settings.rows, "--model", settings.model, "--sae", settings.sae, *FLAGS]
    command[command.index("--concepts") + 1] = "none"
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    shutil.copytree(run.parent / "before", tmp_path / "before")
    shutil.copytree(run.parent / "after", tmp_path / "after")
    assert validate(tmp_path / "run", tmp_path / "v") == 0
    views = set(shifts(tmp_path / "v")["view"])
    assert {"features", "global"} <= views
    assert "concept" not in views
    means = pq.read_table(tmp_path / "v" / artifacts.PROMPT_MEANS).to_pandas()
    assert set(means["view"]) == {"health", "global"}


def test_no_training_no_shift(run, tmp_path):
    """The same policy with another sampling seed; the rate at which intervals hold 0 is tested in test_observed."""
    plant_rollouts(tmp_path / "again", 0.3, seed=5)
    assert validate(run, tmp_path / "v", "before", tmp_path / "again") == 0
    found = shifts(tmp_path / "v", view="features", predictor="tilt")
    moved = found[(found["observed_low"] != 0) | (found["observed_high"] != 0)]
    assert ((moved["observed_low"] <= 0) & (moved["observed_high"] >= 0)).mean() > 0.7  # features move together
    (bold,) = shifts(tmp_path / "v", view="concept", predictor="tilt").to_dict("records")
    assert bold["observed_low"] < 0 < bold["observed_high"]


def test_a_validation_of_other_completions_is_not_replaced(run, validated, tmp_path, capsys):
    """Folders of two trainings may have one name, and with it one default ``--out``."""
    plant_rollouts(tmp_path / "again", 0.3, seed=5)
    before = (validated / artifacts.VALIDATION).read_bytes()
    assert validate(run, validated, "before", tmp_path / "again") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "holds the validation of other completions after; use another --out" in error
    assert (validated / artifacts.VALIDATION).read_bytes() == before


def test_prompts_of_the_data_are_left_out(run, tmp_path):
    stored = list(read_rows(run / artifacts.ROWS))[:20]
    prompts = [*held_out(40), *{s.prompt_id: Prompt(s.prompt_id, s.pair.prompt) for s in stored}.values()]
    for name, share in (("b", 0.3), ("a", 0.6)):
        plant_rollouts(tmp_path / name, share, 1, prompts)
    assert validate(run, tmp_path / "v", tmp_path / "b", tmp_path / "a") == 0
    record = json.loads((tmp_path / "v" / artifacts.VALIDATION).read_text())
    assert record["left_out"]["prompts seen in the data"] == 10
    assert record["prompts"] == 40


def test_a_kill_while_encoding_costs_nothing(run, validated, tmp_path, monkeypatch):
    script = [sys.executable, str(Path(__file__).parents[1] / "support" / "killed_rollout.py"), "3"]
    out = tmp_path / "v"
    rest = ["validate", str(run), "--before", str(run.parent / "before"), "--after", str(run.parent / "after"),
            "--out", str(out), *FAST, *flags_for(run, "model", "sae")]  # fmt: skip
    assert subprocess.run([*script, *rest], capture_output=True).returncode == -9
    assert len(list((out / "rollout-features").glob("shard-*.parquet"))) == 2
    assert not (out / artifacts.VALIDATION).exists()
    first = shard_cache.numbered(out / "rollout-features")[0][0].stat().st_mtime_ns
    monkeypatch.setattr(shard_cache, "SHARD_ROWS", 32)  # as in the killed process
    assert main(rest) == 0
    assert shard_cache.numbered(out / "rollout-features")[0][0].stat().st_mtime_ns == first
    ours, theirs = shifts(out), shifts(validated)
    np.testing.assert_allclose(ours["observed"], theirs["observed"], atol=1e-9)
    np.testing.assert_array_equal(ours["predicted"], theirs["predicted"])


def test_models_are_rolled_out_in_place(run, tmp_path, tiny_model_dir):
    """``base`` before and the same weights after, sampled by --prompts: nothing may have moved."""
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": f"Good {n}?"}) + "\n" for n in range(6)))
    flags = ["--prompts", str(tmp_path / "p.jsonl"), "--max-new-tokens", "8", "--best", "continuous"]
    flags += flags_for(run, "model", "sae")
    command = ["validate", str(run), "--before", "base", "--after", str(tiny_model_dir("llama")), *flags]
    assert main([*command, "--out", str(tmp_path / "v"), *FAST]) == 0
    found = shifts(tmp_path / "v", view="features", predictor="continuous")
    assert not found["observed"].any()


def test_a_policy_edited_to_say_a_word_raises_the_features_of_that_word(run, tmp_path, tiny_model_dir):
    """``the`` gets a larger unembedding. The feature most tied to it, by a plain forward of the model before, must rise
    with an interval above 0, and all shifts must follow what each feature does on ``the`` and elsewhere.
    """
    base = tiny_model_dir("llama")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    (the,) = tokenizer(" the").input_ids
    with torch.no_grad():
        final_TD = model(torch.arange(400)[None], output_hidden_states=True).hidden_states[-1][0]
        mean_D = final_TD.mean(0)
        model.lm_head.weight[the] += 6 * mean_D / (mean_D @ mean_D)  # 6 nats more on average
    model.save_pretrained(tmp_path / "edited")
    tokenizer.save_pretrained(tmp_path / "edited")
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": f"Good {n}?"}) + "\n" for n in range(60)))
    flags = ["--prompts", str(tmp_path / "p.jsonl"), "--max-new-tokens", "16", *flags_for(run, "model", "sae")]
    command = ["validate", str(run), "--before", "base", "--after", str(tmp_path / "edited"), *flags]
    assert main([*command, "--out", str(tmp_path / "v"), *FAST]) == 0

    share = {}
    rate_F, counted = {True: np.zeros(64), False: np.zeros(64)}, {True: 0, False: 0}
    plain, sae = AutoModelForCausalLM.from_pretrained(base), load_file(run.parent / "sae" / "sae_weights.safetensors")
    for side in ("before", "after"):
        record = pq.read_table(tmp_path / "v" / side / artifacts.ROLLOUTS).to_pylist()
        replies = [(row["prompt"], tokenizer(row["text"]).input_ids) for row in record]
        share[side] = np.mean([token == the for _, ids in replies for token in ids])
        for prompt, ids in replies:
            chat = tokenizer.apply_chat_template(json.loads(prompt), add_generation_prompt=True, return_dict=False)
            with torch.no_grad():
                states_SD = plain(torch.tensor([chat + ids]), output_hidden_states=True).hidden_states[2][0]
            fires_TF = (states_SD[len(chat) :] @ sae["W_enc"] + sae["b_enc"] > sae["threshold"]).numpy()
            for said in (True, False):
                here_T = (np.array(ids) == the) == said
                rate_F[said] += fires_TF[here_T].sum(0)
                counted[said] += here_T.sum()
    assert share["after"] > share["before"] + 0.1
    expected_F = (share["after"] - share["before"]) * (rate_F[True] / counted[True] - rate_F[False] / counted[False])
    found = shifts(tmp_path / "v", view="features", predictor="continuous")
    expected = expected_F[[int(name[1:]) for name in found["response"]]]
    assert np.corrcoef(expected, found["observed"])[0, 1] > 0.7
    risen = found.iloc[int(expected.argmax())]
    assert risen["observed_low"] > 0


def test_own_responses_and_likelihoods(run, tmp_path):
    plant_rollouts(tmp_path / "base", 0.3, seed=9)
    arguments = ["--base-rollouts", str(tmp_path / "base"), "--predictors", "tilt-policy,on-policy,temperature"]
    assert validate(run, tmp_path / "v", "before", "after", *arguments, "--best", "adam") == 0
    validation = json.loads((tmp_path / "v" / artifacts.VALIDATION).read_text())
    record = validation["agreements"]
    assert next(iter(record)) == "adam"
    assert abs(validation["controls"]["features"]["labels flipped"]["r"]) < 0.3 < record["adam"]["features"]["r"]
    assert record["tilt-policy"]["features"]["r"] > 0.4
    assert record["adam"]["features"]["r"] > 0.4
    assert record["on-policy"]["features"]["r"] > 0.4
    store = FeatureStore(tmp_path / "v" / "base-features")
    likely = [pq.read_table(path) for path in sorted((tmp_path / "v" / artifacts.OWN_LOG_PROBS).glob("shard-*"))]
    surprisal_N = -pa.concat_tables(likely)["response"].to_numpy() * store.tokens("response")
    found = shifts(tmp_path / "v", view="features", predictor="temperature")
    kept = [int(name[1:]) for name in found["response"]]
    phi_NF = store.matrix("response", "freq").toarray()[:, kept]
    np.testing.assert_allclose(found["predicted"], np.cov(surprisal_N, phi_NF.T, bias=True)[0, 1:], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--predictors", "tarot"], "there are sharpened"),
        (["--predictors", "tilt-policy"], "--base-rollouts"),
        (["--predictors", "temperature"], "--base-rollouts"),
        (["--best", "on-policy"], "no audit can predict by it"),
        (["--after", "/nowhere/model"], "--prompts"),
        (["--base-rollouts", "BEFORE"], "noise"),
        (["--base-rollouts", "ONCE", "--predictors", "adam"], "--samples 2"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, capsys, arguments, message):
    folders = {"BEFORE": run.parent / "before", "ONCE": plant_rollouts(tmp_path / "once", 0.3, seed=9, samples=1)}
    arguments = [str(folders.get(word, word)) for word in arguments]
    assert validate(run, tmp_path / "v", "before", "after", *arguments) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert message in errors[0]


def test_another_model_is_refused(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    manifest = json.loads((copy / artifacts.MANIFEST).read_text())
    manifest["inputs"]["model"]["fingerprint"] = "other"
    artifacts.write_json(copy / artifacts.MANIFEST, artifacts.with_checksum(manifest))
    names = ["--before", str(run.parent / "before"), "--after", str(run.parent / "after")]
    names += flags_for(run, "model", "sae")
    assert main(["validate", str(copy), *names, "--out", str(tmp_path / "v"), *FAST]) == 2
    assert "not the one" in capsys.readouterr().err


def test_trace_writes_contributions_and_lists_of_rows(run, tmp_path, capsys):
    assert main(["trace", str(run), "R1", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / artifacts.TRACE).read_text())
    table = pq.read_table(tmp_path / artifacts.CONTRIBUTIONS).to_pandas()
    assert len(table) == 240
    assert table["contribution"].sum() == pytest.approx(record["predicted"])
    ids = {stored.row_id for stored in read_rows(run / artifacts.ROWS)}
    for kind in ("top", "random"):
        for share, count in ((0.01, 2), (0.05, 12), (0.1, 24)):
            lines = (tmp_path / artifacts.row_list(kind, share)).read_text().splitlines()
            assert len(set(lines)) == count
            assert set(lines) <= ids
    assert "R1: predicted shift" in capsys.readouterr().out


def test_trace_of_a_concept_finds_the_rows_that_show_it(run, capsys):
    assert main(["trace", str(run), "bold", "--predictor", "disparity", "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "**" in lines[2].split("|")[0]
    assert "**" not in lines[2].split("|")[1]


def test_trace_of_an_unknown_cluster_is_one_line(run, capsys):
    assert main(["trace", str(run), "R999"]) == 2
    assert "there are" in capsys.readouterr().err


def test_a_forecast_keeps_the_suppressed_concept_where_it_is(run, tmp_path, capsys):
    """Bold is what the labels reward; the table holds what is shown, before it is scaled."""
    assert main(["forecast", str(run), "bold", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    own = lines[3].split()
    assert own[-1] == "bold"
    assert float(own[0]) > 0
    assert own[1] == "+0.00"
    table = pq.read_table(tmp_path / artifacts.FORECAST).to_pandas().set_index("response")
    assert "R1" in table.index
    assert abs(table["without"]["bold"]) < 1e-9 * table["predicted"]["bold"]
    change = table["without"] - table["predicted"]
    assert (table["change_low"] <= change).all()
    assert change["bold"] < 0
    assert table["change_high"]["bold"] < 0
    assert (table["without"] / table["deviation"]).abs().max() < table["predicted"]["bold"] / table["deviation"]["bold"]
    assert main(["forecast", str(run), "bold", "--strength", "0", "--out", str(tmp_path)]) == 0
    table = pq.read_table(tmp_path / artifacts.FORECAST).to_pandas()
    assert (table["without"] == table["predicted"]).all()


def test_forecasts_that_cannot_be_made_are_one_line(run, capsys):
    for words, message in ((["R999"], "there are R1 to"), (["bold", "--predictor", "disparity"], "no reward"),
                           (["bold", "--predictor", "sharpened"], "what rows do to sharpened is `activations`"),
                           (["bold", "--predictor", "sgd"], "run the audit with --base-rollouts")):  # fmt: skip
        assert main(["forecast", str(run), *words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("predictor", ["sgd", "activations"])
def test_a_prediction_over_own_responses_is_traced_over_them(predictor, run, tmp_path, capsys):
    """Refused where the audit has none; else its rows sum to what ``validate`` predicts of the same responses."""
    command = ["trace", str(run), "bold", "--predictor", predictor, "--out", str(tmp_path / "t")]
    assert main(command) == 2
    assert "run the audit with --base-rollouts" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()
    manifest = json.loads((run / artifacts.MANIFEST).read_text())
    own = plant_rollouts(tmp_path / "own", 0.3, seed=9, fingerprint=manifest["inputs"]["model"]["fingerprint"])
    rows, model, sae = (manifest["settings"][name] for name in ("rows", "model", "sae"))
    copy = shutil.copytree(run, tmp_path / "run")
    flags = ["--model", model, "--sae", sae, *FLAGS, "--base-rollouts", str(own), "--out", str(copy)]
    assert main(["audit", rows, *flags]) == 0
    command[1] = str(copy)
    assert main(command) == 0
    traced = json.loads((tmp_path / "t" / artifacts.TRACE).read_text())
    contribution_N = pq.read_table(tmp_path / "t" / artifacts.CONTRIBUTIONS)["contribution"].to_numpy()
    assert len(contribution_N) == 240
    assert contribution_N.sum() == pytest.approx(traced["predicted"])
    assert validate(run, tmp_path / "v", "before", "after", "--base-rollouts", str(own), "--predictors", predictor) == 0
    (row,) = shifts(tmp_path / "v", view="concept", predictor=predictor).to_dict("records")
    assert traced["predicted"] == pytest.approx(row["predicted"], rel=1e-5)
    assert traced["predicted"] > 0
    assert main(["forecast", str(copy), "bold", "--predictor", predictor, "--out", str(tmp_path / "f")]) == 0
    forecast = pq.read_table(tmp_path / "f" / artifacts.FORECAST).to_pandas().set_index("response")
    assert forecast["predicted"]["bold"] == pytest.approx(traced["predicted"], rel=1e-5)


def test_with_own_responses_sharpened_comes_first(run, tmp_path):
    """The defaults with and without ``--base-rollouts``; `sharpened` foresees the planted habit."""
    own = plant_rollouts(tmp_path / "own", 0.3, seed=9)
    sides = ["--before", str(run.parent / "before"), "--after", str(run.parent / "after")]
    sides += flags_for(run, "model", "sae")
    command = ["validate", str(run), *sides, "--bootstrap", "100", "--controls", "2", "--out"]
    known = ["tilt", "disparity", "continuous", "tilt-within", "gradient", "length", "base-rate"]
    for name, more, names in (
        ("a", [], known),
        ("b", ["--base-rollouts", str(own)], ["sharpened", "activations", "sgd", *known]),
    ):
        assert main([*command, str(tmp_path / name), *more]) == 0
        record = json.loads((tmp_path / name / artifacts.VALIDATION).read_text())
        assert list(record["agreements"]) == names
    assert record["agreements"]["sharpened"]["features"]["r"] > 0.4


def test_too_few_prompts_are_one_line(run, tmp_path, capsys):
    for name, share in (("b", 0.3), ("a", 0.6)):
        plant_rollouts(tmp_path / name, share, 1, held_out(3))
    assert validate(run, tmp_path / "v", tmp_path / "b", tmp_path / "a") == 2
    assert "3 unseen prompts" in capsys.readouterr().err
