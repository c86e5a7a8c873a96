"""Which hypotheses become findings, in which order, what is said of them, and that Markdown stays inert."""

import re

import numpy as np
import pyarrow as pa
import pytest
from markdown_it import MarkdownIt
from support.run_samples import HOSTILE, find_rows, hypothesis, left, read_rows

from anatomy.errors import RunError
from anatomy.report.markdown_summary import to_markdown
from anatomy.report.markdown_table import escape, markdown_table
from anatomy.report.summary import STORED, strongest_rows, summarise
from anatomy.report.summary_record import FindingRow, Summary
from anatomy.settings import HypothesisSettings
from anatomy.text.visible import visible

RENDER = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render


def ids(findings):
    return [(finding.context, finding.response) for finding in findings]


def test_findings_pass_q_and_stability_and_are_ranked_by_the_smaller_half(summary):
    """D1/R2 has the larger effect (0.4) but halves 0.44 and 0.05; D1/R1 has 0.33 and 0.27."""
    feature = summary.views["feature"]
    assert ids(feature.chosen) == [("D1", "R1"), ("D1", "R2")]
    assert ids(feature.rejected) == [("D2", "R1")]
    assert feature.found == {"chosen": 2, "rejected": 1}
    assert (feature.tested, feature.untestable) == (4, 1)
    assert ids(summary.views["global"].chosen) == [("all", "R1")]
    assert ids(summary.views["prompt"].chosen) == [("P1", "S1")]


@pytest.mark.parametrize(("rank_by", "first"), [("delta_min", "R1"), ("effect", "R2"), ("d", "R2"), ("z", "R2")])
def test_ranking_key_is_the_setting(hypotheses, labels, health, rank_by, first):
    summary = summarise(hypotheses, labels, health, HypothesisSettings(rank_by=rank_by), find_rows, read_rows)
    assert summary.views["feature"].chosen[0].response == first


def test_threshold_is_the_setting(hypotheses, labels, health):
    loose = summarise(hypotheses, labels, health, HypothesisSettings(q_threshold=0.5), find_rows, read_rows)
    assert ids(loose.views["global"].chosen) == [("all", "R2"), ("all", "R1")]


def test_sentences_say_side_place_and_numbers(summary):
    first = {view: summary.views[view].chosen[0].sentence for view in ("global", "prompt")}
    assert first["global"].startswith(
        f"Chosen responses show R1 ({HOSTILE}) more than rejected ones: +0.200 [+0.150, +0.250]"
    )
    assert first["prompt"].startswith("When the prompt shows P1 («code»), S1 (shift) leans more to the chosen side")
    rejected = summary.views["feature"].rejected[0].sentence
    assert rejected.startswith("In D2 («cooking»), R1")
    assert (
        "leans more to the rejected side than elsewhere: -0.500 [-0.550, -0.450], d -1.00, q 0.001, 120 rows"
        in rejected
    )


def test_length_is_named_where_it_explains_most(summary):
    mostly, not_so = summary.views["feature"].chosen
    assert mostly.verdict == "mostly length"
    assert mostly.sentence.endswith("beside length +0.100 [+0.080, +0.120] is left: mostly length")
    assert not_so.verdict == "holds"
    assert not_so.sentence.endswith("beside length and authors +0.360 [+0.310, +0.410] is left: holds")


def test_authors_are_named_where_they_explain_most_and_where_they_are_known(labels, health):
    known = left("author", 0.05)
    tests = pa.Table.from_pylist(
        [
            hypothesis("global", "all", "R1", 0.3, **known, verdict="mostly author"),
            hypothesis("global", "all", "R2", 0.2, **known),
            hypothesis("global", "all", "S1", 0.1, **known, verdict="undecided", **nothing_left()),
            hypothesis("global", "all", "R3", 0.05, effect_author_adjusted=float("nan"), verdict="undecided"),
        ]
    )
    summary = summarise(tests, labels, health, HypothesisSettings(), find_rows, read_rows)
    ends = [finding.sentence.rsplit("; ", 1)[1] for finding in summary.views["global"].chosen]
    assert ends == [
        "beside authors +0.050 [+0.030, +0.070] is left: mostly author",
        "beside length and authors +0.180 [+0.130, +0.230] is left: holds",
        "undecided: length and authors alone may decide these labels",
        "beside length +0.045 [-0.005, +0.095] is left: undecided",
    ]


def nothing_left():
    return {"effect_adjusted": 0.0, "effect_adjusted_low": float("nan"), "effect_adjusted_high": float("nan")}


def test_win_rates_are_said_of_the_pairs_that_differ(summary):
    sentence = summary.views["global"].chosen[0].sentence
    assert "; 50% of its pairs differ in it, and chosen has more in 55% [53%, 57%]; " in sentence


def test_rows_behind_are_asked_for_each_finding(summary):
    finding = summary.views["feature"].rejected[0]
    assert finding.rows_affected == 77
    assert finding.rows[0].row_id == "r"


def test_what_was_not_assessed(summary):
    entries = {(entry.what, entry.count): entry.why for entry in summary.not_assessed}
    assert entries["rows", 60] == "not retained: tie"
    assert "silent" in entries["rows", 11]
    assert entries["rows", 8].startswith("prompt longer than the window")
    assert ("rows", 0) not in entries
    assert entries["data clusters", 1] == "fewer than 25 rows: D3"
    assert entries["response clusters", 1] == "fewer than 4 features: R2"


def test_nulls_give_no_finding(hypotheses, labels, health):
    nothing = summarise(hypotheses.slice(1, 1), labels, health, HypothesisSettings(), find_rows, read_rows)
    assert all(not view.chosen and not view.rejected for view in nothing.views.values())
    assert "Leaning to chosen: 0" in to_markdown(nothing)


def test_only_so_many_are_kept_and_the_rest_is_counted(hypotheses, labels, health):
    many = hypotheses.from_pylist([hypothesis("feature", f"D{k}", "R1", 0.1 + k / 1000) for k in range(1, STORED + 6)])
    view = summarise(many, labels, health, HypothesisSettings(), find_rows, read_rows).views["feature"]
    assert (len(view.chosen), view.found["chosen"]) == (STORED, STORED + 5)
    assert view.chosen[0].context == f"D{STORED + 5}"


def test_strongest_rows_by_hand():
    """Inside: rows 0–3 with signals 0.2, −0.1, 0.5, 0; row 4 (0.9) is outside."""
    signal, inside = np.array([0.2, -0.1, 0.5, 0.0, 0.9]), np.array([1, 1, 1, 1, 0], bool)
    for direction, expected in (("chosen", [2, 0]), ("rejected", [1])):
        count, rows = strongest_rows(signal, inside, direction)
        assert (count, rows.tolist()) == (len(expected), expected)


def test_summary_is_deterministic(hypotheses, labels, health, summary):
    assert summarise(hypotheses, labels, health, HypothesisSettings(), find_rows, read_rows) == summary


def test_the_file_gives_the_same_summary_and_another_version_is_refused(tmp_path, summary):
    path = tmp_path / "summary.json"
    summary.write(path)
    assert Summary.read(path) == summary
    path.write_text(path.read_text().replace(f'"schema_version": {Summary.VERSION}', '"schema_version": 0'))
    with pytest.raises(RunError, match=r"summary\.json: summary of schema version 0, and \d is read here; run"):
        Summary.read(path)


def test_rows_are_read_once_for_all_findings(hypotheses, labels, health):
    asked = []

    def read(rows):
        asked.append(rows)
        return read_rows(rows)

    summarise(hypotheses, labels, health, HypothesisSettings(), find_rows, read)
    assert asked == [{4}]


def test_escaped_text_reads_the_same_and_does_nothing():
    html = RENDER(f"| a | b |\n|---|---|\n| {escape(HOSTILE)} | z |")
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert len(cells) == 2
    assert "<" not in cells[0]
    text = cells[0].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert text == visible(HOSTILE)


@pytest.mark.parametrize(
    "text",
    ["- item", "1. item", "12) item", "# head", "> quote", "+ x", "---", "===", "    code",
     "| a | b |", "![i](u)", "<b>", "&lt;", "~~s~~", "\\", "a\nb", "`c`", "__b__", "[^1]"],
)  # fmt: skip
def test_escape_leaves_one_plain_paragraph(text):
    assert re.fullmatch(r"<p>[^<]*</p>\n", RENDER(escape(text)))


@pytest.mark.parametrize("text", ["see https://x.example", "WWW.x.example", "mail a@b.example"])
def test_escape_breaks_what_would_become_a_link(text):
    assert not re.search(r"\w://|www\.|\w@", escape(text), re.IGNORECASE)


def test_a_table_keeps_its_columns_whatever_its_cells_say():
    html = RENDER(markdown_table(("what", "n"), [(HOSTILE, 1), ("a | b\n\n# c", 22)], right=(1,)))
    assert html.count("<tr>") == 3
    assert html.count('<td style="text-align:right">') == 2
    assert "<script" not in html
    assert "<h1>" not in html


def test_our_own_cells_are_written_as_they_are_but_end_no_cell():
    table = markdown_table(("r",), [("0.98 [0.96, 0.99]",), ("a|b\nc",)], verbatim=True)
    assert table == "| r |\n| --- |\n| 0.98 [0.96, 0.99] |\n| a\\|b c |"
    with pytest.raises(ValueError, match="2 cells in a table of 1"):
        markdown_table(("r",), [("a", "b")])


def test_markdown_lets_no_dataset_text_act(summary):
    document = to_markdown(summary)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", document)
    html = RENDER(document)
    assert "<script" not in html
    assert "<a " not in html
    assert "<strong>" not in html
    assert html.count("<h1>") == 1
    assert "longer wins" in html
    assert "62.0%" in html


def test_markdown_structure_is_independent_of_the_text(summary, hypotheses, labels, health):
    """Tags rendered from hostile labels are the tags rendered from plain ones."""
    plain_labels = {**labels, "response": {name: {**label, "label": "x"} for name, label in labels["response"].items()}}
    texts = {4: FindingRow(row_id="r", index=4, chosen="x", rejected="y")}
    plain = summarise(hypotheses, plain_labels, health, HypothesisSettings(), find_rows, lambda _: texts)
    tags = [re.findall(r"</?\w+", RENDER(to_markdown(document))) for document in (summary, plain)]
    assert tags[0] == tags[1]
