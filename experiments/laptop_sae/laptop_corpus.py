"""AlpacaEval, HH and ShareGPT pairs, split by the hash of each conversation's first user message."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from anatomy.data.faults import Fault
from anatomy.data.pair_stream import read_pairs
from anatomy.settings import RowSettings
from anatomy.types import Pair

FILES = {
    "alpaca_eval": "alpaca_eval_pairs.parquet",
    "hh": "hh_harmless.jsonl.gz",
    "sharegpt": "sharegpt_pairs.json",
}
TEST_TENTHS = 2


def is_test(pair: Pair) -> bool:
    """Whether the pair belongs to the test fifth: SHA-256 of its first user message, modulo 10, below 2."""
    first = next(str(message["content"]) for message in pair.prompt if message["role"] == "user")
    return int(hashlib.sha256(first.encode()).hexdigest(), 16) % 10 < TEST_TENTHS


def write_split(data: Path, out: Path) -> dict[str, dict[str, Path]]:
    """Write ``NAME.train.jsonl`` and ``NAME.test.jsonl`` for each source into ``out``; their paths by part and name."""
    out.mkdir(parents=True, exist_ok=True)
    paths: dict[str, dict[str, Path]] = {"train": {}, "test": {}}
    for name, file in FILES.items():
        for part in paths:
            paths[part][name] = out / f"{name}.{part}.jsonl"
        with paths["train"][name].open("w") as train, paths["test"][name].open("w") as test:
            for pair in read_pairs(RowSettings(rows=str(data / file))):
                if not isinstance(pair, Fault) and pair.prompt:
                    row = {"prompt": list(pair.prompt), "chosen": list(pair.chosen), "rejected": list(pair.rejected)}
                    (test if is_test(pair) else train).write(json.dumps(row, ensure_ascii=False) + "\n")
    return paths
