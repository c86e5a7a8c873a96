"""Bad input over all formats: each case ends in one line that says what, where and how to fix it."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anatomy.data.ingest import ingest
from anatomy.data.pair_stream import read_pairs
from anatomy.errors import RowsError
from anatomy.settings import RowSettings

GOOD: dict[str, Any] = {"prompt": "Hi", "chosen": "A", "rejected": "B"}
LINE = json.dumps(GOOD) + "\n"
Write = Callable[[str, Any], Path]


def parquet(**columns: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def not_utf8_parquet() -> bytes:
    """A text column with Latin-1 bytes, which Arrow does not check when it writes."""
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\4\0\0\0"), pa.py_buffer(b"caf\xe9")])
    return parquet(prompt=["Hi"], chosen=text, rejected=["B"])


def repeated_columns() -> bytes:
    table = pa.table([pa.array(["Hi"]), pa.array(["A"]), pa.array(["B"]), pa.array(["C"])], names=[*GOOD, "chosen"])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def arrow_stream() -> bytes:
    table = pa.Table.from_pylist([GOOD] * 500)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


class Bad(NamedTuple):
    """A file (name, content), and parts of the message: what and where, and the remedy."""

    name: str
    content: Any
    says: tuple[str, ...]


NOISE = random.Random(0)
MANY = "".join(json.dumps({**GOOD, "prompt": f"Question {n}: {NOISE.randbytes(64).hex()}"}) + "\n" for n in range(200))
HALF_GZIP = gzip.compress(MANY.encode())[:3000]
WHOLE_GZIP = gzip.compress(MANY.encode())
NO_BLOCK = WHOLE_GZIP[:10] + b"\xff" + WHOLE_GZIP[11:]  # after the header of 10 bytes: a block type that is none
WRONG_SUM = WHOLE_GZIP[:-8] + bytes(8)
PARQUET = parquet(prompt=["Hi"] * 100, chosen=["A"] * 100, rejected=["B"] * 100)

FILES = {
    # empty
    "empty JSONL": Bad("a.jsonl", "", ("a.jsonl: the file is empty", "download or write")),
    "empty Parquet": Bad("a.parquet", b"", ("a.parquet: the file is empty",)),
    "blank lines only": Bad("a.jsonl", "\n \n\n", ("no rows in", "a.jsonl", "write or download")),
    "empty array": Bad("a.json", "[]", ("no rows in", "a.json")),
    "empty data array": Bad("a.json", '{"data": []}', ("no rows in", "a.json")),
    "CSV of a header": Bad("a.csv", "prompt,chosen,rejected\n", ("no rows in", "a.csv")),
    "Parquet without rows": Bad("a.parquet", parquet(prompt=[], chosen=[], rejected=[]), ("no rows in", "a.parquet")),
    "gzip of nothing": Bad("a.jsonl.gz", gzip.compress(b""), ("no rows in", "a.jsonl.gz")),
    # kind
    "unknown extension": Bad("a.xlsx", "x", ("a.xlsx: unknown extension `.xlsx`", "known: .parquet")),
    "no extension": Bad("rows", "x", ("unknown extension ``", "known: .parquet")),
    "gzip of an unknown kind": Bad("a.txt.gz", gzip.compress(b"x"), ("unknown extension `.txt`",)),
    "Parquet that is none": Bad("a.parquet", LINE * 5, ("a.parquet: cannot be read", "write or download it again")),
    "Parquet cut off": Bad("a.parquet", PARQUET[:-40], ("a.parquet: cannot be read", "download it again")),
    "Arrow that is none": Bad("a.arrow", LINE * 5, ("a.arrow: cannot be read", "download it again")),
    "Arrow cut off": Bad("a.arrow", arrow_stream()[:2000], ("a.arrow: cannot be read", "download it again")),
    # gzip
    "gzip cut off": Bad("a.jsonl.gz", HALF_GZIP, ("a.jsonl.gz: the gzip data end too early", "download or compress")),
    "gzip damaged": Bad("a.jsonl.gz", NO_BLOCK, ("a.jsonl.gz", "not sound gzip data", "compress it again")),
    "gzip with a wrong checksum": Bad("a.jsonl.gz", WRONG_SUM, ("a.jsonl.gz", "not sound gzip data", "CRC")),
    "gzip by name only": Bad("a.jsonl.gz", LINE, ("not sound gzip data", "drop .gz from its name")),
    "gzip without the name": Bad("a.jsonl", gzip.compress(LINE.encode()), ("line 1: not UTF-8", "name it .gz")),
    "gzipped Parquet cut off": Bad("a.parquet.gz", gzip.compress(PARQUET)[:200], ("a.parquet.gz", "end too early")),
    # JSON
    "JSONL line broken": Bad("a.jsonl", LINE * 2 + '{"prompt": "Hi\n', ("a.jsonl, line 3", "invalid JSON", "complete")),
    "JSONL number": Bad("a.jsonl", "7\n", ("a.jsonl, line 1", "found int")),
    "JSONL that is an array": Bad(
        "a.jsonl", json.dumps([GOOD]), ("a.jsonl, line 1", "found list", "name the file .json")
    ),
    "JSONL not UTF-8": Bad("a.jsonl", LINE.encode() + b'{"prompt": "caf\xe9"}', ("line 2: not UTF-8", "0xe9", "UTF-8")),
    "JSON array cut off": Bad("a.json", f"[{LINE},{LINE[:20]}", ("a.json, line 2", "invalid JSON", "write it again")),
    "JSON array not closed": Bad("a.json", f"[{LINE}", ("a.json, line 2", "expected `]`", "the end of the file")),
    "JSON array, comma missing": Bad("a.json", f"[{LINE}{LINE}]", ("a.json, line 2", "expected `]`")),
    "JSON of nothing sensible": Bad("a.json", "hello", ("a.json, line 1", "expected `[` or `{`")),
    "JSON in Python's quotes": Bad("a.json", "[{'prompt': 'Hi'}]", ("a.json, line 1", "property name")),
    "JSON not UTF-8": Bad("a.json", b'[{"prompt": "caf\xe9"}]', ("a.json, line 1 or later: not UTF-8", "0xe9")),
    "JSON nested without end": Bad("a.json", "[" * 100_000, ("a.json, line 1", "invalid JSON", "nested more than 64")),
    "JSONL of rows that cannot be held": Bad(
        "a.jsonl", ("[" * 100_000 + "\n") * 2, ("a.jsonl, line 1", "nested more than 64 levels deep", "no later row")
    ),
    "JSON of texts": Bad("a.json", '["Hi", "A"]', ("a.json, row 1 (line 1)", "found str", "no later row")),
    "Parquet text not UTF-8": Bad(
        "a.parquet", not_utf8_parquet(), ("a.parquet, row 1 or later", "0xe9", "write the file")
    ),
    "four hundred columns": Bad(
        "a.jsonl", [{f"c{n}\n": n for n in range(400)}], ("no column `chosen`", "c1 , c2 , c3", "and 385 more")
    ),
    # CSV
    "CSV line too long": Bad("a.csv", "prompt,chosen,rejected\nHi,A,B\nHi, you,A,B\n", ("line 3: 4 cells", "quote")),
    "CSV line too short": Bad("a.csv", "prompt,chosen,rejected\nHi,A\n", ("a.csv, line 2: 2 cells", "header has 3")),
    "CSV quote left open": Bad("a.csv", 'prompt,chosen,rejected\nHi,"A,B\n', ("a.csv, line 2", "invalid CSV", "quote")),
    "CSV column twice": Bad("a.csv", "prompt,chosen,chosen\nHi,A,B\n", ("`chosen` occurs twice", "rename or remove")),
    "CSV not UTF-8": Bad("a.csv", b"prompt,chosen,rejected\ncaf\xe9,A,B\n", ("a.csv, line", "not UTF-8", "0xe9")),
    "Arrow column twice": Bad("a.arrow", repeated_columns(), ("a.arrow", "`chosen` occurs twice", "rename")),
    # columns
    "no chosen": Bad(
        "a.jsonl",
        [{"prompt": "Hi", "fine": "A", "foul": "B"}],
        ("no column `chosen`", "prompt, fine, foul", "--map prompt=prompt,chosen=fine,rejected=foul"),
    ),
    "no rejected": Bad(
        "a.csv",
        "prompt,chosen\nHi,A\n",
        ("line 2: no column `rejected`", "--map prompt=prompt,chosen=chosen,rejected=COLUMN"),
    ),
    "no columns": Bad("a.jsonl", "{}\n", ("no column `chosen`", "columns here: none")),
    "no chosen in Parquet": Bad("a.parquet", parquet(text=["Hi"]), ("a.parquet, row 1", "no column `chosen`", "text")),
    "texts without a prompt": Bad("a.jsonl", [{"chosen": "A", "rejected": "B"}], ("plain text", "--map prompt=COLUMN")),
}


def refused(settings: RowSettings) -> str:
    with pytest.raises(RowsError) as caught:
        list(read_pairs(settings))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "no traceback of an inner error"
    return message


@pytest.mark.parametrize("case", FILES)
def test_bad_file(case: str, write: Write) -> None:
    name, content, says = FILES[case]
    path = write(name, content)
    message = refused(RowSettings(rows=str(path)))
    assert message.startswith(str(path))
    for part in says:
        assert part in message


ALL_FAULTY = {
    "every response null": ([{**GOOD, "chosen": None}] * 3, "missing-response", "row 1: `chosen`"),
    "every response NaN": ([{**GOOD, "rejected": float("nan")}] * 3, "non-text", "row 1: `rejected` is NaN"),
    "every response blank": ([{**GOOD, "rejected": " "}] * 3, "empty-response", "`rejected` has no text"),
    "every pair identical": ([{**GOOD, "rejected": "A"}] * 3, "identical-pair", "Hi → A"),
    "every pair a tie": ([{**GOOD, "score_chosen": 1, "score_rejected": 1}] * 3, "tie", "Hi → A"),
    "every side ends in a user turn": (
        [{side: [{"role": "user", "content": side}] for side in ("chosen", "rejected")}] * 3,
        "no-assistant-turn",
        "`chosen` ends in a turn of str 'user'",
    ),
}


@pytest.mark.parametrize("case", ALL_FAULTY)
def test_set_without_a_usable_row(case: str, write: Write, tmp_path: Path) -> None:
    records, reason, example = ALL_FAULTY[case]
    path = write("a.jsonl", records)
    with pytest.raises(RowsError) as caught:
        ingest(RowSettings(rows=str(path)), tmp_path / "out")
    message = str(caught.value)
    assert message.startswith(f"{path}: none of 3 rows can be used; 3 are `{reason}`")
    assert example in message
    assert "check the columns" in message
    assert not list((tmp_path / "out").iterdir()), "no half-made artifact"


def place(settings: dict[str, Any], tmp_path: Path) -> RowSettings:
    return RowSettings(**{**settings, "rows": settings["rows"].replace("TMP", str(tmp_path))})


PLACES: dict[str, tuple[dict[str, Any], list[str], tuple[str, ...]]] = {
    "missing file": ({"rows": "TMP/a.parquet"}, [], ("a.parquet: no such file", "check the path")),
    "missing relative file": ({"rows": "no-such-folder/a.jsonl.gz"}, [], ("no such file", "relative to")),
    "folder without data": (
        {"rows": "TMP"},
        ["README.md", ".x.jsonl"],
        ("no data files", "known extensions: .parquet"),
    ),
    "folder named as a file": ({"rows": "TMP/a.parquet"}, ["a.parquet/x.txt"], ("a.parquet: no data files",)),
    "mixed folder": ({"rows": "TMP"}, ["a.jsonl", "b.csv"], ("mixes .csv, .jsonl files", "with a pattern")),
    "glob without a match": ({"rows": "TMP/*.jsonl"}, ["a.csv"], ("no file matches this pattern", "quote it")),
    "glob over kinds": ({"rows": "TMP/*"}, ["a.jsonl", "b.md"], ("mixes .jsonl, .md files",)),
    "splits without train": ({"rows": "TMP"}, ["test.jsonl", "dev.jsonl"], ("several splits", "dev, test", "`split`")),
    "split beside other files": ({"rows": "TMP"}, ["test.jsonl", "a.jsonl"], ("several splits", "(none), test")),
    "unknown split": ({"rows": "TMP", "split": "val"}, ["test.jsonl"], ("no split `val`", "by file name: test")),
    "split of a file": (
        {"rows": "TMP/a.jsonl", "split": "test"},
        ["a.jsonl"],
        ("`split` is for folders", "leave it out"),
    ),
    "revision of a file": ({"rows": "TMP/a.jsonl", "revision": "main"}, ["a.jsonl"], ("`revision` is for", "Hub")),
    "configuration of a file": ({"rows": "TMP/a.jsonl", "config": "x"}, ["a.jsonl"], ("`config` is for", "Hub")),
    "forced explicit": ({"rows": "TMP/h.jsonl", "format": "explicit"}, ["h.jsonl"], ("no column `prompt`", "--map")),
    "forced sharegpt": ({"rows": "TMP/a.jsonl", "format": "sharegpt"}, ["a.jsonl"], ("no column `conversations`",)),
}
HH_LINE = json.dumps({side: f"\n\nHuman: Hi\n\nAssistant: {side}" for side in ("chosen", "rejected")})


@pytest.mark.parametrize("case", PLACES)
def test_bad_place(case: str, write: Write, tmp_path: Path) -> None:
    settings, files, says = PLACES[case]
    for name in files:
        write(name, HH_LINE if name.startswith("h") else LINE)
    message = refused(place(settings, tmp_path))
    for part in says:
        assert part in message


def test_file_that_this_user_may_not_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.jsonl", LINE)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "this user may not read it; change its permissions" in refused(RowSettings(rows=str(path)))


def test_fault_deep_in_a_file_names_its_line(write: Write) -> None:
    """The rows before the broken one are delivered first: nothing is read ahead."""
    path = write("a.jsonl", LINE * 1000 + "{\n" + LINE)
    rows = read_pairs(RowSettings(rows=str(path)))
    assert sum(1 for _ in zip(range(1000), rows, strict=False)) == 1000
    with pytest.raises(RowsError, match=r"a\.jsonl, line 1001"):
        next(rows)
