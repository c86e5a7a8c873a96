"""One odd cell never stops a set: the row is counted with its reason, or kept without it, and the rest is read."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from anatomy import artifacts
from anatomy.data.conversations import joined
from anatomy.data.faults import REASONS, Fault
from anatomy.data.ingest import ingest
from anatomy.data.json_stream import JSONStream
from anatomy.data.pair_stream import read_pairs
from anatomy.data.rows_table import read_rows
from anatomy.errors import RowsError
from anatomy.settings import RowSettings

GOOD: dict[str, Any] = {"prompt": "Hi", "chosen": "A", "rejected": "B"}
LINE = json.dumps(GOOD) + "\n"
MESSAGES = {side: [{"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
TRANSCRIPT = {side: f"\n\nHuman: Hi\n\nAssistant: {side}" for side in ("chosen", "rejected")}
HALF = "\ud800"
DEEP = "[" * 500 + "]" * 500
DEEPER = "[" * 100_000 + "]" * 100_000
Write = Callable[[str, Any], Path]


def call(arguments: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "A", "tool_calls": [{"name": "f", "arguments": arguments}]}


class Odd(NamedTuple):
    """A row as its line of JSON, the reason that it is counted with, and words of the message."""

    line: str
    reason: str
    says: tuple[str, ...]
    others: dict[str, Any] = GOOD


def odd(reason: str, *says: str, others: dict[str, Any] = GOOD, **cells: Any) -> Odd:
    return Odd(json.dumps({**others, **cells}), reason, says, others)


COUNTED = {
    "chosen is a number": odd("non-text", "`chosen` holds int 7", chosen=7),
    "chosen is a huge number": odd("non-text", "`chosen` holds int 1000", chosen=10**200),
    "chosen has 5,000 digits": Odd(
        f'{{"prompt": "Hi", "chosen": {"9" * 5000}, "rejected": "B"}}', "non-text", ("`chosen` holds float inf",)
    ),
    "prompt is true": odd("non-text", "`prompt` holds bool True", prompt=True),
    "prompt is infinite": odd("non-text", "`prompt` holds float inf", prompt=float("inf")),
    "chosen is a list of texts": odd("non-text", "list ['A']", "text or a list of messages", chosen=["A"]),
    "content is a number": odd("non-text", "has int 7 where text belongs", chosen=[{"role": "user", "content": 7}]),
    "chosen is deep": Odd(f'{{"prompt": "Hi", "chosen": {DEEP}, "rejected": "B"}}', "unreadable", ("64 levels",)),
    "another column is deep": Odd(LINE[:-2] + f', "x": {DEEP}}}', "unreadable", ("64 levels",)),
    "another column is deeper": Odd(LINE[:-2] + f', "x": {DEEPER}}}', "unreadable", ("64 levels",)),
    "messages as deep JSON": odd(
        "unreadable", "64 levels", chosen='[{"role": "assistant", "content": ' + DEEPER + "}]"
    ),
    "messages as Python text": odd("unreadable", "neither JSON nor", chosen="[{'role': open('x'), 'content': 'A'}]"),
    "text among message lists": odd(
        "unreadable", "`chosen`", "rows above hold message lists", others=MESSAGES, chosen="A", rejected="B"
    ),
    "messages among transcripts": odd(
        "unreadable", "`Human:`/`Assistant:` transcript belongs", others=TRANSCRIPT, chosen=MESSAGES["chosen"]
    ),
    "tools are not JSON": odd("unreadable", "`tools`", "not JSON", tools="f(x)"),
    "tools are an object": odd("unreadable", "JSON list belongs", tools={"f": 1}),
    "tools are deep JSON": odd("unreadable", "64 levels", tools=DEEPER),
    "template arguments are a list": odd(
        "unreadable", "`chat_template_kwargs`", "JSON dict belongs", chat_template_kwargs=[1]
    ),
    "half a surrogate in a text": odd("non-text", "half a surrogate", prompt=HALF),
    "half a surrogate in a role": odd("non-text", "half a surrogate", chosen=[{"role": HALF, "content": "A"}]),
    "half a surrogate in a tool call": odd("non-text", "half a surrogate", chosen=[call({"a": HALF})]),
    "half a surrogate in a key": odd("non-text", "half a surrogate", chosen=[call({HALF: "a"})]),
    "half a surrogate in tools": odd("non-text", "half a surrogate", tools=[{"name": HALF}]),
    "half a surrogate in tools as text": odd("non-text", "half a surrogate", tools='[{"name": "\\ud800"}]'),
    "half a surrogate in template arguments": odd("non-text", "half a", chat_template_kwargs={HALF: 1}),
    "row is a list": Odd('["Hi", "A", "B"]', "unreadable", ("found list", "correct this row")),
    "row is a text": Odd('"Hi"', "unreadable", ("found str",)),
    "row is null": Odd("null", "unreadable", ("found NoneType",)),
    "row is another object": odd("unreadable", "columns of this row: text", others={}, text="x")._replace(others=GOOD),
}


def written(write: Write, kind: str, case: Odd, before: int = 40) -> Path:
    """A file with the odd row after ``before`` good ones, and two good ones after it."""
    good = [json.dumps({**case.others, "n": number}) for number in range(before + 2)]
    lines = [*good[:before], case.line, *good[before:]]
    return write(f"a.{kind}", f"[{', '.join(lines)}]" if kind == "json" else "\n".join(lines))


@pytest.mark.parametrize("case", COUNTED)
@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_odd_row_is_counted_and_the_rest_is_read(case: str, kind: str, write: Write) -> None:
    rows = list(read_pairs(RowSettings(rows=str(written(write, kind, COUNTED[case])))))
    faults = [row for row in rows if isinstance(row, Fault)]
    assert len(rows) == 43
    assert [(fault.index, fault.reason) for fault in faults] == [(40, COUNTED[case].reason)]
    for part in COUNTED[case].says:
        assert part in faults[0].detail
    assert "\n" not in faults[0].detail
    assert len(faults[0].detail) < 200


@pytest.mark.parametrize("case", COUNTED)
def test_odd_row_may_be_the_first(case: str, write: Write) -> None:
    path = written(write, "jsonl", COUNTED[case], before=0)
    if COUNTED[case].others is GOOD:
        path.write_text(path.read_text() + "\n" + LINE * 40)
    settings = RowSettings(rows=str(path), format="implicit" if COUNTED[case].others is MESSAGES else "auto")
    if COUNTED[case].others is TRANSCRIPT:
        settings = settings.model_copy(update={"format": "hh"})
    first, *others = read_pairs(settings)
    assert isinstance(first, Fault)
    assert first.reason == COUNTED[case].reason
    assert not any(isinstance(row, Fault) for row in others)


READ = {
    "rating that no float holds": ({"score_chosen": 10**300, "score_rejected": 10**400}, "int"),
    "rating of 5,000 digits": ({"score_chosen": "9" * 5000, "score_rejected": 1}, "str"),
    "rating that is not a number": ({"score_chosen": float("nan"), "score_rejected": 1}, "float"),
    "half a surrogate in the source": ({"source": HALF}, "str"),
    "half a surrogate in a model": ({"chosen_model": HALF, "rejected_model": "\udfff"}, "str"),
    "half a surrogate in a column's name": ({HALF: 1}, "int"),
    "NUL": ({"source": "a\0b", "chosen": "A\0"}, "str"),
    "empty name of a column": ({"": 1}, "int"),
    "very long source": ({"source": "s" * 100_000}, "str"),
    "list in another column": ({"x": [1, [2, [3]]]}, "list"),
}


@pytest.mark.parametrize("case", READ)
def test_odd_cell_beside_the_texts_is_harmless(case: str, write: Write, tmp_path: Path) -> None:
    """The row is retained; ``rows.parquet`` and ``health.json`` are written and read again."""
    records = [{**GOOD, "chosen": f"A{number}"} for number in range(3)]
    records[1] |= {**READ[case][0], "chosen": "A1" + str(READ[case][0].get("chosen", ""))}
    path = write("a.jsonl", records)
    health = ingest(RowSettings(rows=str(path)), tmp_path)
    assert health.retained == 3
    artifacts.write_json(tmp_path / "health.json", health.model_dump())
    stored = [row.pair.metadata for row in read_rows(tmp_path / artifacts.ROWS)]
    json.dumps(stored, ensure_ascii=False).encode()


def test_integer_of_5000_digits_is_read_as_infinite(write: Write, tmp_path: Path) -> None:
    path = write(
        "a.jsonl", LINE + LINE[:-2].replace("A", "C") + f', "score_chosen": {"9" * 5000}, "score_rejected": 1}}'
    )
    assert ingest(RowSettings(rows=str(path)), tmp_path).retained == 2


def test_blank_lines_of_a_csv_are_passed_over(write: Write) -> None:
    path = write("a.csv", "prompt,chosen,rejected\n\nHi,A,B\n\n\nHi,C,D\n\n")
    assert [row.chosen[0]["content"] for row in read_pairs(RowSettings(rows=str(path)))] == ["A", "C"]


def test_cells_that_python_cannot_hold_are_counted(write: Write) -> None:
    """A date in the year 200,000 and text after it: one row is lost, not the file."""
    table = pa.table(
        {
            "prompt": [f"Q{number}" for number in range(600)],
            "chosen": ["A"] * 600,
            "rejected": ["B"] * 600,
            "when": pa.array([10**6] * 300 + [10**13] + [10**6] * 299, pa.timestamp("s")),
        }
    )
    for kind, writer in (("parquet", pq.write_table), ("arrow", feather.write_feather)):
        sink = io.BytesIO()
        writer(table, sink)
        rows = list(read_pairs(RowSettings(rows=str(write(f"a.{kind}", sink.getvalue())))))
        faults = [row for row in rows if isinstance(row, Fault)]
        assert len(rows) == 600
        assert [(fault.index, fault.reason) for fault in faults] == [(300, "unreadable")]


def test_values_of_columnar_files_become_values_of_json(write: Write, tmp_path: Path) -> None:
    day = datetime.date(2020, 1, 2)
    calls = [{"day": day, "sum": decimal.Decimal("1.5")}]
    records = [
        {
            "prompt": "Q",
            "chosen": [{"role": "assistant", "content": "A", "tool_calls": calls}],
            "rejected": [{"role": "assistant", "content": "B", "tool_calls": calls}],
            "when": day,
        }
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), sink)
    ingest(RowSettings(rows=str(write("a.parquet", sink.getvalue()))), tmp_path)
    (stored,) = read_rows(tmp_path / artifacts.ROWS)
    assert stored.pair.chosen[0]["tool_calls"] == [{"day": "2020-01-02", "sum": "1.5"}]
    assert stored.pair.metadata["when"] == "2020-01-02"


LONG = json.dumps({**GOOD, "chosen": "x" * 20_000})


def test_line_too_long_to_hold_is_counted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anatomy.data.readers.LONGEST_ROW", 5000)
    path = write("a.jsonl", f"{LINE}{LONG}\n{LINE}")
    first, fault, last = read_pairs(RowSettings(rows=str(path)))
    assert isinstance(fault, Fault)
    assert "more than 5,000 bytes" in fault.detail
    assert (first.index, last.index) == (0, 2)


def test_row_of_json_or_csv_too_long_to_hold_is_a_fault_of_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be said where it ends."""
    monkeypatch.setattr("anatomy.data.readers.LONGEST_ROW", 5000)
    monkeypatch.setattr("anatomy.data.json_stream.LONGEST_ROW", 5000)
    with pytest.raises(RowsError, match="a row of more than 5,000 characters"):
        list(JSONStream(io.StringIO(f"[{LINE}, {LONG}, {LINE}]"), "a.json", chunk=1000).rows())
    path = write("a.csv", f"prompt,chosen,rejected\nHi,A,B\nHi,{'x' * 20_000},B\n")
    with pytest.raises(RowsError, match=r"larger than field limit \(5000\)"):
        list(read_pairs(RowSettings(rows=str(path))))


def test_repeated_turns_are_joined_in_linear_time() -> None:
    """The response repeats none, the end or all of the prompt: 100,000 turns that begin alike."""
    turn = {"role": "user", "content": "x"}
    last = {"role": "assistant", "content": "y"}
    many = [turn] * 100_000
    assert len(joined(many, [*many[:50_000], last])) == 100_001
    assert len(joined([last, *many], [last, *many, last])) == 100_002
    assert joined([turn, last], [last, turn]) == [turn, last, turn]
    assert joined([last, turn], [last, last]) == [last, turn, last, last]


def test_the_reasons_are_documented() -> None:
    assert {case.reason for case in COUNTED.values()} <= set(REASONS)
    assert all(re.fullmatch(r"[a-z-]+", reason) for reason in REASONS)


VALUES = [
    None, "", "text", " ", "\0", HALF, "\n\nHuman: Hi\n\nAssistant: A", "[]", "{}", "null", "x" * 5000,
    '[{"role": "user"}]', '[{"role": "assistant", "content": "A"}]', "[{'role': 'user'}]", DEEPER,
    0, -1, 1.5, 10**400, float("nan"), True, float("-inf"), [], {}, [None], [[]], [{}], ["A"],
    {"role": "assistant"}, {"content": "A"}, {"role": 1, "content": 1}, {"role": "assistant", "content": "A"},
    [{"role": "assistant", "content": "A"}], [{"role": HALF, "content": HALF}], [{"from": "gpt", "value": "A"}],
    [{"role": "assistant", "content": None}], [{"role": "assistant", "content": ["A", {"type": "image"}]}],
    [{"role": "tool", "content": "A", "tool_calls": {"a": [HALF]}}, "A"],
]  # fmt: skip
COLUMNS = [
    *("prompt", "chosen", "rejected", "conversations", "system", "tools", "chat_template_kwargs", "score_chosen"),
    *("score_rejected", "source", "chosen_model", "rejected-model", HALF, ""),
]


@pytest.mark.parametrize("format_", ["auto", "explicit", "implicit", "full-conversations", "hh", "sharegpt"])
def test_rows_of_any_values_are_counted(format_: str, write: Write, tmp_path: Path) -> None:
    """300 seeded rows of odd values in known columns, after as many rows of the format as tell it."""
    chance = random.Random(format_)
    assistant = [{"role": "assistant", "content": "A"}]
    first = {
        "hh": TRANSCRIPT,
        "implicit": MESSAGES,
        "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}], "chosen": assistant[0], "rejected": "B"},
    }.get(format_, GOOD)
    rows = [*[first] * 32, *({name: chance.choice(VALUES) for name in chance.sample(COLUMNS, 8)} for _ in range(300))]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    health = ingest(RowSettings(rows=str(path), format=format_, most_faulty=1), tmp_path)
    assert health.rows == 332
    assert 0 < health.retained < 301
    artifacts.write_json(tmp_path / "health.json", health.model_dump())
    assert sum(1 for _ in read_rows(tmp_path / artifacts.ROWS)) == health.retained


def test_long_names_of_sources_are_cut_in_the_counts(write: Write, tmp_path: Path) -> None:
    """A column of texts under the name of a source is counted in bounded memory."""
    rows = [{**GOOD, "chosen": f"A{number}", "source": "s" * 100_000 + str(number)} for number in range(3)]
    health = ingest(RowSettings(rows=str(write("a.jsonl", rows))), tmp_path)
    assert health.sources == {"s" * 199 + "…": 3}
