"""Memory: bounded by a limit of the system, many rows are read, and too large a text is refused in one line."""

from __future__ import annotations

import json

import pytest
from support.malformed_inputs import good

ROOM_MB = 60
"""Address space that a command may take beyond its imports."""


LONG = pytest.mark.exhaustive


@pytest.mark.parametrize("ending", ["jsonl", pytest.param("json", marks=LONG), pytest.param("csv", marks=LONG)])
def test_rows_do_not_fill_memory(ending, commands, tiny_model_dir, tmp_path):
    """A file of 50 MB, while the room is needed for a few rows only."""
    path, text = tmp_path / f"rows.{ending}", "word " * 20_000
    with path.open("w") as stream:
        stream.write({"json": "[", "csv": "prompt,chosen,rejected\n"}.get(ending, ""))
        for number in range(250):
            row = {**good(number), "chosen": f"{number} {text}", "rejected": f"{text} {number}"}
            if ending == "csv":
                stream.write(f"{row['prompt']},{row['chosen']},{row['rejected']}\n")
            else:
                stream.write(("," if ending == "json" and number else "") + json.dumps(row) + "\n")
        stream.write("]" if ending == "json" else "")
    outcome = commands.run("check", path, "--model", tiny_model_dir("llama"), memory_mb=ROOM_MB)
    assert outcome.fault() is None, outcome.described()
    assert outcome.out.startswith("250 of 250 rows retained"), outcome.described()


@pytest.mark.parametrize("megabytes", [20, pytest.param(200, marks=LONG)])
def test_one_enormous_text(megabytes, commands, tiny_model_dir, tmp_path):
    """It is counted or refused; it does not take the rows next to it, nor the memory."""
    path = tmp_path / "rows.jsonl"
    rows = [good(0), {**good(1), "chosen": "dog " * (megabytes << 18)}, good(2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = commands.run("check", path, "--model", tiny_model_dir("llama"), memory_mb=20 * ROOM_MB)
    assert outcome.fault() is None, outcome.described()
