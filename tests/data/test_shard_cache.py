"""The cache by shards: what is kept, what is made again, what is refused."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pytest
from support.damage import DAMAGES

from anatomy.artifacts import sealed_path
from anatomy.data import shard_cache
from anatomy.data.shard_cache import ShardCache, numbered, read_shards, shard_stem, shards
from anatomy.errors import RunError


class Row(NamedTuple):
    row_id: str


ROWS = [Row(f"row-{number}") for number in range(7)]
COLUMNS = {"row_id": "string"}


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
    assert read_shards(tmp_path, "things", "again", COLUMNS)["row_id"].to_pylist() == [row.row_id for row in ROWS]
    assert fill([ShardCache(tmp_path, "m")]) == []


def test_only_shards_with_other_rows_or_another_mark_are_made_again(tmp_path):
    fill([ShardCache(tmp_path, "m")])
    numbered(tmp_path)[1][0].unlink()
    assert fill([ShardCache(tmp_path, "m")]) == [(1, "m")]
    assert fill([ShardCache(tmp_path, "m")], [*ROWS[:6], Row("other")]) == [(2, "m")]
    assert len(fill([ShardCache(tmp_path, "n")])) == 3


def test_caches_of_one_pass_are_filled_apart(tmp_path):
    fill([ShardCache(tmp_path / "a", "a")])
    assert {mark for _, mark in fill([ShardCache(tmp_path / "a", "a"), ShardCache(tmp_path / "b", "b")])} == {"b"}


def test_what_a_longer_set_left_is_deleted(tmp_path):
    fill([ShardCache(tmp_path, "m")])
    fill([ShardCache(tmp_path, "m")], ROWS[:3])
    assert list(tmp_path.iterdir()) == numbered(tmp_path)[0]


def test_faults_are_one_line_with_the_remedy(tmp_path):
    with pytest.raises(RunError, match="no things; do it again"):
        read_shards(tmp_path, "things", "do it again", COLUMNS)
    fill([ShardCache(tmp_path, "m")])
    ShardCache(tmp_path, "n").write(0, pa.table({"row_id": ["x"]}))
    with pytest.raises(RunError, match="things of different passes; do it again"):
        read_shards(tmp_path, "things", "do it again", COLUMNS)
    numbered(tmp_path)[0][0].unlink()
    with pytest.raises(RunError, match="a shard is missing between the first and the last; do it again"):
        read_shards(tmp_path, "things", "do it again", COLUMNS)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_shard_is_refused_and_made_again_alone_to_the_same_bytes(tmp_path, damage):
    fill([ShardCache(tmp_path, "m")])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (path,) = numbered(tmp_path)[1]
    damage(path)
    with pytest.raises(RunError, match=r"(damaged|missing between).*; do it again"):
        read_shards(tmp_path, "things", "do it again", COLUMNS)
    assert fill([ShardCache(tmp_path, "m")]) == [(1, "m")]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_files_of_one_shard_are_refused_and_one_is_left(tmp_path):
    """A kill may leave the old file and the new one."""
    fill([ShardCache(tmp_path, "m")])
    ShardCache(tmp_path / "other", "n").write(0, pa.table({"row_id": ["x"]}))
    (other,) = numbered(tmp_path / "other")[0]
    other.rename(tmp_path / other.name)
    with pytest.raises(RunError, match="of different passes"):
        read_shards(tmp_path, "things", "do it again", COLUMNS)
    assert fill([ShardCache(tmp_path, "m")]) == [(0, "m")]
    assert len(numbered(tmp_path)[0]) == 1


def test_files_of_others_in_the_folder_are_left_alone(tmp_path):
    names = ["shard-00000.parquet", "shard-x-0123456789abcdef.parquet", ".shard-00000.parquet.12.part", "notes.txt"]
    for name in names:
        (tmp_path / name).write_text("mine")
    fill([ShardCache(tmp_path, "m")])
    fill([ShardCache(tmp_path, "m")], ROWS[:3])
    assert all((tmp_path / name).read_text() == "mine" for name in names)
    assert read_shards(tmp_path, "things", "again", COLUMNS).num_rows == 3


@pytest.mark.parametrize(
    ("column", "values", "fault"),
    [("row_id", None, "is missing"), ("row_id", [1, 2], "of type int64"), ("row_id", ["a", None], "without values")],
)
def test_shards_that_lack_a_column_are_refused(column, values, fault, tmp_path):
    table = pa.table({"other": [1, 2]} if values is None else {column: values})
    ShardCache(tmp_path, "m").write(0, table)
    with pytest.raises(RunError, match=f"{fault}.*again"):
        read_shards(tmp_path, "things", "again", COLUMNS)


def test_a_shard_of_a_right_name_that_is_no_table_is_refused(tmp_path):
    """Anybody can name a file after its hash."""
    with sealed_path(tmp_path, shard_stem(0), ".parquet") as shard:
        shard.temporary.write_bytes(b"PAR1 and no table PAR1")
    with pytest.raises(RunError, match=r"not a valid Parquet file.*again"):
        read_shards(tmp_path, "things", "again", COLUMNS)
