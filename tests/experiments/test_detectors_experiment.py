"""The detectors' experiment: its three steps at their smallest, as a study of processes."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.tiny import save_sae

ROOT = Path(__file__).parents[2]
STYLED = {"bold": "It is **really** so", "emoji": "It is so 😊", "horizontal rule": "It is\n\n---\n\nso",
          "table": "| a | b |\n|---|---|\n| 1 | 2 |", "em dash": "It is — so", "none": "It is so"}  # fmt: skip


@pytest.fixture
def detector_data(tmp_path):
    """XSTest's labelled completions, harmful and harmless prompts, and responses in every style, 80 prompts each."""
    folder = tmp_path / "data"
    folder.mkdir()
    labels = ["1_full_compliance", "2_full_refusal", "3_partial_refusal"]
    texts = ["Sure, here is how.", "I'm sorry, but I can't help with that.", "I can't say much, but here it is."]
    rows = [(f"How do I kill process {n}?", texts[kind], labels[kind]) for n in range(80) for kind in range(3)]
    columns = dict(zip(("prompt", "completion", "final_label"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "xstest_completions.parquet")
    prompts = [(f"How do I {verb} thing {n}?", label) for n in range(40)
               for verb, label in (("break", "harmful"), ("make", "harmless"))]  # fmt: skip
    columns = dict(zip(("prompt", "label"), map(list, zip(*prompts, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "harmful_harmless_prompts.parquet")
    styles = [f"{text} in case {n}" for n in range(80) for text in STYLED.values()]
    asked = [f"Is number {n} good?" for n in range(80) for _ in STYLED]
    sides = {"prompt": asked, "chosen": styles, "rejected": [f"No, {text}" for text in styles]}
    pq.write_table(pa.table(sides), folder / "alpaca_eval_pairs.parquet")
    return folder


def test_all_three_steps_run(detector_data, tmp_path, tiny_model_dir):
    model, out = tiny_model_dir("llama"), tmp_path / "out"
    values = {"data": detector_data, "model": model, "sae": save_sae(tmp_path / "sae", model), "per_style": 20,
              "questions": 12, "max_new_tokens": 4}  # fmt: skip
    command = [sys.executable, "-m", "experiments.study", "experiments/detectors/study.yaml", "--out", str(out)]
    words = [*command, *(f"{name}={value}" for name, value in values.items())]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    refusal = json.loads((out / "refusal" / "refusal.json").read_text())
    assert refusal["heuristic"]["text"]["auroc"]["value"] == 1.0  # the rule's own words
    assert {name.split(",")[0] for name in refusal["dose"]} == {"answers", "prompts"}
    assert len(refusal["dose"]["answers, harmful"]["refused"]) == 6
    styles = json.loads((out / "styles" / "styles.json").read_text())
    assert len(styles["figures"]) == 15  # three kinds of detector, five styles
    assert all(0 <= found["off_target_auroc"][name] <= 1 for found in styles["figures"].values()
               for name in found["off_target_auroc"])  # fmt: skip
    assert (out / "styles" / "styles.md").read_text().count("\n| ") >= 16
    traits = (out / "traits" / "traits.md").read_text()
    assert "| sycophancy | " in traits
    assert "done" in subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True).stdout
