"""The laptop SAE experiment: its split, and a smoke run of its two commands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from anatomy.sae.load_sae import LAPTOP_SAE
from experiments.laptop_sae.laptop_corpus import FILES, write_split

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The three files in their formats, with 40 made-up prompts each."""
    import gzip

    folder = tmp_path / "data"
    folder.mkdir()
    prompts = [f"Question {number}: why is number {number} a good one?" for number in range(40)]
    answers = [f"Because {number} has a fine story. " * 6 for number in range(40)]
    alpaca = {"prompt": prompts, "chosen": answers, "rejected": [answer + "No." for answer in answers]}
    pq.write_table(pa.table(alpaca), folder / FILES["alpaca_eval"])
    with gzip.open(folder / FILES["hh"], "wt") as stream:
        for prompt, answer in zip(prompts, answers, strict=True):
            start = f"\n\nHuman: HH {prompt}\n\nAssistant: "
            stream.write(json.dumps({"chosen": start + answer, "rejected": start + "I cannot."}) + "\n")
    sharegpt = [
        {
            "conversations": [{"from": "human", "value": "SG " + prompt}],
            "chosen": {"from": "gpt", "value": answer},
            "rejected": {"from": "gpt", "value": "I do not know."},
        }
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    (folder / FILES["sharegpt"]).write_text(json.dumps(sharegpt))
    return folder


def test_split_keeps_prompts_apart_and_loses_none(data: Path, tmp_path: Path) -> None:
    paths = write_split(data, tmp_path / "split")
    for name in FILES:
        prompts = {}
        for part in ("train", "test"):
            rows = [json.loads(line) for line in paths[part][name].read_text().splitlines()]
            prompts[part] = {row["prompt"][0]["content"] for row in rows}
            assert all(row["chosen"][-1]["role"] == "assistant" for row in rows)
        assert not prompts["train"] & prompts["test"]
        assert len(prompts["train"]) + len(prompts["test"]) == 40
        assert prompts["test"]


def test_two_commands_run(data: Path, tmp_path: Path, tiny_model_dir: Callable[[str], Path]) -> None:
    model = tiny_model_dir("llama")
    config = tmp_path / "tiny.yaml"
    shipped = (ROOT / "configs" / "sae" / "smollm2-135m.yaml").read_text()
    tiny = {"model": str(model), "layer": 1, "features": 64, "k": 8, "batch": 256, "epochs": 1}
    config.write_text(json.dumps(yaml.safe_load(shipped) | tiny))
    train = ["run", "--data", data, "--out", tmp_path / "sae", "--config", config]
    measure = ["measure", "--data", data, "--tokens", 300, "--sae", tmp_path / "sae", "--model", model]
    for name, *arguments in (train, measure):
        command = [sys.executable, "-m", f"experiments.laptop_sae.{name}", *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "variance explained" in done.stdout
    card = json.loads((tmp_path / "sae" / "cfg.json").read_text())
    assert set(json.loads((LAPTOP_SAE / "cfg.json").read_text())["metadata"]) <= set(card["metadata"])
