"""The same rows come out of every kind of file, sampled reproducibly, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anatomy.data import readers
from anatomy.data.pair_stream import PairStream, read_pairs
from anatomy.errors import RowsError
from anatomy.settings import RowSettings
from anatomy.types import Pair

SHARED = Path(__file__).parents[3] / "shared" / "data"
Write = Callable[[str, Any], Path]

TEXTS = [{"prompt": f"Q{n}, “é”\n", "chosen": f"A{n}", "rejected": f'B"{n}"'} for n in range(5)]
CHATS = [
    {
        "chosen": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": "A"}],
        "rejected": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": "B"}],
    }
    for n in range(5)
]
KINDS = ["parquet", "arrow", "stream.arrow", "json", "data.json", "jsonl", "lines.json"]


def pairs(rows: Path | str, **settings: Any) -> list[Pair]:
    found = list(read_pairs(RowSettings(rows=str(rows), **settings)))
    assert all(isinstance(row, Pair) for row in found)
    return [row for row in found if isinstance(row, Pair)]


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", [*KINDS, "csv"])
def test_every_kind_of_file_gives_the_same_pairs(kind: str, suffix: str, write: Write) -> None:
    read = pairs(write(f"rows.{kind}{suffix}", TEXTS))
    assert [pair.index for pair in read] == list(range(5))
    assert [pair.prompt[0]["content"] for pair in read] == [row["prompt"] for row in TEXTS]
    assert [pair.rejected[0]["content"] for pair in read] == [row["rejected"] for row in TEXTS]


@pytest.mark.parametrize("kind", KINDS)
def test_message_lists_survive_every_kind_of_file(kind: str, write: Write) -> None:
    tool = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    records = [{**row, "chosen": [row["chosen"][0], tool, row["chosen"][1]]} for row in CHATS]
    first = pairs(write(f"rows.{kind}", records))[0]
    assert list(first.prompt) == [{"role": "user", "content": "Q0"}]
    assert list(first.chosen) == [{**tool, "content": ""}, {"role": "assistant", "content": "A"}]
    assert first.row_id == pairs(write("again.jsonl", records))[0].row_id


@pytest.mark.parametrize("kind", KINDS)
def test_columnar_files_add_no_keys_to_tool_calls(kind: str, write: Write) -> None:
    """Parquet and Arrow give every call the arguments of all calls, null where absent: prompts would change."""
    arguments = [{"city": "Rome"}, {"query": "x"}]
    calls = [{"role": "assistant", "content": "A", "tool_calls": [{"arguments": given}]} for given in arguments]
    tools = [[{"name": "weather", "city": {"type": "string"}}], [{"name": "search"}]]
    records = [
        {"prompt": "Q", "chosen": [call], "rejected": "B", "tools": t} for call, t in zip(calls, tools, strict=True)
    ]
    read = pairs(write(f"rows.{kind}", records))
    assert [pair.chosen[0]["tool_calls"][0]["arguments"] for pair in read] == arguments
    assert [pair.tools for pair in read] == tools


def test_byte_order_mark_is_not_part_of_the_first_column(write: Write) -> None:
    for name, text in {"a.csv": "prompt,chosen,rejected\nQ,A,B\n", "a.jsonl": json.dumps(TEXTS[0])}.items():
        assert len(pairs(write(name, b"\xef\xbb\xbf" + text.encode()))) == 1


def test_folder_and_glob_read_files_in_the_order_of_their_names(write: Write, tmp_path: Path) -> None:
    for name, rows in {"set/b.jsonl": TEXTS[2:], "set/a.jsonl": TEXTS[:2]}.items():
        write(name, rows)
    write("set/README.md", "not rows")
    write("set/state.json", "{}")
    write("set/.hidden.jsonl", "{")
    for rows in (tmp_path / "set", tmp_path / "set" / "*.jsonl", tmp_path / "**" / "*.jsonl"):
        read = pairs(rows)
        assert [pair.chosen[0]["content"] for pair in read] == ["A0", "A1", "A2", "A3", "A4"]
        assert [pair.index for pair in read] == [0, 1, 2, 3, 4]


def test_folder_of_splits_reads_train_or_the_wanted_one(write: Write, tmp_path: Path) -> None:
    write("data/train-00000-of-00002.parquet", TEXTS[:1])
    write("data/train-00001-of-00002.parquet", TEXTS[1:3])
    write("data/test-00000-of-00001.parquet", TEXTS[3:])
    assert len(pairs(tmp_path)) == 3
    assert len(pairs(tmp_path, split="test")) == 2


def test_empty_shard_among_others_is_passed_over(write: Write, tmp_path: Path) -> None:
    write("set/a.json", "[]")
    write("set/b.json", TEXTS)
    assert len(pairs(tmp_path / "set")) == 5


def test_limit_keeps_the_first_rows_and_reads_no_further(write: Write) -> None:
    path = write("a.jsonl", "".join(json.dumps(row) + "\n" for row in TEXTS * 20) + "{broken")
    assert [pair.index for pair in pairs(path, limit=3)] == [0, 1, 2]
    with pytest.raises(RowsError):
        pairs(path)


def test_sample_is_seeded_spread_and_in_order(write: Write) -> None:
    path = write("a.jsonl", [{**TEXTS[0], "n": n} for n in range(1000)])

    def sampled(**settings: Any) -> list[int]:
        return [pair.index for pair in pairs(path, **settings)]

    first = sampled(sample=100, seed=1)
    assert first == sampled(sample=100, seed=1)
    assert first != sampled(sample=100, seed=2)
    assert first == sorted(set(first))
    assert len(first) == 100
    quarters = [sum(start <= index < start + 250 for index in first) for start in range(0, 1000, 250)]
    assert min(quarters) >= 12, f"hypergeometric: 25 ± 4 in each quarter, found {quarters}"
    within = sampled(sample=50, limit=200)
    assert (len(within), max(within) < 200) == (50, True)
    assert sampled(sample=5000) == list(range(1000))


def test_stream_can_be_read_again(write: Write) -> None:
    stream = PairStream(RowSettings(rows=str(write("a.csv", TEXTS))))
    assert stream.format == "explicit"
    assert list(stream) == list(stream)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet", "stream.arrow"])
def test_memory_does_not_grow_with_rows(kind: str, write: Write) -> None:
    """Peak of Python memory with ten times the rows (1 MB against 11 MB of text) stays within 1.5 times."""

    def peak(count: int) -> int:
        path = write(
            f"{count}.{kind}",
            [{"prompt": f"{n} {'x' * 1000}", "chosen": "A" * 99, "rejected": "B"} for n in range(count)],
        )
        tracemalloc.start()
        assert sum(1 for _ in read_pairs(RowSettings(rows=str(path)))) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(10_000) < 1.5 * max(peak(1_000), 4 << 20)


def test_batches_do_not_change_what_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.parquet", TEXTS * 10)
    whole = pairs(path)
    monkeypatch.setattr(readers, "BATCH_ROWS", 7)
    assert pairs(path) == whole


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


def test_alpaca_eval() -> None:
    read = pairs(shared("alpaca_eval_pairs.parquet"))
    prompts = [pair.prompt_id for pair in read]
    assert len(read) == 7260
    assert {prompts.count(prompt) for prompt in prompts[:20]} == {12}
    assert len(set(prompts)) == 605


def test_hh_harmless() -> None:
    stream = PairStream(RowSettings(rows=str(shared("hh_harmless.jsonl.gz"))))
    read = [row for row in stream if isinstance(row, Pair)]
    assert stream.format == "hh"
    assert len(read) == 1496, "four of 1,500 rows have an empty response"
    assert all(pair.prompt[0]["role"] == "user" for pair in read)
    contents = [m["content"] for pair in read for m in (*pair.prompt, *pair.chosen, *pair.rejected)]
    assert not any("\n\nHuman:" in text or "\n\nAssistant:" in text for text in contents)


def test_sharegpt() -> None:
    stream = PairStream(RowSettings(rows=str(shared("sharegpt_pairs.json"))))
    read = [row for row in stream if isinstance(row, Pair)]
    assert (stream.format, len(read)) == ("sharegpt", 300)
    assert sum(pair.prompt[0]["role"] == "system" for pair in read) == 80
    assert all(len(pair.chosen) == len(pair.rejected) == 1 for pair in read)
