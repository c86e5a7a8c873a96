"""``demo`` names the embedded set wherever rows or prompts are asked for; nothing asks the Hub for it."""

import json

import pytest

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data.shard_cache import numbered
from anatomy.rollouts.training_folder import is_finished


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("the Hub was asked for `demo`")

    monkeypatch.setattr("anatomy.data.sources.hub_source", refuse)
    monkeypatch.setattr("anatomy.data.sources.probe", refuse)


@pytest.fixture
def model(tiny_model_dir):
    return ["--model", str(tiny_model_dir("llama")), "--device", "cpu", "--dtype", "float32"]


def test_probe_score(model, tmp_path):
    assert main(["probe", "score", "demo", "--concept", "bold", "--limit", "6", *model, "--out", str(tmp_path)]) == 0
    assert artifacts.read_table(numbered(tmp_path / artifacts.SCORES / "bold")[0][0]).num_rows > 0


def test_probe_fit(model, tmp_path):
    fit = ["probe", "fit", "bold", "--positives", "heuristic", "--examples", "demo", "--limit", "200"]
    assert main([*fit, "--detector", "difference-of-means", "--layers", "1", *model, "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["examples"] == "demo"


def test_rollout(model, tmp_path):
    few = ["--max-prompts", "2", "--samples", "1", "--max-new-tokens", "2"]
    assert main(["rollout", "--prompts", "demo", *few, *model, "--out", str(tmp_path)]) == 0
    assert artifacts.read_table(tmp_path / artifacts.ROLLOUTS).num_rows == 2


def test_train(model, tmp_path):
    few = [
        "--limit",
        "4",
        "--max-steps",
        "1",
        "--batch-size",
        "2",
        "--warmup-ratio",
        "0",
        "--max-response-length",
        "16",
    ]
    assert main(["train", "--rows", "demo", *few, *model, "--out", str(tmp_path)]) == 0
    assert is_finished(tmp_path)
