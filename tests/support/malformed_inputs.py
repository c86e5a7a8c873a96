"""Malformed row files by kind, made from a seed: what people and attackers put where preference rows are expected."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

TERMINAL = "\x1b]52;c;UFdORUQ=\x07\x1b[2J\x9b31m\u202ered"
COLUMNS = [
    "prompt", "chosen", "rejected", "source", "chosen_model", "score_chosen", "chat_template_kwargs", "tools", "images",
    "id", "messages", "label", "rating",
]  # fmt: skip


class Case(NamedTuple):
    """One input: its kind, the name of the file in a folder that was made for it, and what fills that folder."""

    kind: str
    file: str
    fill: Callable[[Path], object]


def good(number: int) -> dict[str, Any]:
    """A row as it should be."""
    return {
        "prompt": f"Why is the dog number {number} good?",
        "chosen": f"Because it is **fine** {number}.",
        "rejected": f"It is not a dog {number}.",
        "source": "web",
    }


def _raw(name: str, content: bytes) -> tuple[str, Callable[[Path], object]]:
    return name, lambda folder: (folder / name).write_bytes(content)


def _jsonl(rows: list[Any], name: str = "rows.jsonl") -> tuple[str, Callable[[Path], object]]:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    return _raw(name, lines.encode("utf-8", "surrogatepass"))


def _among_good(row: Any) -> list[Any]:
    return [good(0), good(1), row, good(2)]


def _odd_values(chance: random.Random) -> list[Any]:
    deep: Any = "bottom"
    for _ in range(chance.choice([60, 900])):
        deep = [deep]
    return [
        None, True, 0, -1, 2**63, 10**400, 1e308, "", " ", "\n", "\x00", "\ud800", "a\udc80b", TERMINAL, "=1+1",
        "9" * 5000, "1e999", "{" * 3000, "[" * 3000, [], {}, [[]], [{}], [None], [1, 2], deep, {"role": "user"},
        [{"role": "user"}], [{"role": None, "content": None}], [{"role": "user", "content": [{"type": "text"}]}],
        [{"role": "user", "content": {"a": 1}}], [{"role": TERMINAL, "content": "x"}], "x" * 100_000, "🐕" * 2000,
        "\u0301" * 3000, {"chat_template": "{% for i in range(10**9) %}x{% endfor %}"}, {"bos_token": "<x>"},
        {"tokenize": True}, [{"from": "human", "value": 3}], "\r\n\u2028\x85", "<|im_end|>" * 50,
    ]  # fmt: skip


def odd_cells(chance: random.Random) -> Iterator[Case]:
    """Every column with every odd value, one odd row among good ones."""
    for column in COLUMNS:
        for value in _odd_values(chance):
            row = {**good(9), column: value}
            try:
                yield Case(f"cell {column}", *_jsonl(_among_good(row)))
            except (ValueError, RecursionError):  # numbers of too many digits for this writer
                text = json.dumps({**good(9), column: 0})[:-2] + "1" * 5000 + "}"
                yield Case(f"cell {column}", *_raw("rows.jsonl", text.encode() + b"\n"))


def raw_json(chance: random.Random) -> Iterator[Case]:
    """JSON and JSON lines that are broken, odd or hostile before any row is seen."""
    line = json.dumps(good(0)).encode()
    number = str(10**400).encode()
    for ending in ("jsonl", "json"):
        for content in (
            b"", b"\n\n\n", b"null", b"[]", b"{}", b"[[]]", b"[null]", b"3", b'"text"', b"[" * 100_000,
            b'{"a":' * 50_000, line[:-5], line + line, line + b"," + line, b"[" + line, b"[" + line + b",]",
            b"[" + line + b"," + line[:20],
            line.replace(b'"', b"'"), b"// comment\n" + line, line.replace(b'"web"', b"NaN"),
            line.replace(b'"web"', b"-Infinity"), line.replace(b'"web"', number), line.replace(b'"web"', b"1e999999"),
            line.replace(b'"web"', b'"\\ud83d"'), line.replace(b'"web"', b'"\\x"'), line.replace(b"web", b"\xff\xfe"),
            line.replace(b'"source"', b'"prompt"'), b"\xef\xbb\xbf" + line, line.decode().encode("utf-16"),
            line.decode().encode("utf-32"), b"\xff\xfe" + line, line + b"\x00\x00\x00", b"\x00" * 4096,
            line + b"\r" + line, line + b"\n" + b" " * 100_000 + b"\n" + line, b'{"data": 3}',
            b'{"data": [' + line + b"]}",
            b'{"data": [' + line, b"{" + b'"k":1,' * 20_000 + b'"z":1}', line + b"\n" + b"[1]\n" + line,
            b'{"prompt": "' + b"\\u0000" * 2000 + b'", "chosen": "a", "rejected": "b"}', bytes(chance.randbytes(5000)),
        ):  # fmt: skip
            yield Case(f"raw {ending}", *_raw(f"rows.{ending}", content))


def raw_csv(chance: random.Random) -> Iterator[Case]:
    """CSV that is broken, odd or hostile."""
    head = b"prompt,chosen,rejected\n"
    for content in (
        b"", b"\n", head, head.strip(), head + b"a,b,c\n\n\nd,e,f\n", head + b"a,b\n", head + b"a,b,c,d\n",
        head + b'"a,b,c\n', head + b'a"b,c,d\n', head + b'"a"x,b,c\n', head + b"a,\x00,c\n", head + b"a,\xff,c\n",
        head.replace(b",", b";") + b"a;b;c\n", head.replace(b",", b"\t") + b"a\tb\tc\n", head + b"a,b,c\r" * 5,
        b"prompt,prompt,rejected\na,b,c\n", b",,\na,b,c\n", b"\xef\xbb\xbf" + head + b"a,b,c\n",
        head + b"x" * 300_000 + b",b,c\n", head + b'"' + b"\n" * 5000 + b'",b,c\n', head + b"=1+1,@x,-3\n",
        head.decode().encode("utf-16"), b"a" * 100_000 + b"\n1\n", head + TERMINAL.encode() + b",b,c\n",
        TERMINAL.encode() + b",chosen,rejected\na,b,c\n", head + b",,\n", bytes(chance.randbytes(3000)),
    ):  # fmt: skip
        yield Case("raw csv", *_raw("rows.csv", content))


def _columnar(name: str, table: pa.Table) -> tuple[str, Callable[[Path], object]]:
    def fill(folder: Path) -> None:
        path = folder / name
        if name.endswith(".parquet"):
            pq.write_table(table, path)
        else:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)

    return name, fill


def columnar_types(chance: random.Random) -> Iterator[Case]:
    """Parquet and Arrow files whose columns have types or shapes that no row should."""
    text = pa.array(["a good dog", "a bad dog"])
    odd = [
        pa.array([1, 2]), pa.array([1.5, float("nan")]), pa.array([b"\xff\xfe", b"ok"]), pa.nulls(2),
        pa.array([datetime.datetime(1, 1, 1), None]), pa.array([decimal.Decimal("1e30"), None], pa.decimal256(60, 2)),
        pa.array([["a"], []]), pa.array([{"role": "user"}, None]), pa.array(["x", "y"]).dictionary_encode(),
        pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())), pa.array([True, False]),
        pa.array(["a", None], pa.large_string()), pa.array([2**63, 1], pa.uint64()),
        pa.array([datetime.timedelta(days=99), None]), pa.array([[["deep"]], [[None]]]), pa.array(["", "\x00"]),
        pa.array([2**62, None], pa.timestamp("s")), pa.array([datetime.date(9999, 1, 1), None]),
        pa.array(["view", "é"], pa.string_view()),
    ]  # fmt: skip
    for ending in ("parquet", "arrow"):
        for column in ("prompt", "chosen", "source"):
            for values in odd:
                columns = {"prompt": text, "chosen": text, "rejected": pa.array(["no", "never"]), "source": text}
                if ending == "parquet" and values.type in (pa.string_view(), pa.timestamp("s")):
                    continue  # Parquet has neither
                yield Case(f"type {ending}", *_columnar(f"rows.{ending}", pa.table({**columns, column: values})))
        yield Case(f"type {ending}", *_columnar(f"rows.{ending}", pa.table({})))
        yield Case(f"type {ending}", *_columnar(f"rows.{ending}", pa.table({"prompt": pa.array([], pa.string())})))
        twice = pa.Table.from_arrays([text, text, text], names=["prompt", "prompt", "chosen"])
        yield Case(f"type {ending}", *_columnar(f"rows.{ending}", twice))
        broken = pa.Array.from_buffers(
            pa.string(),
            2,
            [None, pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0])), pa.py_buffer(b"\xff\xfez")],
        )
        columns = {"prompt": broken, "chosen": text, "rejected": text}
        yield Case(f"type {ending}", *_columnar(f"rows.{ending}", pa.table(columns)))


def containers(chance: random.Random) -> Iterator[Case]:
    """Files that are not what their name says, compressed in vain, or no files at all."""
    lines = "".join(json.dumps(good(number)) + "\n" for number in range(4)).encode()
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([good(0)]), table)
    sound = gzip.compress(lines)
    for name, content in (
        ("rows.jsonl.gz", sound[:-9]), ("rows.jsonl.gz", lines), ("rows.jsonl.gz", gzip.compress(sound)),
        ("rows.jsonl.gz", sound + b"tail"), ("rows.jsonl.gz", sound[:20] + b"\x00" * 9 + sound[29:]),
        ("rows.parquet.gz", gzip.compress(table.getvalue()[:-4])), ("rows.parquet", lines), ("rows.arrow", lines),
        ("rows.jsonl", table.getvalue()), ("rows.parquet", table.getvalue()[:-6]), ("rows.csv", table.getvalue()),
        ("rows.parquet", b"PAR1" + b"\xff" * 60 + b"PAR1"), ("rows", lines), ("rows.txt", lines), ("rows.JSONL", lines),
        ("rows.arrow", b"ARROW1\x00\x00" + b"\xff" * 64 + b"ARROW1"),
        ("rows.arrow", b"\xff\xff\xff\xff\x00\x00\x10\x00"),
        ("rows.jsonl.gz", gzip.compress(b"\x00" * (64 << 20))), ("rows.jsonl.gz", gzip.compress(b"[" * (8 << 20))),
    ):  # fmt: skip
        yield Case("container", *_raw(name, content))
    yield Case("no file", "rows.jsonl", lambda folder: (folder / "rows.jsonl").mkdir())
    yield Case("no file", "rows.jsonl", lambda folder: os.mkfifo(folder / "rows.jsonl"))
    yield Case("no file", "rows.jsonl", lambda folder: (folder / "rows.jsonl").symlink_to("rows.jsonl"))
    yield Case("no file", "rows.jsonl", lambda folder: (folder / "rows.jsonl").symlink_to("/dev/zero"))
    yield Case("no file", "rows.jsonl", lambda folder: (folder / "rows.jsonl").symlink_to("/nowhere"))
    yield Case("no file", "**/*.jsonl", lambda folder: (folder / "loop").symlink_to(folder))
    yield Case("no file", ".", lambda folder: (folder / "loop").symlink_to(folder))
    yield Case("no file", ".", lambda folder: os.mkfifo(folder / "rows.jsonl"))


def names(chance: random.Random) -> Iterator[Case]:
    """Odd names of files and of columns."""
    lines = "".join(json.dumps(good(number)) + "\n" for number in range(3)).encode()
    for name in (
        "-rows.jsonl", " rows.jsonl", "ro\nws.jsonl", "ro\x1b[31mws.jsonl", "é🐕.jsonl", "a" * 240 + ".jsonl",
        "[x].jsonl", "a*b.jsonl", "rows.jsonl.jsonl", "ro\u202ews.jsonl", "=rows.jsonl", "'rows;.jsonl", "#rows.jsonl",
    ):  # fmt: skip
        yield Case("file name", *_raw(name, lines))
    yield Case("file name", "missing-" + "x" * 300 + ".jsonl", lambda folder: None)
    yield Case("file name", "nul\x00byte.jsonl", lambda folder: None)
    for name in (
        "",
        " ",
        "prompt ",
        "Prompt",
        "\n",
        TERMINAL,
        "x" * 50_000,
        "\ud800",
        "\x00",
        "=cmd",
        "constructor",
        "__class__",
    ):
        yield Case("column name", *_jsonl(_among_good({**good(5), name: "x"})))
        yield Case("column name", *_jsonl([{name: "x", "chosen": "y"}, {name: "z", "chosen": "w"}]))


def messages(chance: random.Random) -> Iterator[Case]:
    """Conversations of odd shape."""
    user, reply = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
    call = {"type": "function", "function": {"name": "f", "arguments": "{" * 500}}
    for prompt, chosen, rejected in (
        ([], [reply], [reply]), ([user], [], [reply]), ([user], [user], [reply]), ([reply], [reply], [reply]),
        ([user] * 400, [reply], [{"role": "assistant", "content": "No."}]), ([user], [reply], [reply]),
        ([{"role": "wizard", "content": "x"}], [reply], [{"role": "assistant", "content": "No."}]),
        ([user], [{"role": "assistant", "content": None, "tool_calls": [call]}], [reply]),
        ([user], [{"role": "assistant", "content": "", "tool_calls": "none"}], [reply]),
        ([user], [{"role": "assistant", "content": [{"type": "image_url", "image_url": "x"}]}], [reply]),
        ([user, None], [reply], [reply]), ([user], reply, reply), (user, "a", "b"), ([user], [["a"]], [["b"]]),
        ([{"content": "no role"}], [reply], [{"role": "assistant", "content": "No."}]), ([user], [3], [4]),
        ([{"role": "system", "content": "s"}], [reply], [{"role": "assistant", "content": "No."}]),
        ([{**user, "chat_template": "{{ 1/0 }}"}], [reply], [{"role": "assistant", "content": "No."}]),
        ("\n\nHuman: a\n\nAssistant:", "\n\nAssistant: b", "\n\nAssistant: c"),
    ):  # fmt: skip
        yield Case("messages", *_jsonl(_among_good({"prompt": prompt, "chosen": chosen, "rejected": rejected})))
        row = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        yield Case("messages", *_jsonl([row, row, row]))
    for text in ("\n\nHuman: a", "\n\nAssistant: a", "Human: a Assistant: b", "\n\nHuman:\n\nAssistant:" * 300):
        yield Case("messages", *_jsonl([{"chosen": text, "rejected": text + " x"}]))


KINDS = (odd_cells, raw_json, raw_csv, columnar_types, containers, names, messages)


def malformed(seed: int) -> list[Case]:
    """All malformed inputs of a seed, kind after kind."""
    chance = random.Random(seed)
    return [case for kind in KINDS for case in kind(chance)]
