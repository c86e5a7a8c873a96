"""Damaged artifacts of every kind: what reads them says so in one line, or gives what it gave before.

A run directory may also come from a stranger who makes its checksums fit: then nothing can be recognised as damaged,
and the rule that holds for every command is all that is asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from support.byte_fuzz import damaged

FEW, MANY = 4, 1000
SECONDS = 60
TINY = ["--device", "cpu", "--dtype", "float32"]


@pytest.fixture(scope="session")
def run(audited, commands, tmp_path_factory):
    """A finished run with a null check and a comparison's partner."""
    copy = shutil.copytree(audited, tmp_path_factory.mktemp("fuzzed") / "run")
    outcome = commands.run("null", copy, "--repetitions", "2")
    assert outcome.status == 0, outcome.described()
    return copy


READERS = {
    "manifest.json": ["show", "{run}"],
    "health.json": ["show", "{run}"],
    "summary.json": ["show", "{run}"],
    "labels.json": ["show", "{run}", "R1"],
    "clusters.parquet": ["show", "{run}", "R1"],
    "hypotheses.parquet": ["plan", "{run}", "--suppress", "R1", "--out", "{run}/../plan.yaml"],
    "null.json": ["report", "{run}"],
    "rows.parquet": ["report", "{run}"],
    "tokens.parquet": ["report", "{run}"],
    "scored_tokens.parquet": ["report", "{run}"],
    "data_clusters.parquet": ["report", "{run}"],
    "contexts.parquet": ["report", "{run}"],
    "features/shard-00000.parquet": ["null", "{run}", "--repetitions", "1"],
    "scores/bold/shard-00000.parquet": ["null", "{run}", "--repetitions", "1"],
}


def linked_copy(run: Path, place: Path, name: str, content: bytes) -> Path:
    """A copy of a run by links, in which one file has other content."""
    shutil.copytree(run, place, copy_function=os.link)
    for written in ("manifest.json", ".lock", name):  # what commands write in place would be written in all copies
        path = place / written
        if path.exists():
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)
    (place / name).write_bytes(content)
    return place


def checked(name, count, run, commands, folder):
    """Faults of the commands that read damaged versions of one artifact."""
    content, argv = (run / name).read_bytes(), READERS[name]
    asked = []
    for number, data in enumerate(damaged(content, count, name)):
        place = linked_copy(run, folder / str(number) / "run", name, data)
        asked.append([word.format(run=place) for word in argv])
    bad = [(fault, outcome) for outcome in commands.run_each(asked, SECONDS) if (fault := outcome.fault())]
    report = "\n\n".join(ascii(f"{fault}\n{outcome.described()}").replace("\\n", "\n") for fault, outcome in bad[:6])
    assert not bad, f"{len(bad)} of {count}:\n{report}"


@pytest.mark.parametrize("name", READERS)
def test_a_few(name, run, commands, tmp_path):
    checked(name, FEW, run, commands, tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", READERS)
def test_many(name, run, commands, tmp_path):
    checked(name, MANY, run, commands, tmp_path)
