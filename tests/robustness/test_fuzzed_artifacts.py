"""Damaged artifacts of every kind: what reads them says so in one line, or gives what it gave before.

A run directory may also come from a stranger who makes its checksums fit: then nothing can be recognised as damaged,
and the rule that holds for every command is all that is asked.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.byte_fuzz import damaged, distorted, distorted_tables
from support.forked_commands import summed_up

from anatomy import artifacts
from anatomy.types import file_hash

FEW, MANY = 3, 1000
SECONDS = 60


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
    "features/shard-00000": ["null", "{run}", "--repetitions", "1"],
    "scores/bold/shard-00000": ["null", "{run}", "--repetitions", "1"],
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


def made_to_fit(place: Path) -> None:
    """Write all checksums of a run again, as a stranger can."""
    for folder in {path.parent for path in place.rglob("shard-*")}:
        for path in artifacts.sealed_files(folder):
            stem = path.name.rsplit("-", 1)[0]
            path.rename(folder / f"{stem}-{file_hash(path)[: artifacts.HASH_DIGITS]}.parquet")
    manifest = json.loads((place / artifacts.MANIFEST).read_text())
    for record in manifest["stages"].values():
        for name in record["outputs"]:
            record["outputs"][name] = artifacts.output_hash(place / name) or ""
    fitting(place / artifacts.MANIFEST, manifest)


def fitting(path: Path, document: object) -> None:
    """Write a JSON document with the checksum of its content, if it has one."""
    if isinstance(document, dict) and artifacts.CHECKSUM in document:
        document = artifacts.with_checksum(document)
    path.write_text(json.dumps(document))


def place_of(run: Path, name: str) -> str:
    """A file's name in a run; shards are named by what they hold."""
    return name if "shard" not in name else str(next(run.glob(f"{name}-*")).relative_to(run))


def versions_of(name: str, count: int, run: Path, folder: Path, fit: bool) -> list[list[str]]:
    """Commands that read an artifact in copies of a run: damaged, or distorted with checksums that ``fit``."""
    file = place_of(run, name)
    content = (run / file).read_bytes()
    if not fit:
        versions = damaged(content, count, name)
    elif file.endswith(".json"):
        versions = distorted(json.loads(content), count, name)
    else:
        versions = distorted_tables(pq.read_table(io.BytesIO(content)), count, name)
    asked = []
    for number, version in enumerate(versions):
        place = linked_copy(run, folder / name / str(fit) / str(number) / "run", file, content)
        if isinstance(version, bytes):
            (place / file).write_bytes(version)
        elif isinstance(version, pa.Table):
            pq.write_table(version, place / file, compression="zstd")
        else:
            fitting(place / file, version)
        if fit and file != artifacts.MANIFEST:
            made_to_fit(place)
        asked.append([word.format(run=place) for word in READERS[name]])
    return asked


def plain(text: str) -> str:
    """Output without the places of the copies."""
    return re.sub(r"\S*/run\b", "RUN", text)


def faults(names, count, run, commands, folder):
    """What broke the rule or went unnoticed, as a message; None if nothing did."""
    whole = commands.run_each([[word.format(run=run) for word in READERS[name]] for name in names], SECONDS)
    asked = [
        (fit, expected.out, argv)
        for name, expected in zip(names, whole, strict=True)
        for fit in (False, True)
        for argv in versions_of(name, count, run, folder, fit)
    ]
    bad = []
    for (fit, expected, _), end in zip(asked, commands.run_each([argv for *_, argv in asked], SECONDS), strict=True):
        fault = end.fault()
        if fault is None and not fit and end.status == 0 and plain(end.out) != plain(expected):
            fault = "damage unnoticed"
        bad += [(fault, end)] if fault else []
    return summed_up(bad, len(asked)) if bad else None


def test_a_few(run, commands, tmp_path):
    assert faults([*READERS], FEW, run, commands, tmp_path) is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", READERS)
def test_many(name, run, commands, tmp_path):
    assert faults([name], MANY, run, commands, tmp_path) is None
