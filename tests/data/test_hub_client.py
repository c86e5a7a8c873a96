"""The real clients of the Hub against one on this machine, and against none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.hub_server import COMMIT, serving

README = b"""---
configs:
- config_name: helpful
  data_files: [{split: train, path: helpful/*.jsonl}]
- config_name: harmless
  data_files: [{split: train, path: harmless/*.jsonl}, {split: test, path: harmless_test/*.jsonl}]
---
"""


def lines(prefix: str, number: int) -> bytes:
    rows = ({"prompt": f"{prefix} {n}", "chosen": "A", "rejected": "B"} for n in range(number))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


SETS = {
    "org/plain": {"data/train.jsonl": lines("plain", 5), "data/test.jsonl": lines("test", 2)},
    "org/several": {
        "README.md": README,
        "helpful/a.jsonl": lines("helpful", 3),
        "harmless/a.jsonl": lines("harmless", 4),
        "harmless_test/a.jsonl": lines("harmless test", 2),
    },
}
READ = """
import json, sys
from anatomy.data.pair_stream import read_pairs
from anatomy.data.sources import source_fingerprint
from anatomy.errors import AnatomyError
from anatomy.settings import RowSettings
for given in json.loads(sys.argv[1]):
    try:
        settings = RowSettings(**given)
        commits = list(source_fingerprint(settings).values())
        found = [[pair.prompt[0]["content"] for pair in read_pairs(settings)], commits]
    except AnatomyError as error:
        found = str(error)
    print(json.dumps(found))
"""


def read(settings: list[dict[str, str]], endpoint: str, home: Path, **environment: str) -> list[object]:
    """What a fresh process with this Hub reads, or the one line that it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
                   "HF_UPDATE_DOWNLOAD_COUNTS": "0", **environment}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(settings)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", '"'))]


def test_the_hub_is_read_at_one_commit_and_choices_are_listed(tmp_path):
    asked = [
        {"rows": "org/plain"},
        {"rows": "hf://datasets/org/plain/data/test.jsonl"},
        {"rows": "hf://datasets/org/plain@main/data/test.jsonl"},
        {"rows": "hf://datasets/org/plain/data/test.jsonl@main"},
        {"rows": "hf://datasets/org/several", "config": "helpful"},
        {"rows": "org/several", "config": "harmless", "split": "test"},
        {"rows": "org/several"},
        {"rows": "org/several", "config": "harm"},
        {"rows": "org/several", "config": "harmless", "split": "dev"},
        {"rows": "org/plain", "revision": "v9"},
        {"rows": "org/none"},
        {"rows": "hf://datasets/org/plain@main", "revision": "other"},
        {"rows": "hf://models/org/plain"},
    ]
    with serving(SETS) as (endpoint, paths):
        found = read(asked, endpoint, tmp_path)
    names = [one[0] if isinstance(one, list) else one for one in found]
    assert names[0] == [f"plain {n}" for n in range(5)]
    assert names[1:4] == [["test 0", "test 1"]] * 3
    assert names[4] == ["helpful 0", "helpful 1", "helpful 2"]
    assert names[5] == ["harmless test 0", "harmless test 1"]
    assert all(one[1] == [COMMIT] for one in found[:6])
    assert names[6] == "org/several: several configurations; choose one of harmless, helpful with `config`"
    assert names[7] == "org/several: no configuration `harm`; choose one of harmless, helpful with `config`"
    assert names[8] == "org/several: no split `dev`; choose one of test, train with `split`"
    assert names[9] == "org/plain: no revision `v9` on the Hub; name a commit, tag or branch"
    assert str(names[10]).startswith("org/none: neither a local path nor a data set on the Hub")
    assert "several revisions (main, other); name one" in names[11]
    assert "not an address of a data set; write hf://datasets/ORG/NAME" in names[12]
    read_at = [path for path in paths if "/resolve/" in path and path.endswith(".jsonl")]
    assert read_at
    assert all(f"/resolve/{COMMIT}/" in path for path in read_at)


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}])
def test_without_a_hub_the_cache_is_read_and_its_absence_said_at_once(environment, tmp_path):
    """Nobody listens on port 9."""
    snapshot = tmp_path / "hub" / "datasets--org--plain" / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    for name, content in SETS["org/plain"].items():
        (snapshot / name).write_bytes(content)
    asked = [{"rows": "org/plain"}, {"rows": "hf://datasets/org/plain/data/test.jsonl"}, {"rows": "org/several"}]
    kept, part, missing = read(asked, "http://127.0.0.1:9", tmp_path, **environment)
    assert kept[0] == [f"plain {n}" for n in range(5)]
    assert part[0] == ["test 0", "test 1"]
    assert str(missing).startswith("org/several: not a local path, and the Hub cannot be reached (")
    assert "run `hf download org/several" in str(missing)
