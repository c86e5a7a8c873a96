"""What several tests of the experiments read."""

import importlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anatomy.cli.app import main as anatomy
from experiments import study
from experiments.prediction.preference_sets import SETS


@pytest.fixture
def data(tmp_path):
    """AlpacaEval's format: 20 prompts, three pairs each."""
    prompts = [f"Why is number {number} good?" for number in range(20) for _ in range(3)]
    sides = {name: [f"{word} {place} is good" for place in range(60)] for name, word in
             (("chosen", "Because **it**"), ("rejected", "No, it"))}  # fmt: skip
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"prompt": prompts, **sides}), tmp_path / "data" / SETS["alpaca_eval"].file)
    return tmp_path / "data"


@pytest.fixture
def in_process(monkeypatch):
    """Steps of studies run in this process; the list of the verbs and modules that were called, in their order."""
    called = []

    def call(module, words):
        called.append(words[0] if module == "anatomy" else module)
        return (anatomy if module == "anatomy" else importlib.import_module(module).main)(list(words)) or 0

    monkeypatch.setattr(study, "forked", lambda: call)
    return called
