"""The set that ``check --write`` leaves: nothing of the input is lost, and what is read of it is what was retained."""

from __future__ import annotations

import json
from dataclasses import asdict

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from support.tiny import save_tokenizer

from anatomy import artifacts
from anatomy.activations.model import load_tokenizer
from anatomy.cli.app import main
from anatomy.data.faults import REASONS
from anatomy.data.pair_stream import read_pairs
from anatomy.settings import ModelSettings, RowSettings
from anatomy.types import Pair
from anatomy.workflows.check import check


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_tokenizer(folder)
    return str(folder)


def turn(content, role="assistant", **more):
    return {"role": role, "content": content, **more}


def call(**arguments):
    return {"type": "function", "function": {"name": "f", "arguments": arguments}}


PLAIN = {"prompt": "Q", "chosen": "A", "rejected": "B"}
SETS = {
    "texts": [PLAIN | {"prompt": f"Q{n}", "score": n, "chosen_model": "a"} for n in range(5)],
    "system turns": [
        {"prompt": [turn("S", "system"), turn(f"Q{n}", "user")], "chosen": [turn("A")], "rejected": [turn("B")]}
        for n in range(3)
    ],
    "whole conversations": [
        {side: [turn(f"Q{n}", "user"), turn("Hm"), turn("So?", "user"), turn(side)] for side in ("chosen", "rejected")}
        for n in range(3)
    ],
    "transcripts": [
        {side: f"\n\nHuman: Q{n}\n\nAssistant: {side}" for side in ("chosen", "rejected")} for n in range(3)
    ],
    "tools and reasoning": [
        {
            "prompt": [turn("Q", "user"), turn("", tool_calls=[call(a=n)]), turn("7", "tool", name="f")],
            "chosen": [turn("A", reasoning_content="why\u2028not")],
            "rejected": [turn("B é 🦊")],
            "tools": [{"name": "f", "parameters": {"a": {"type": "number"}}}],
            **({"chat_template_kwargs": {"thinking": n > 1}} if n else {}),
        }
        for n in range(3)
    ],
    "tool calls of several types": [
        {"prompt": [turn("Q", "user"), turn("", tool_calls=[call(a=value)]), turn("7", "tool")], "chosen": "A",
         "rejected": f"B{place}"}
        for place, value in enumerate((1, "x", None, {}, [1], 2.5, 2**70))
    ],
    "a key without a value": [
        {"prompt": [turn("Q", "user"), turn("", tool_calls=[call(a=1, b=None)]), turn("7", "tool")], "chosen": "A",
         "rejected": "B"}
    ],
    "metadata of several types": [
        PLAIN | {"prompt": f"Q{n}", "tag": tag, "source_rows": "x"} for n, tag in enumerate((1, "two", 2**70, True))
    ],
    "faults": [
        PLAIN, PLAIN, PLAIN | {"chosen": "B", "rejected": "A"}, PLAIN | {"chosen": "B"}, PLAIN | {"chosen": None},
        PLAIN | {"prompt": "R", "odd": {"deep": [1, None, "\ud800"]}, "big": 10**400}, PLAIN | {"rejected": 7},
        PLAIN | {"prompt": "T", "score_chosen": 1, "score_rejected": 1}, ["not", "a", "row"],
    ],
}  # fmt: skip


def content(pair: Pair):
    return {key: value for key, value in asdict(pair).items() if key not in ("index", "source_rows", "metadata")}


@pytest.mark.parametrize("name", SETS)
def test_every_row_is_kept_or_logged_and_the_set_is_read_as_what_was_retained(name, tmp_path, model):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in SETS[name]))
    out = tmp_path / "clean"
    found = check(str(rows), write=out, model=model).health
    kept = pq.read_table(out / artifacts.CLEANED)
    gone = pq.read_table(out / artifacts.LEFT_OUT).to_pylist()
    assert kept.column_names[:3] == ["prompt", "chosen", "rejected"]
    in_pairs = {row for source in kept["source_rows"].to_pylist() for row in source}
    assert sorted([*in_pairs, *(line["source_row"] for line in gone)]) == list(range(len(SETS[name])))
    for line in gone:
        assert line["reason"] in REASONS
        assert line["place"] == f"rows.jsonl, line {line['source_row'] + 1}"
        original = SETS[name][line["source_row"]]
        assert line["record"] is None or json.loads(line["record"]) == original
        assert line["record"] is not None or isinstance(original, list)

    before = {pair.source_rows: pair for pair in read_pairs(RowSettings(rows=str(rows))) if isinstance(pair, Pair)}
    again = list(read_pairs(RowSettings(rows=str(out))))
    expected = [before[tuple(source)] for source in kept["source_rows"].to_pylist()]
    assert [content(pair) for pair in again] == [content(pair) for pair in expected]
    for pair, original in zip(again, expected, strict=True):
        original_metadata = {key: value for key, value in original.metadata.items() if key != "source_rows"}
        assert {key: str(value) for key, value in pair.metadata.items()} == {
            key: str(value) for key, value in original_metadata.items()
        }
    health = check(str(out), model=model).health
    assert (health.rows, health.retained) == (found.retained, found.retained)


@pytest.mark.parametrize("name", ["texts", "tools and reasoning"])
def test_it_loads_as_a_dataset_that_trl_reads(name, tmp_path, model, monkeypatch):
    from trl.data_utils import apply_chat_template, is_conversational

    monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)

    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in SETS[name]))
    check(str(rows), write=tmp_path / "clean", model=model)
    cache = str(tmp_path / "cache")
    whole = datasets.load_dataset(str(tmp_path / "clean"), cache_dir=cache)
    assert list(whole) == ["train"]
    files = str(tmp_path / "clean" / artifacts.CLEANED)
    train = datasets.load_dataset("parquet", data_files=files, cache_dir=cache)["train"]
    assert len(train) == len(whole["train"]) == len(SETS[name])
    assert is_conversational(train[0])
    for row in train:  # as DPOTrainer takes them
        tools = json.loads(row["tools"]) if row.get("tools") else None
        row = {key: row[key] for key in ("prompt", "chosen", "rejected", "chat_template_kwargs") if key in row}
        assert apply_chat_template(row, load_tokenizer(ModelSettings(model=model)), tools)["prompt"]


def test_the_card_counts_and_shows_names_as_they_are(tmp_path, model):
    rows = tmp_path / "a|b_*c*<i>.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in SETS["faults"]))
    check(str(rows), write=tmp_path / "clean", model=model)
    card = (tmp_path / "clean" / artifacts.CARD).read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["configs"][0]["data_files"][0]["path"] == artifacts.CLEANED
    assert "# a\\|b\\_\\*c\\*&lt;i&gt;.jsonl, checked" in card
    assert "| duplicate-row | 1 | the same row came before |" in card
    assert "7 rows of the source are left out" in card
    assert str(tmp_path) not in card


def test_a_set_is_written_whole_or_has_no_card(tmp_path, model, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in SETS["faults"]))
    out = tmp_path / "clean"
    check(str(rows), write=out, model=model)
    files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("anatomy.workflows.check.write_pairs", killed)
        with pytest.raises(KeyboardInterrupt):
            check(str(rows), write=out, model=model)
    assert not (out / artifacts.CARD).exists()
    check(str(rows), write=out, model=model)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == files


def test_a_folder_of_somebody_else_is_refused(tmp_path, model, capsys):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "notes.txt").write_text("mine")
    assert main(["check", "demo", "--model", model, "--write", str(tmp_path / "theirs")]) == 2
    assert "holds files without a mark" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["notes.txt"]


def test_bytes_and_dates_of_a_row_left_out_are_kept(tmp_path, model):
    rows = tmp_path / "rows.parquet"
    columns = {"prompt": ["Q", "R"], "chosen": ["A", "A"], "rejected": ["B", None], "raw": [b"\x00\xff"] * 2}
    pq.write_table(pa.table(columns), rows)
    check(str(rows), write=tmp_path / "clean", model=model)
    (line,) = pq.read_table(tmp_path / "clean" / artifacts.LEFT_OUT).to_pylist()
    assert json.loads(line["record"]) == {"prompt": "R", "chosen": "A", "raw": "AP8="}
    assert line["place"] == "rows.parquet, row 2"
