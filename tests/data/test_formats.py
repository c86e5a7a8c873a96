"""Every format met in the wild becomes the pair that a reader of its documentation would write by hand."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anatomy.data.conversations import split_shared
from anatomy.data.faults import Fault
from anatomy.data.judged import RecordReader
from anatomy.data.layouts import recognise
from anatomy.data.pairing import pairs_of
from anatomy.data.readers import Record, read_file
from anatomy.data.reading import FileReading
from anatomy.errors import RowsError
from anatomy.settings import RowFormat, RowSettings
from anatomy.types import Pair


def u(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def a(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def s(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def pair_of(values: dict[str, Any], wanted: RowFormat = "auto") -> Pair:
    row = row_of(values, wanted)
    assert isinstance(row, Pair), row
    return row


def row_of(values: dict[str, Any], wanted: RowFormat = "auto") -> Pair | Fault:
    record = Record("set.jsonl, line 1", values)
    return read(record, 0, recognise([record], RowSettings(rows="set.jsonl", format=wanted)))


def read(record: Record, row: int, reading: FileReading) -> Pair | Fault:
    judged = RecordReader(reading).read(record, row)
    return judged if isinstance(judged, Fault) else next(pairs_of(judged, "best-worst"))


def known(wanted: RowFormat) -> FileReading:
    """The reading of sound rows of a format."""
    values = {"hh": {"chosen": "", "rejected": ""}}.get(wanted, {"prompt": "Hi", "chosen": "A", "rejected": "B"})
    return recognise([Record("set.jsonl, line 1", values)], RowSettings(rows="set.jsonl", format=wanted))


CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": None}}}],
}
MADE_CALL = {**CALL, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
"""The call without the argument that is null, which columnar formats add to every call."""
RESULT = {"role": "tool", "content": "4", "name": "f", "tool_call_id": "c1"}

CASES: dict[str, tuple[RowFormat, dict[str, Any], tuple[list[Any], list[Any], list[Any]]]] = {
    "TRL explicit standard": (
        "explicit",
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
        ([u("The sky is")], [a(" blue.")], [a(" green.")]),
    ),
    "TRL explicit conversational": (
        "explicit",
        {"prompt": [s("Be brief."), u("Hi")], "chosen": [a("Yes")], "rejected": [a("No")]},
        ([s("Be brief."), u("Hi")], [a("Yes")], [a("No")]),
    ),
    "message-list prompt, text responses": (
        "explicit",
        {"prompt": [u("Hi"), a("Hello"), u("Bye")], "chosen": "See you", "rejected": "No"},
        ([u("Hi"), a("Hello"), u("Bye")], [a("See you")], [a("No")]),
    ),
    "TRL implicit conversational": (
        "implicit",
        {"chosen": [u("Hi"), a("Hello!")], "rejected": [u("Hi"), a("Hello?")]},
        ([u("Hi")], [a("Hello!")], [a("Hello?")]),
    ),
    "TRL tools": (
        "explicit",
        {
            "prompt": [u("2+2")],
            "chosen": [CALL, RESULT, a("4")],
            "rejected": [a("5")],
            "tools": '[{"type":"function"}]',
        },
        ([u("2+2")], [MADE_CALL, RESULT, a("4")], [a("5")]),
    ),
    "UltraFeedback-binarized": (
        "full-conversations",
        {
            "prompt": "Hi",
            "prompt_id": "x",
            "chosen": [u("Hi"), a("A")],
            "rejected": [u("Hi"), a("B")],
            "messages": [u("Hi"), a("A")],
            "score_chosen": 8.0,
            "score_rejected": 3.0,
        },
        ([u("Hi")], [a("A")], [a("B")]),
    ),
    "Tulu 3, several turns, prompt is the first only": (
        "full-conversations",
        {
            "id": "1",
            "prompt": "Hi",
            "chosen": [u("Hi"), a("x"), u("y"), a("A")],
            "rejected": [u("Hi"), a("x"), u("y"), a("B")],
            "source": "wildchat",
        },
        ([u("Hi"), a("x"), u("y")], [a("A")], [a("B")]),
    ),
    "full conversation with a system turn that the prompt column lacks": (
        "full-conversations",
        {"prompt": "Hi", "chosen": [s("S"), u("Hi"), a("A")], "rejected": [s("S"), u("Hi"), a("B")]},
        ([s("S"), u("Hi")], [a("A")], [a("B")]),
    ),
    "message-list prompt whose system turn the conversations lack": (
        "full-conversations",
        {"prompt": [s("S"), u("Hi")], "chosen": [u("Hi"), a("A")], "rejected": [u("Hi"), a("B")]},
        ([s("S"), u("Hi")], [a("A")], [a("B")]),
    ),
    "UltraFeedback-cleaned (Argilla)": (
        "full-conversations",
        {
            "source": "flan",
            "prompt": "Hi",
            "chosen": [u("Hi"), a("A")],
            "chosen-rating": 5,
            "chosen-model": "m1",
            "rejected": [u("Hi"), a("B")],
            "rejected-rating": 2,
            "rejected-model": "m2",
        },
        ([u("Hi")], [a("A")], [a("B")]),
    ),
    "Dolci": (
        "implicit",
        {
            "chosen": [{**u("Hi"), "id": None}, a("A")],
            "rejected": [u("Hi"), a("B")],
            "chosen_model": "m1",
            "rejected_model": "m2",
            "prompt_id": "x",
            "preference_type": "delta",
        },
        ([u("Hi")], [a("A")], [a("B")]),
    ),
    "HH, several turns": (
        "hh",
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: How?\n\nAssistant: Like this:\n\n1. a",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: How?\n\nAssistant: No.",
        },
        ([u("Hi"), a("Hello"), u("How?")], [a("Like this:\n\n1. a")], [a("No.")]),
    ),
    "HH, sides part before the last turn": (
        "hh",
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: x\n\nAssistant: y",
            "rejected": "\n\nHuman: Hi\n\nAssistant: B",
        },
        ([u("Hi")], [a("A"), u("x"), a("y")], [a("B")]),
    ),
    "HH, transcript in the prompt": (
        "hh",
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": " A", "rejected": " B"},
        ([u("Hi")], [a("A")], [a("B")]),
    ),
    "ShareGPT from/value": (
        "sharegpt",
        {
            "conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "A"},
            "rejected": {"from": "gpt", "value": "B"},
        },
        ([s("S"), u("Hi")], [a("A")], [a("B")]),
    ),
    "ShareGPT from/content, several turns, function result": (
        "sharegpt",
        {
            "conversations": [
                {"from": "user", "content": "Hi"},
                {"from": "function_call", "content": '{"name": "f"}'},
                {"from": "observation", "content": "4"},
            ],
            "chosen": {"from": "assistant", "content": "A"},
            "rejected": {"from": "assistant", "content": "B"},
        },
        ([u("Hi"), a('{"name": "f"}'), {"role": "tool", "content": "4"}], [a("A")], [a("B")]),
    ),
    "distilabel": (
        "full-conversations",
        {
            "prompt": "Hi",
            "prompt_id": "ab",
            "chosen": [u("Hi"), a("A")],
            "rejected": [u("Hi"), a("B")],
            "chosen_rating": 4.5,
            "rejected_rating": 1.0,
        },
        ([u("Hi")], [a("A")], [a("B")]),
    ),
    "system column": (
        "explicit",
        {"system": "S", "prompt": "Hi", "chosen": "A", "rejected": "B"},
        ([s("S"), u("Hi")], [a("A")], [a("B")]),
    ),
    "text parts are joined": (
        "implicit",
        {
            "chosen": [u("Hi"), {"role": "assistant", "content": [{"type": "text", "text": "A"}, {"text": "B"}]}],
            "rejected": [u("Hi"), a("C")],
        },
        ([u("Hi")], [a("AB")], [a("C")]),
    ),
    "message lists as JSON text": (
        "implicit",
        {
            "chosen": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "A"}]',
            "rejected": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "B"}]',
        },
        ([u("Hi")], [a("A")], [a("B")]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_format_is_recognised_and_normalised(case: str) -> None:
    name, values, (prompt, chosen, rejected) = CASES[case]
    assert recognise([Record("", values)], RowSettings(rows="set.jsonl")).format == name
    pair = pair_of(values)
    assert [list(pair.prompt), list(pair.chosen), list(pair.rejected)] == [prompt, chosen, rejected]
    assert pair == pair_of(values, name), "named and recognised formats agree"


def test_prompt_never_ends_inside_a_message() -> None:
    """Both responses start with the same words: a character prefix would put them into the prompt."""
    pair = pair_of({"chosen": [u("Hi"), a("I think so")], "rejected": [u("Hi"), a("I think not")]})
    assert pair.chosen[0]["content"] == "I think so"
    assert pair.rejected[0]["content"] == "I think not"


def test_shared_prefix_leaves_each_side_its_last_message() -> None:
    assert split_shared([u("q"), a("x")], [u("q"), a("x")]) == ([u("q")], [a("x")], [a("x")])
    parted = [u("q"), a("x"), u("r"), a("y")], [u("q"), a("z"), u("r"), a("w")]
    assert split_shared(*parted) == ([u("q")], parted[0][1:], parted[1][1:])
    longer = [u("q"), a("x"), u("r"), a("y")]
    assert split_shared([u("q"), a("x")], longer) == ([u("q")], [a("x")], longer[1:])


def test_message_ids_do_not_split_shared_turns() -> None:
    pair = pair_of({"chosen": [{**u("Hi"), "turn_id": 1}, a("A")], "rejected": [{**u("Hi"), "turn_id": 2}, a("B")]})
    assert pair.prompt == [u("Hi")]


def test_tools_and_template_arguments_survive_in_either_form() -> None:
    base = {"prompt": "Hi", "chosen": "A", "rejected": "B"}
    tools = [{"type": "function", "function": {"name": "f"}}]
    as_lists = pair_of({**base, "tools": tools, "chat_template_kwargs": {"enable_thinking": False}})
    as_text = pair_of({**base, "tools": '[{"type":"function","function":{"name":"f"}}]'})
    assert as_lists.tools == as_text.tools == tools
    assert as_lists.chat_template_kwargs == {"enable_thinking": False}
    assert as_text.chat_template_kwargs is None
    assert pair_of({**base, "tools": "[]"}).tools is None


def test_metadata_holds_the_other_scalar_columns() -> None:
    pair = pair_of({"prompt": "Hi", "chosen": "A", "rejected": "B", "source": "s", "n": 3, "nested": [1], "none": None})
    assert pair.metadata == {"source": "s", "n": 3}


def test_row_id_is_a_stable_hash_of_content_alone() -> None:
    values = {"prompt": "Hi", "chosen": "A", "rejected": "B"}
    pair = pair_of(values)
    written_out = (
        '[[{"content":"Hi","role":"user"}],null,null,'
        '[{"content":"A","role":"assistant"}],[{"content":"B","role":"assistant"}]]'
    )
    assert pair.row_id == hashlib.sha256(written_out.encode()).hexdigest()[:32]
    assert pair.row_id == "907e642f0edf1fa1959273923745e2d0", "changing it invalidates every cache of every user"
    assert pair.row_id == pair_of({**values, "source": "elsewhere"}).row_id
    full = {"prompt": "Hi", "chosen": [u("Hi"), a("A")], "rejected": [u("Hi"), a("B")]}
    assert pair.row_id == pair_of(full).row_id, "the same pair in another format"
    swapped = pair_of({"prompt": "Hi", "chosen": "B", "rejected": "A"})
    assert swapped.row_id != pair.row_id
    assert swapped.prompt_id == pair.prompt_id
    assert pair_of({**values, "system": "S"}).prompt_id != pair.prompt_id


IMAGE = {"role": "assistant", "content": [{"type": "image", "url": "x"}]}

FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "null response": ({"prompt": "Hi", "chosen": None, "rejected": "B"}, "missing-response", "`chosen`"),
    "absent response": ({"prompt": "Hi", "chosen": "A"}, "missing-response", "`rejected`"),
    "no messages": ({"prompt": "Hi", "chosen": "A", "rejected": []}, "missing-response", "`rejected`"),
    "NaN response": ({"prompt": "Hi", "chosen": float("nan"), "rejected": "B"}, "non-text", "`chosen` is NaN"),
    "NaN prompt": ({"prompt": float("nan"), "chosen": "A", "rejected": "B"}, "non-text", "`prompt` is NaN"),
    "null prompt": ({"prompt": None, "chosen": "A", "rejected": "B"}, "non-text", "`prompt`"),
    "image": ({"prompt": "Hi", "chosen": [IMAGE], "rejected": "B"}, "non-text", "not text: dict {'type': 'image'"),
    "number as content": (
        {"prompt": "Hi", "chosen": "A", "rejected": [{"role": "assistant", "content": 7}]},
        "non-text",
        "int 7",
    ),
    "message without role": ({"prompt": "Hi", "chosen": [{"content": "A"}], "rejected": "B"}, "non-text", "a role"),
    "half a surrogate": ({"prompt": "Hi", "chosen": "\ud800", "rejected": "B"}, "non-text", "surrogate"),
    "blank response": ({"prompt": "Hi", "chosen": " \n", "rejected": "B"}, "empty-response", "`chosen`"),
    "ends in a user turn": (
        {"prompt": "Hi", "chosen": [a("A"), u("and?")], "rejected": "B"},
        "no-assistant-turn",
        "ends in a turn of str 'user'",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_row_fault_is_counted_not_raised(case: str) -> None:
    values, reason, detail = FAULTS[case]
    row = read(Record("set.jsonl, line 1", values), 4, known("explicit"))
    assert isinstance(row, Fault)
    assert (row.index, row.reason) == (4, reason)
    assert detail in row.detail


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("\n\nHuman: Hi\n\nAssistant:", "empty-response"),
        ("\n\nHuman: Hi\n\nAssistant: A\n\nHuman: bye", "no-assistant-turn"),
        ("no markers at all", "no-assistant-turn"),
    ],
)
def test_transcript_faults(chosen: str, reason: str) -> None:
    record = Record("hh.jsonl, line 1", {"chosen": chosen, "rejected": "\n\nHuman: Hi\n\nAssistant: B"})
    row = read(record, 0, known("hh"))
    assert isinstance(row, Fault)
    assert row.reason == reason


def test_plain_texts_without_a_prompt_are_cut_where_they_part_but_between_words() -> None:
    pair = pair_of({"chosen": "The sky is bright blue", "rejected": "The sky is brown"})
    assert (pair.prompt, pair.chosen, pair.rejected) == ([u("The sky is")], [a(" bright blue")], [a(" brown")])


def test_plain_texts_without_a_prompt_and_a_common_start_are_refused() -> None:
    with pytest.raises(RowsError, match=r"line 1: .* plain text, there is no `prompt` column.*`--map prompt=COLUMN`"):
        pair_of({"chosen": "The sky is blue", "rejected": "No idea"})


def test_a_final_tool_call_is_a_response() -> None:
    pair = pair_of({"prompt": "Hi", "chosen": [CALL], "rejected": "B"})
    assert (pair.chosen, pair.rejected) == ([MADE_CALL], [a("B")])


def test_memory_does_not_grow_with_the_row_groups_of_a_parquet_file(tmp_path):
    path = tmp_path / "rows.parquet"
    texts = ["".join(random.Random(number).choices("abcdefgh", k=20_000)) for number in range(200)]
    pq.write_table(pa.table({"prompt": texts, "chosen": texts, "rejected": texts}), path, row_group_size=10)
    before = most = pa.total_allocated_bytes()
    for _ in read_file(path):
        most = max(most, pa.total_allocated_bytes())
    assert most - before < sum(map(len, texts))
