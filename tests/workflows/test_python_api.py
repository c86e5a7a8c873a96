"""``import anatomy`` as a notebook uses it: what functions return, take and refuse, with tiny models."""

import inspect
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.planted_run import plant_rollouts, write_pairs
from support.tiny import save_sae

import anatomy
from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.errors import RunError, SettingsError
from anatomy.rollouts.training_folder import is_finished

SMALL = {"device": "cpu", "dtype": "float32", "min_features": 2, "min_community": 2, "min_rows": 10,
         "data_clusters": 4, "min_fires": 10, "concepts": "bold"}  # fmt: skip
FUNCTIONS = sorted(set(anatomy.__all__) - {"__version__"})


@pytest.fixture(scope="module")
def material(tmp_path_factory, tiny_model_dir):
    """Rows whose chosen side is bold more often, and a tiny model with its SAE, by the names of the flags."""
    folder = tmp_path_factory.mktemp("api")
    model = tiny_model_dir("llama")
    rows = write_pairs(folder / "pairs.jsonl")
    return {"rows": str(rows), "model": str(model), "sae": str(save_sae(folder / "sae", model))}


@pytest.fixture(scope="module")
def run(material, tmp_path_factory):
    return anatomy.audit(**material, **SMALL, out=tmp_path_factory.mktemp("runs") / "planted")


def test_importing_loads_nothing_heavy():
    heavy = ("torch", "numpy", "pandas", "pyarrow", "pydantic", "cyclopts")
    code = f"import sys, anatomy; dir(anatomy); print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_there_and_explained(name):
    function = getattr(anatomy, name)
    text = inspect.getdoc(function)
    assert text
    assert "Raises:" in text
    assert name in dir(anatomy)
    for parameter in inspect.signature(function).parameters.values():
        assert parameter.kind is not inspect.Parameter.VAR_POSITIONAL


def test_findings_are_those_that_the_table_supports(run):
    found = run.findings()
    table = pq.read_table(run.path / artifacts.HYPOTHESES).to_pandas()
    kept = table[(table["q"] <= 0.05) & table["stable"] & (table["repeats"] == "")]
    assert isinstance(found, pd.DataFrame)
    assert len(found) == len(kept) > 0
    key = ["view", "context", "response"]
    pd.testing.assert_frame_equal(
        found[table.columns].sort_values(key, ignore_index=True), kept.sort_values(key, ignore_index=True)
    )
    first = found[(found["view"] == "global") & (found["direction"] == "chosen")]
    assert first["delta_min"].abs().is_monotonic_decreasing
    assert "bold" in set(first["response"])
    assert all(found["response_label"])


def test_rows_behind_a_concept_and_the_clusters(run):
    rows = run.rows("bold")
    assert len(rows) == 240
    assert rows["value"].is_monotonic_decreasing
    lead = rows.iloc[0]
    assert "**" in lead["chosen"]
    assert "**" not in lead["rejected"]
    assert lead["prompt"].startswith("Tell me about")
    clusters = pq.read_table(run.path / artifacts.DATA_CLUSTERS).to_pandas()
    members = clusters[clusters["cluster"] == "D1"]
    assert sorted(run.rows("D1")["row_id"]) == sorted(members["row_id"])
    table = pq.read_table(run.path / artifacts.HYPOTHESES).to_pandas()
    prompt = table[table["view"] == "prompt"].iloc[0]
    assert len(run.rows(prompt["context"])) == prompt["n"]
    assert len(run.rows(table[table["view"] == "global"].iloc[0]["response"])) == 240
    for unknown in ("R999", "D999", "P999", "nothing"):
        with pytest.raises(RunError, match=f"no tested cluster `{unknown}`"):
            run.rows(unknown)


def test_the_run_shows_what_the_command_line_prints(run, capsys):
    assert main(["show", str(run.path), "--top", "3"]) == 0
    assert capsys.readouterr().out == run.show(top=3) + "\n"
    again = anatomy.open_run(str(run.path))
    pd.testing.assert_frame_equal(again.findings(), run.findings())
    assert again.report() == run.path / artifacts.REPORT / artifacts.REPORT_PAGE
    with pytest.raises(RunError, match="not a run directory"):
        anatomy.open_run("nowhere")


def test_the_command_line_resumes_what_python_began(run, material, capsys):
    flags = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["audit", material["rows"], "--model", material["model"], "--sae", material["sae"], *flags]
    assert main([*command, "--out", str(run.path)]) == 0
    record = capsys.readouterr().err
    assert "harvest: unchanged" in record
    assert "hypotheses: unchanged" in record


def test_wrong_keywords_are_refused_in_one_line_as_flags_are(material, capsys):
    with pytest.raises(SettingsError) as error:
        anatomy.audit(material["rows"], tau="7", dtype="int4")
    assert main(["audit", material["rows"], "--tau", "7", "--dtype", "int4"]) == 2
    assert capsys.readouterr().err == f"anatomy: error: {error.value}\n"
    with pytest.raises(SettingsError, match="unknown setting `taau` \\(allowed: "):
        anatomy.audit(material["rows"], taau=0.1)
    with pytest.raises(AttributeError, match="no attribute 'audti'"):
        _ = anatomy.audti


def test_keywords_win_over_a_file_of_settings(material, tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text("max-length: 256\nlimit: 5\n")
    health = anatomy.check(material["rows"], settings=file, limit=7).health
    assert health.rows == 7


def test_other_settings_test_the_run_again(run, material, tmp_path):
    other = anatomy.harvest(**material, device="cpu", dtype="float32", out=tmp_path / "run")
    with pytest.raises(RunError, match="stage `hypotheses` is not complete"):
        other.findings()
    small = {name: SMALL[name] for name in ("min_community", "data_clusters", "min_fires")}
    anatomy.cluster(other.path, **small)
    found = anatomy.retest(other.path, model=material["model"], min_features=2, min_rows=10, q_threshold=0.5).findings()
    assert (found["q"] <= 0.5).all()
    assert (found["q"] > 0.05).any()


def test_null_compare_trace_and_forecast_give_tables(run, tmp_path):
    rates = anatomy.null(run.path, repetitions=2).rates
    assert set(rates) == {"global", "feature", "prompt"}
    assert anatomy.compare(run.path, run.path, out=tmp_path / "same").out == tmp_path / "same"
    traced = anatomy.trace(run.path, "bold", top=2)
    assert len(traced.contributions) == 240
    assert f"{traced.contributions['contribution'].sum():+.4g}" in str(traced)
    forecast = anatomy.forecast(run.path, "bold", out=tmp_path / "forecast")
    pd.testing.assert_frame_equal(forecast.shifts, pd.read_parquet(tmp_path / "forecast" / artifacts.FORECAST))


def test_validate_writes_its_figures(run, material, tmp_path):
    plant_rollouts(tmp_path / "before", 0.3, seed=1)
    plant_rollouts(tmp_path / "after", 0.65, seed=2)
    few = {"predictors": "tilt", "bootstrap": 20, "controls": 1, "min_prompts": 5}
    few |= {name: material[name] for name in ("model", "sae")}
    done = anatomy.validate(run.path, before=str(tmp_path / "before"), after=str(tmp_path / "after"), **few)
    assert done.out == run.path / artifacts.VALIDATIONS / "after"
    assert (done.out / artifacts.VALIDATION).is_file()
    assert "tilt" in str(done)


def test_plan_filter_train_and_rollout(run, material, tmp_path):
    plan = anatomy.make_plan(run.path, suppress="bold", out=tmp_path / "plan.yaml")
    with pytest.raises(RunError, match="is there already"):
        anatomy.make_plan(run.path, suppress="bold", out=plan.out)
    removal = anatomy.make_plan(run.path, remove="bold", out=tmp_path / "removal.yaml")
    assert "dropped" in str(anatomy.plan_check(removal.out, **material))
    cleaned = anatomy.filter(removal.out, **material, out=tmp_path / "cleaned")
    assert 0 < pq.read_table(cleaned.out / artifacts.CLEANED).num_rows < 240
    few = {"limit": 8, "max_steps": 1, "batch_size": 2, "warmup_ratio": 0, "max_response_length": 32}
    model = {"model": material["model"], "device": "cpu"}
    trained = anatomy.train(rows=material["rows"], plan=plan.out, **few, **model, out=tmp_path / "trained")
    assert is_finished(trained.out)
    made = anatomy.rollout(model=str(trained.out / "model"), prompts=material["rows"], max_prompts=2,
                           max_new_tokens=4, device="cpu", dtype="float32", out=tmp_path / "after")  # fmt: skip
    assert str(made).startswith("4 completions of 2 prompts")
