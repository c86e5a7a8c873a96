"""The notebooks run from top to bottom on saved artifacts, draw their pictures, and keep no output of their own."""

import csv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support import page_run
from support.planted_arms import AMPLIFY, SUPPRESS, plant, training

import anatomy
from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.runs.manifest import Manifest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SHIFTS = {("concept", "bold"): 0.4, ("concept", "calm"): 0.0, ("global", "R1"): -0.4}


def outputs(name, monkeypatch, **places):
    """Text and kinds of all outputs of a notebook, executed with these environment variables."""
    for variable, path in places.items():
        monkeypatch.setenv(variable, str(path))
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), "clear the outputs"
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    found = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in found if output.output_type == "error"]
    text = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in found)
    pictures = [output.data["application/vnd.plotly.v1+json"] for output in found
                if "application/vnd.plotly.v1+json" in output.get("data", {})]  # fmt: skip
    return text, pictures


def test_there_are_three_and_each_is_tested():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == {
        "a_detector", "comparing_interventions", "reading_an_audit"
    }  # fmt: skip


def test_reading_an_audit(audited, monkeypatch):
    text, pictures = outputs("reading_an_audit", monkeypatch, ANATOMY_RUN=audited)
    run = anatomy.open_run(audited)
    assert f"{len(run.findings())} findings; " in text
    effects = pictures[0]["data"][0]
    assert len(effects["y"]) == len(set(effects["y"])) > 1
    assert any(name.startswith("bold") for name in effects["y"])
    assert len(pictures) == 2


def test_a_detector(audited, tiny_model_dir, tmp_path, monkeypatch):
    rows = page_run.write(tmp_path / "pairs.jsonl")
    model = ["--model", str(tiny_model_dir("llama")), "--device", "cpu", "--dtype", "float32"]
    fit = ["probe", "fit", "bold", "--positives", "heuristic", "--examples", str(rows), "--detector", "linear"]
    assert main([*fit, "--layers", "0,2", *model, "--out", str(tmp_path / "bold")]) == 0
    with (tmp_path / "answers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "completion"])
        writer.writerows([f"Say {n}", "the **quick** fox" if n % 2 else "the quick fox"] for n in range(20))
    score = ["probe", "score", str(tmp_path / "answers.csv"), "--concept", str(tmp_path / "bold"), *model]
    assert main([*score, "--out", str(tmp_path / "scored.csv")]) == 0
    places = {"ANATOMY_DETECTOR": tmp_path / "bold", "ANATOMY_SCORED": tmp_path / "scored.csv"}
    text, pictures = outputs("a_detector", monkeypatch, **places)
    assert "bold: linear detector after block" in text
    assert "shuffled labels: AUROC" in text
    assert "of 20 responses flagged" in text
    assert [picture["data"][0]["type"] for picture in pictures] == ["scatter", "histogram"]


@pytest.fixture
def compared(audited, tmp_path):
    """Links to an audit's artifacts, with three planted trainings under its ``validation/``."""
    run = tmp_path / "run"
    run.mkdir()
    for path in audited.iterdir():
        if path.name != artifacts.VALIDATIONS:
            (run / path.name).symlink_to(path)
    about = Manifest.of(audited).cluster_hashes()
    arms = {"plain": (1, []), "shaped": (0.5, [SUPPRESS]), "more": (1.5, [AMPLIFY])}
    for seed, (name, (factor, interventions)) in enumerate(arms.items()):
        shifts = {place: factor * shift for place, shift in SHIFTS.items()}
        made_of = {"clusters": about[artifacts.CLUSTERS], "about": about}
        plant(run / artifacts.VALIDATIONS / name, shifts, training(interventions), seed, noise=0.1, **made_of)
    return run


def test_arms_as_a_table_hold_what_was_planted(compared):
    table = anatomy.open_run(compared).arms().set_index(["arm", "response"])
    shaped = table.loc[(SUPPRESS["words"], "bold")]
    assert shaped["target"]
    assert shaped["recovery_low"] < 50 < shaped["recovery_high"]
    assert shaped["shift"] == pytest.approx(0.2, abs=0.05)
    assert shaped["against"] == pytest.approx(-0.2, abs=0.05)
    assert table.loc[(AMPLIFY["words"], "bold")]["recovery"] == pytest.approx(-50, abs=15)
    assert table.loc[("plain DPO", "bold")]["shift"] == pytest.approx(0.4, abs=0.05)
    assert table.loc[(SUPPRESS["words"], "calm")].isna()["recovery"]  # plain DPO did not move it


def test_comparing_interventions(compared, monkeypatch):
    text, pictures = outputs("comparing_interventions", monkeypatch, ANATOMY_RUN=compared)
    assert "suppress bold: reward shaping 4" in text
    assert {trace["name"] for trace in pictures[0]["data"]} == {"plain DPO", SUPPRESS["words"], AMPLIFY["words"]}
    assert {trace["name"] for trace in pictures[1]["data"]} == {"on target", "off target"}


def test_all_tests_are_a_table_with_labels(audited):
    run = anatomy.open_run(audited)
    tests, findings = run.tests(), run.findings()
    assert len(tests) == len(artifacts.read_table(audited / artifacts.HYPOTHESES)) > len(findings)
    assert list(tests.columns) == list(findings.columns)
    assert set(findings["response_label"]) <= set(tests["response_label"])
