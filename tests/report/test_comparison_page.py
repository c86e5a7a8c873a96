"""A comparison survives its file, its page keeps text as text, and its tables are those of the report."""

import math

import pytest
from support.run_samples import HOSTILE

from anatomy.artifacts import write_json
from anatomy.errors import RunError
from anatomy.report.comparison_page import page, terminal
from anatomy.report.comparison_record import RunComparison
from anatomy.report.elements import html_table, markup
from anatomy.statistics.differences import CHANGES, NO_CHANGE


@pytest.fixture
def comparison():
    side = {"path": HOSTILE, "name": "a", "rows": 10, "prompts": 5, "model": "m", "sae": "s", "features": "f"}
    effect = {"effect": 0.25, "low": 0.125, "high": 0.375, "adjusted": 0.25, "q": 0.001, "found": True}
    line = {"kind": "cluster", "id": "R1", "label": HOSTILE, "a": effect, "b": {**effect, "effect": -0.25, "low": None}}
    test = {"difference": -0.5, "low": -0.75, "high": -0.25, "d": -1, "z": -5, "p": 1e-5, "q": 1e-4, "adjusted": -0.1}
    line |= {**test, "change": "changed sign", "mostly_explained": True}
    return RunComparison.model_validate(
        {
            "a": side, "b": side, "clusters_compared": True, "shared": {"rows": 1, "prompts": 2}, "q_threshold": 0.05,
            "counts": {change: int(change == "changed sign") for change in (*CHANGES, NO_CHANGE)},
            "not_compared": [HOSTILE], "differences": [line],
        }
    )  # fmt: skip


def test_the_file_gives_the_same_comparison(comparison, tmp_path):
    comparison.write(tmp_path / "compare.json")
    again = RunComparison.read(tmp_path / "compare.json")
    assert math.isnan(again.differences[0].b.low)
    assert repr(again) == repr(comparison)
    write_json(tmp_path / "compare.json", {"a": {}})
    with pytest.raises(RunError, match=r"compare\.json: comparison without a schema version"):
        RunComparison.read(tmp_path / "compare.json")


def test_page_and_terminal_keep_text_as_text(comparison):
    html = page(comparison, "index.html")
    assert "<script" not in html
    assert 'href="index.html#view=global&amp;cluster=R1"' in html
    assert html.count('class="badge warn"') == 1
    text = terminal(comparison)
    assert "\x1b" not in text
    assert "1 changed sign, of 1 clusters, concepts and text rules; 1 of these mostly length or authors." in text


def test_a_table_marks_columns_of_numbers_and_escapes_cells():
    html = markup(html_table(("what", "n"), [("<b>", "1"), ("x", None)], numeric=(1,)))
    assert html == (
        '<div class="scroll"><table><thead><tr><th scope="col">what</th><th scope="col" class="num">n</th></tr></thead>'
        '<tbody><tr><td>&lt;b&gt;</td><td class="num">1</td></tr><tr><td>x</td><td class="num"></td></tr></tbody>'
        "</table></div>"
    )
