"""The cache by shards: what is kept, what is made again, what is refused."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pytest

from anatomy.artifacts import shard_name
from anatomy.data import shard_cache
from anatomy.data.shard_cache import ShardCache, read_shards, shards
from anatomy.errors import RunError


class Row(NamedTuple):
    row_id: str


ROWS = [Row(f"row-{number}") for number in range(7)]


@pytest.fixture(autouse=True)
def three_rows_a_shard(monkeypatch):
    monkeypatch.setattr(shard_cache, "SHARD_ROWS", 3)


def fill(caches, rows=ROWS, progress=None):
    """One pass that writes the shards that are missing; returns (shard, cache) of each that it wrote."""
    made = []
    for number, part, lacking in shards(rows, caches, progress):
        for cache in lacking:
            cache.write(number, pa.table({"row_id": [row.row_id for row in part], "mark": [cache.mark] * len(part)}))
            made.append((number, cache.mark))
    return made


def test_rows_come_back_in_order_and_are_made_once(tmp_path):
    done = []
    assert fill([ShardCache(tmp_path, "m")], progress=done.append) == [(0, "m"), (1, "m"), (2, "m")]
    assert done == [3, 3, 1]
    assert read_shards(tmp_path, "things", "again")["row_id"].to_pylist() == [row.row_id for row in ROWS]
    assert fill([ShardCache(tmp_path, "m")]) == []


def test_only_shards_with_other_rows_or_another_mark_are_made_again(tmp_path):
    fill([ShardCache(tmp_path, "m")])
    (tmp_path / shard_name(1)).unlink()
    assert fill([ShardCache(tmp_path, "m")]) == [(1, "m")]
    assert fill([ShardCache(tmp_path, "m")], [*ROWS[:6], Row("other")]) == [(2, "m")]
    assert len(fill([ShardCache(tmp_path, "n")])) == 3


def test_caches_of_one_pass_are_filled_apart(tmp_path):
    fill([ShardCache(tmp_path / "a", "a")])
    assert {mark for _, mark in fill([ShardCache(tmp_path / "a", "a"), ShardCache(tmp_path / "b", "b")])} == {"b"}


def test_what_a_longer_set_or_a_killed_pass_left_is_deleted(tmp_path):
    fill([ShardCache(tmp_path, "m")])
    (tmp_path / f".{shard_name(0)}.123.part").touch()
    fill([ShardCache(tmp_path, "m")], ROWS[:3])
    assert [path.name for path in tmp_path.iterdir()] == [shard_name(0)]


def test_faults_are_one_line_with_the_remedy(tmp_path):
    with pytest.raises(RunError, match="no things; do it again"):
        read_shards(tmp_path, "things", "do it again")
    fill([ShardCache(tmp_path, "m")])
    ShardCache(tmp_path, "n").write(0, pa.table({"row_id": ["x"]}))
    with pytest.raises(RunError, match="things of different passes; do it again"):
        read_shards(tmp_path, "things", "do it again")
    (tmp_path / shard_name(0)).unlink()
    with pytest.raises(RunError, match="a shard is missing between the first and the last; do it again"):
        read_shards(tmp_path, "things", "do it again")
