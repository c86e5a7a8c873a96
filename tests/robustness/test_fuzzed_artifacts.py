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

from anatomy import artifacts
from anatomy.types import file_hash

FEW, MANY = 4, 1000
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


def checked(name, count, run, commands, folder, fit):
    """Run the command that reads an artifact on damaged versions of it, or on versions whose checksums ``fit``."""
    file, argv = place_of(run, name), READERS[name]
    content = (run / file).read_bytes()
    if not fit:
        versions = damaged(content, count, name)
    elif file.endswith(".json"):
        versions = distorted(json.loads(content), count, name)
    else:
        versions = distorted_tables(pq.read_table(io.BytesIO(content)), count, name)
    asked = []
    for number, version in enumerate(versions):
        place = linked_copy(run, folder / str(number) / "run", file, version if not fit else content)
        if fit and isinstance(version, pa.Table):
            pq.write_table(version, place / file, compression="zstd")
        if fit and file != artifacts.MANIFEST:
            if not isinstance(version, pa.Table):
                fitting(place / file, version)
            made_to_fit(place)
        elif fit:
            fitting(place / file, version)
        asked.append([word.format(run=place) for word in argv])
    outcomes = commands.run_each(asked, SECONDS)
    bad = [(fault, outcome) for outcome in outcomes if (fault := outcome.fault())]
    if not fit:
        whole = commands.run(*(word.format(run=run) for word in argv))
        plain = re.sub(r"\S*/run\b", "RUN", whole.out)
        bad += [
            ("damage unnoticed", end)
            for end in outcomes
            if end.status == 0 and re.sub(r"\S*/run\b", "RUN", end.out) != plain
        ]
    report = "\n\n".join(ascii(f"{fault}\n{outcome.described()}").replace("\\n", "\n") for fault, outcome in bad[:6])
    assert not bad, f"{len(bad)} of {count}:\n{report}"


@pytest.mark.parametrize("fit", [False, True], ids=["damaged", "fitting"])
@pytest.mark.parametrize("name", READERS)
def test_a_few(name, fit, run, commands, tmp_path):
    checked(name, FEW, run, commands, tmp_path, fit)


@pytest.mark.exhaustive
@pytest.mark.parametrize("fit", [False, True], ids=["damaged", "fitting"])
@pytest.mark.parametrize("name", READERS)
def test_many(name, fit, run, commands, tmp_path):
    checked(name, MANY, run, commands, tmp_path, fit)
