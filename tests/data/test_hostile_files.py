"""Files that would crash, hang or fill the machine are one-line errors: damage, bombs, pipes, looping links."""

from __future__ import annotations

import gzip
import io
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from anatomy import artifacts
from anatomy.data import readers
from anatomy.data.pair_stream import read_pairs
from anatomy.data.readers import read_file
from anatomy.data.sources import find_sources, source_fingerprint
from anatomy.errors import RowsError
from anatomy.settings import RowSettings

LINE = '{"prompt": "Hi", "chosen": "A", "rejected": "B"}\n'
Write = Callable[[str, Any], Path]


def table() -> pa.Table:
    """Texts, lists, structs, dictionaries and views: each kind of buffer that offsets point into."""
    calls = [
        {"role": "assistant", "content": f"answer {number}", "calls": ["x"] * (number % 3)} for number in range(40)
    ]
    texts = pa.array([f"text {number}" for number in range(40)])
    return pa.table(
        {
            "prompt": texts,
            "chosen": pa.array([[call] for call in calls]),
            "rejected": pa.array([[call] for call in reversed(calls)]),
            "source": texts.dictionary_encode(),
            "view": texts.cast(pa.string_view()),
            "large": texts.cast(pa.large_string()),
            "map": pa.array([[("k", number)] for number in range(40)], pa.map_(pa.string(), pa.int64())),
        }
    )


def binary(kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table().drop_columns(["view"]), sink, row_group_size=20)
    else:
        new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with new(sink, table().schema) as writer:
            writer.write_table(table(), max_chunksize=16)
    return sink.getvalue()


def damaged(content: bytes, seed: int) -> bytes:
    """``content`` with bits flipped, and lengths and offsets replaced."""
    chance = random.Random(seed)
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(0, len(changed) - 8, 4)
        number = chance.choice([0, 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1, chance.randrange(2**16)])
        choice = chance.randrange(4)
        if choice == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif choice == 1:
            changed[at : at + 4] = (number % 2**32).to_bytes(4, "little")
        elif choice == 2:
            changed[at : at + 8] = number.to_bytes(8, "little")
        else:
            del changed[at : at + chance.choice([1, 8, 500])]
    return bytes(changed)


READ_ALL = """
import sys
from pathlib import Path
from anatomy.data.readers import read_file
from anatomy.errors import AnatomyError
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        for _ in read_file(path):
            pass
    except AnatomyError as error:
        assert "\\n" not in str(error) and len(str(error)) < 500, error
    print(path.name, flush=True)
"""


@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
def test_damaged_binary_files_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    """300 damaged files of each kind in a process of its own, which a native crash would end."""
    content = binary(kind)
    for seed in range(300):
        suffix = "parquet" if kind == "parquet" else "arrow"
        (tmp_path / f"{seed:03}.{suffix}").write_bytes(damaged(content, seed))
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True)
    read = done.stdout.split()
    assert done.returncode == 0, f"after {read[-1:]}: {done.stderr[-2000:]}"
    assert len(read) == 300


def bad_offsets(first: int, last: int) -> bytes:
    """An Arrow stream whose text column has these offsets into 5 bytes."""
    offsets = first.to_bytes(4, "little", signed=True) + last.to_bytes(4, "little", signed=True)
    chosen = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(b"texts")])
    batch = pa.record_batch([pa.array(["Hi"]), chosen, pa.array(["B"])], names=["prompt", "chosen", "rejected"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


@pytest.mark.parametrize(("first", "last"), [(0, 1 << 30), (0, 200), (4, 2), (0, -1)])
def test_offsets_out_of_bounds_are_refused(first: int, last: int, write: Write) -> None:
    content = bad_offsets(0, 5).replace(
        bytes(4) + (5).to_bytes(4, "little"),
        b"%b%b" % tuple(number.to_bytes(4, "little", signed=True) for number in (first, last)),
    )
    with pytest.raises(RowsError, match=r"a\.arrow: cannot be read as \.arrow"):
        list(read_file(write("a.arrow", content)))


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "arrow"])
def test_gzip_bomb_is_refused(kind: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anatomy.artifacts.memory_limit.MOST_UNPACKED", 1 << 16)
    path = write(f"a.{kind}.gz", gzip.compress(b" " * (1 << 20)))
    with pytest.raises(RowsError, match="unpacks to more than 200 times its size"):
        list(read_file(path))


def test_bomb_inside_of_a_parquet_file_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anatomy.artifacts.memory_limit.MOST_UNPACKED", 1 << 16)
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["x" * (1 << 24)]}), sink, compression="zstd", use_dictionary=False)
    with pytest.raises(RowsError, match="unpacks to more than 200 times its size"):
        list(read_file(write("a.parquet", sink.getvalue())))


READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from anatomy import artifacts
from anatomy.artifacts import memory_limit
from anatomy.data.readers import read_file
from anatomy.errors import AnatomyError

memory_limit.MOST_UNPACKED, memory_limit.BESIDE = 1 << 20, 1 << 26
before = resource.getrlimit(resource.RLIMIT_AS)
path = Path(sys.argv[1])
try:
    artifacts.read_table(path) if path.name == "labels.parquet" else list(read_file(path))
except AnatomyError as error:
    print(error)
assert resource.getrlimit(resource.RLIMIT_AS) == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
@pytest.mark.parametrize("name", ["rows.feather", "labels.parquet"])
def test_bomb_that_no_footer_tells_of_is_refused(name: str, tmp_path: Path) -> None:
    """Read in a process of its own and without Arrow's allocator, which has memory in hand that needs no asking."""
    path = tmp_path / name
    write = feather.write_feather if path.suffix == ".feather" else pq.write_table
    write(pa.table({"prompt": ["x" * (1 << 28)]}), path, compression="zstd")
    artifacts.record_outputs(tmp_path, [name])
    command = [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(path)]
    alone = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
    assert f"{name}: unpacks to more than 200 times its size" in done.stdout


def test_repetitive_rows_are_no_bomb(write: Write) -> None:
    """The same row 20,000 times, which gzip makes 190 times smaller, below the size at which the ratio counts."""
    assert sum(1 for _ in read_file(write("a.jsonl.gz", gzip.compress(LINE.encode() * 20_000)))) == 20_000


def test_rows_of_nothing_are_a_fault_of_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MOST_ROWS", 1000)
    monkeypatch.setattr(readers, "MOST_TIMES", 1)
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": pa.nulls(100_000), "chosen": pa.nulls(100_000)}), sink)
    with pytest.raises(RowsError, match="rows in so small a file"):
        list(read_file(write("a.parquet", sink.getvalue())))


def test_one_text_under_many_rows_is_not_held_many_times(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary of one long text: the rows are made one at a time."""
    monkeypatch.setattr(readers, "LONGEST_ROW", 1000)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["x" * 5000]))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema([("prompt", texts.type)])) as writer:
        writer.write_table(pa.table({"prompt": texts}))
    records = list(read_file(write("a.arrow", sink.getvalue())))
    assert [len(record.values["prompt"]) for record in records] == [5000] * 100


def test_row_of_a_columnar_file_too_long_to_hold_is_counted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "LONGEST_ROW", 1000)
    sink = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a", "x" * 5000, "b"]}), sink)
    faults = [record.fault for record in read_file(write("a.parquet", sink.getvalue()))]
    assert faults == ["", "a row of more than 1,000 bytes", ""]


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link to a pipe"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.csv.gz", "a"])
def test_only_regular_files_are_opened(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    for read in (find_sources, source_fingerprint, lambda settings: list(read_pairs(settings))):
        with pytest.raises(RowsError, match=rf"{name}: a folder, pipe, socket or device, not a file"):
            read(RowSettings(rows=str(path)))


@pytest.mark.parametrize("rows", ["set", "set/**/*.jsonl", "**/*.jsonl", "set/*/*.jsonl", "*/*/*/*/*/*.jsonl"])
def test_links_that_lead_back_end(rows: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four links to the folder above them: followed, they are a billion paths."""
    monkeypatch.chdir(tmp_path)
    write("set/inner/a.jsonl", LINE)
    for number in range(4):
        (tmp_path / "set" / f"up{number}").symlink_to(tmp_path / "set")
        (tmp_path / "set" / "inner" / f"up{number}").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "dead.jsonl").symlink_to(tmp_path / "none.jsonl")
    (tmp_path / "set" / "round.jsonl").symlink_to(tmp_path / "set" / "round.jsonl")
    names = {Path(source.name).name for source in find_sources(RowSettings(rows=rows))}
    assert names == {"a.jsonl"}


def test_patterns_keep_their_meaning(write: Write, tmp_path: Path) -> None:
    for name in ("a.jsonl", ".b.jsonl", "x/c.jsonl", ".y/d.jsonl", "x/.z/e.jsonl"):
        write(name, LINE)
    found = {
        pattern: [str(Path(source.name).relative_to(tmp_path)) for source in find_sources(RowSettings(rows=pattern))]
        for pattern in (
            f"{tmp_path}/{end}" for end in ("*.jsonl", "**/*.jsonl", ".*.jsonl", ".y/*.jsonl", "[ax]/?.jsonl")
        )
    }
    assert list(found.values()) == [["a.jsonl"], ["a.jsonl", "x/c.jsonl"], [".b.jsonl"], [".y/d.jsonl"], ["x/c.jsonl"]]
    with pytest.raises(RowsError, match="not a pattern"):
        find_sources(RowSettings(rows=f"{tmp_path}/a**b/*.jsonl"))
