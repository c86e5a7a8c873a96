"""Memory: bounded by a limit of the system, many rows are read, and too large a text is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.malformed_inputs import good

ROOM_MB = 1200
"""Address space that a command may take beyond its imports, for one text of any size."""
FEW, MANY = 3000, 6000
LONG = pytest.mark.exhaustive


def write(path: Path, count: int) -> float:
    """Write rows of 10 kB each; returns the file's size in MB."""
    text, csv = "word " * 1000, path.suffix == ".csv"
    with path.open("w") as stream:
        stream.write({".json": "[", ".csv": "prompt,chosen,rejected\n"}.get(path.suffix, ""))
        for number in range(count):
            row = {**good(number), "chosen": f"{number} {text}", "rejected": f"{text} {number}"}
            comma = "," if path.suffix == ".json" and number else ""
            stream.write(
                f"{row['prompt']},{row['chosen']},{row['rejected']}\n" if csv else comma + json.dumps(row) + "\n"
            )
        stream.write("]" if path.suffix == ".json" else "")
    return path.stat().st_size / 1e6


@LONG
@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_rows_do_not_fill_memory(ending, commands, tiny_model_dir, tmp_path):
    """With twice the rows the peak grows by less than half of what the file grows by; caches are full at the first."""
    sizes, peaks = [], []
    for count in (FEW, MANY):
        path = tmp_path / f"{count}.{ending}"
        sizes.append(write(path, count))
        outcome = commands.run("check", path, "--model", tiny_model_dir("llama"))
        assert outcome.fault() is None, outcome.described()
        assert outcome.out.startswith(f"{count:,} of {count:,} rows retained"), outcome.described()
        peaks.append(outcome.extra_mb)
    assert peaks[0] > 1
    assert peaks[1] - peaks[0] < (sizes[1] - sizes[0]) / 2


@pytest.mark.parametrize("megabytes", [20, pytest.param(200, marks=LONG)])
def test_one_enormous_text(megabytes, commands, tiny_model_dir, tmp_path):
    """It is counted or refused; it does not take the rows next to it, nor the memory."""
    path = tmp_path / "rows.jsonl"
    rows = [good(0), {**good(1), "chosen": "dog " * (megabytes << 18)}, good(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = commands.run("check", path, "--model", tiny_model_dir("llama"), memory_mb=ROOM_MB)
    assert outcome.fault() is None, outcome.described()
