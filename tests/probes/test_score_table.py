"""Scores of a plain table: what cannot be written is known before anything is scored, and no column is lost."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from anatomy.cli.app import main
from probes import score_table as module

ROW = {"prompt": "Why?", "completion": "**Because** it is so."}
COLUMNS = {
    "mixed": [1, "two", None],
    "large": [10**30, 1, None],
    "half a surrogate": ["a\ud800", "b", None],
    "nested and not": [{"a": [1]}, 3, None],
    "lists and text": [[1, 2], "x", None],
    "later": ["absent", 5, None],
}
READ = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".parquet": pd.read_parquet}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def scored(monkeypatch):
    """The batches that were scored."""
    calls, ordinary = [], module._by_text
    monkeypatch.setattr(module, "_by_text", lambda texts, scorer: calls.append(texts) or ordinary(texts, scorer))
    return calls


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("kind", COLUMNS)
def test_odd_columns_are_kept(kind, suffix, tmp_path, scored):
    rows = [{**ROW, "odd": value} for value in COLUMNS[kind]]
    if kind == "later":
        del rows[0]["odd"]
    out = tmp_path / f"out{suffix}"
    assert main(["probe", "score", write(tmp_path / "t.jsonl", rows), "--concept", "bold", "--out", str(out)]) == 0
    found = READ[suffix](out)
    assert list(found.columns) == ["prompt", "completion", "odd", "score", "flag"]
    assert found["odd"].notna().sum() == (1 if kind == "later" else 2)
    assert found["score"].tolist() == [1.0] * 3
    assert len(scored) == 1


@pytest.mark.parametrize("suffix", READ)
def test_a_completion_without_a_score_has_no_flag(suffix, tmp_path):
    rows = [ROW, ROW | {"completion": " "}, ROW | {"completion": "plain"}]
    out = tmp_path / f"out{suffix}"
    assert main(["probe", "score", write(tmp_path / "t.jsonl", rows), "--concept", "bold", "--out", str(out)]) == 0
    found = READ[suffix](out)
    assert [None if pd.isna(value) else bool(value) for value in found["flag"]] == [True, None, False]
    assert found["score"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(("rows", "said"), [
    ([ROW | {"score": 5}], "column `score` already"),
    ([ROW, ROW | {"flag": True}], "column `flag` already"),
    ([ROW] * 300 + [{"prompt": "a"}], "completion"),
])  # fmt: skip
def test_what_cannot_be_written_is_said_before_anything_is_scored(rows, said, tmp_path, scored, capsys):
    out = tmp_path / "out.csv"
    assert main(["probe", "score", write(tmp_path / "t.jsonl", rows), "--concept", "bold", "--out", str(out)]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not scored
    assert not out.exists()
