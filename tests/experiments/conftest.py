"""What several tests of the prediction study read."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
