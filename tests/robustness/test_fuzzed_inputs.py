"""Damaged bytes of every format that a person hands to the command line: read, or refused in one line."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.byte_fuzz import damaged
from support.forked_commands import summed_up
from support.malformed_inputs import good
from support.tiny import CHATML

FEW, MANY = 6, 1000
SECONDS = 60
ROWS = [good(number) for number in range(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
PLAN = b"""\
interventions:
- {concept: bold, direction: suppress, strength: 1.0, backend: reward_shaping}
- concept: refusal
  direction: suppress
  strength: 0.5
  backend: filtering
"""


def _columnar(kind: str) -> bytes:
    table, sink = pa.Table.from_pylist(ROWS), io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, sink)
    else:
        make = pa.ipc.new_file if kind == "arrow-file" else pa.ipc.new_stream
        with make(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


ROW_FILES = {
    "rows.jsonl": LINES,
    "rows.json": json.dumps(ROWS).encode(),
    "rows.csv": b"prompt,chosen,rejected\n" + b'"Why, dog?",good,"not\nso good"\n' * 8,
    "rows.parquet": _columnar("parquet"),
    "file.arrow": _columnar("arrow-file"),
    "stream.arrow": _columnar("arrow-stream"),
    "rows.jsonl.gz": gzip.compress(LINES, mtime=0),
    "rows.parquet.gz": gzip.compress(_columnar("parquet"), mtime=0),
}
SETTINGS = b"max_length: 256\nseed: 3\nmin_rows: 10\nq_threshold: 0.05\nrank_by: z\nconcepts: bold,refusal\n"
SETTING_FILES = {
    "settings.yaml": (SETTINGS, ["check", "{rows}", "--settings", "{file}"]),
    "plan.yaml": (PLAN, ["plan", "check", "{file}", "--rows", "{rows}", "--out", "{file}.checked"]),
    "template.jinja": (CHATML.encode(), ["check", "{rows}", "--chat-template", "{file}"]),
}


def commands_for(name: str, content: bytes, argv: list[str], count: int, model: Path, folder: Path) -> list[list[str]]:
    """One command for each damaged version of a file."""
    (folder / "good.jsonl").write_bytes(LINES)
    found = []
    for number, data in enumerate(damaged(content, count, name)):
        file = folder / str(number) / name
        file.parent.mkdir()
        file.write_bytes(data)
        words = [word.format(rows=folder / "good.jsonl", file=file) for word in argv]
        found.append([*words, "--model", str(model)])
    return found


def faults(names, count, commands, model, folder):
    """What broke the rule, as a message; None if nothing did."""
    asked = []
    for name in names:
        content, argv = SETTING_FILES[name] if name in SETTING_FILES else (ROW_FILES[name], ["check", "{file}"])
        (folder / name).mkdir()
        asked += commands_for(name, content, argv, count, model, folder / name)
    bad = [(fault, outcome) for outcome in commands.run_each(asked, SECONDS) if (fault := outcome.fault())]
    return summed_up(bad, len(asked)) if bad else None


def test_a_few(commands, tiny_model_dir, tmp_path):
    assert faults([*ROW_FILES, *SETTING_FILES], FEW, commands, tiny_model_dir("llama"), tmp_path) is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*ROW_FILES, *SETTING_FILES])
def test_many(name, commands, tiny_model_dir, tmp_path):
    assert faults([name], MANY, commands, tiny_model_dir("llama"), tmp_path) is None
