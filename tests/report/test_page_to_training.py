"""From the page to a model: decisions taken in a browser, exported, and trained on for one step."""

import json

import yaml
from safetensors.torch import load_file
from support import page_run
from support.page_run import decide

from anatomy import artifacts
from anatomy.cli.app import main


def test_a_plan_exported_from_the_page_trains_a_model(opened, audited, tmp_path, capsys):
    """A shaped concept, a shaped cluster and a removed row; the step differs from that of plain DPO."""
    decide(opened, "view=global&cluster=bold", "bold", "suppress", "style, not help")
    decide(opened, "view=global&cluster=R1", "R1", "amplify")
    decide(opened, "view=rows&row=3", "this row", "remove")
    page = opened.go("view=decisions")
    plan = tmp_path / "plan.yaml"
    with page.expect_download() as download:
        page.get_by_text("Export plan").click()
    download.value.save_as(plan)
    assert [item["backend"] for item in yaml.safe_load(plan.read_text())["interventions"]] == [
        "reward_shaping", "reward_shaping", "filtering"
    ]  # fmt: skip

    settings = json.loads((audited / artifacts.MANIFEST).read_text())["settings"]
    rows = page_run.write(tmp_path / "pairs.jsonl")
    common = ["train", "--rows", str(rows), "--model", settings["model"], "--device", "cpu", "--max-length", "128",
              "--batch-size", "8", "--micro-batch-size", "4", "--learning-rate", "1e-2",
              "--warmup-ratio", "0", "--max-steps", "1"]  # fmt: skip
    assert main([*common, "--out", str(tmp_path / "plain")]) == 0
    assert main([*common, "--plan", str(plan), "--sae", settings["sae"], "--out", str(tmp_path / "planned")]) == 0
    trained = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("plain", "planned")]
    assert any((trained[0][name] != trained[1][name]).any() for name in trained[0])
    report = (tmp_path / "planned" / "report.md").read_text()
    assert "| trained on | 119 |" in report
