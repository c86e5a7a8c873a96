"""`show`: readable, aligned, at most 110 columns, and deaf to what dataset text would have a terminal do."""

import re
import subprocess
import sys
import unicodedata

import pytest

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.data.health_parts import (
    CannedHealth,
    CannedText,
    MeasuredSAE,
    NearDuplicates,
    NotedRow,
    PromptGroup,
    RatedRows,
)
from anatomy.errors import RunError
from anatomy.report.health_text import format_health
from anatomy.report.layout import fit, table, width, wrap
from anatomy.report.terminal import render

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def check(text):
    assert not CONTROL.search(text)
    assert max(width(line) for line in text.split("\n")) <= 110
    return text


def test_a_run_shows_health_findings_and_gaps(run_dir):
    text = check(render(run_dir))
    for part in ("900 of 1,000 rows retained", "longer wins", "62.0%", "variance explained", "EVERYWHERE", "set.jsonl",
                 "leaning to rejected: 1", "NOT ASSESSED", "all stages complete", "in P1 «code»",
                 "model: laptop", "prompt of 8 rows, rejected of 3 rows"):  # fmt: skip
        assert part in text, part
    assert "lists" in text
    assert "R2 lists" not in text[text.index("EVERYWHERE") : text.index("IN GROUPS")]  # q = 0.2 is no finding


def test_one_view_only_and_top(run_dir):
    text = check(render(run_dir, view="feature", top=1))
    assert "EVERYWHERE" not in text
    assert text.count("in D1 «physics», «light»") == 1
    assert "… 1 more" in text
    assert "in D1" not in render(run_dir, top=0)


def test_numbers_are_aligned(run_dir):
    lines = render(run_dir, view="feature").split("\n")
    header = next(line for line in lines if "95 % interval" in line)
    numbers = next(line for line in lines if "[+0.250, +0.350]" in line)
    context = next(line for line in lines if "in D1" in line)
    assert header.index("interval") + len("interval") == numbers.index("]") + 1
    assert numbers.index("R1") == header.index("what") == context.index("in D1")


def test_one_cluster(run_dir):
    text = check(render(run_dir, cluster="R1"))
    for part in (
        "«praise» 50%",
        "«great question» z 8.0",
        "bold r +0.50",
        "nearest, row 5, chosen",
        "@2",
        "3 tests with it",
    ):
        assert part in text, part
    assert "S1" not in text
    assert "P1" in check(render(run_dir, cluster="P1"))
    assert "rows" in check(render(run_dir, cluster="D0"))


def test_unknown_cluster_and_missing_files_are_one_line(run_dir):
    with pytest.raises(RunError, match=r"no cluster `R99`; there are R1–R2, S1–S1, D1–D3, P1–P1"):
        render(run_dir, cluster="R99")
    (run_dir / artifacts.SUMMARY).unlink()
    with pytest.raises(RunError, match=r"summary\.json: no summary here; run `anatomy audit`"):
        render(run_dir)


def test_health_table(health):
    text = check(format_health(health))
    assert text.index("60  tie") < text.index("40  identical-pair")
    assert "both responses have the same rating" in text
    assert "row 3: <script>" in text
    assert "unhealthy: L0 is wrong" in text
    assert re.search(r"prompt +40 +4 +30 +200 +1,234", text)


def test_health_tolerates_what_is_absent(health):
    assert format_health(Health()) == "? of ? rows retained"
    for key in Health.model_fields:
        assert format_health(Health.model_validate(health.model_dump(exclude={key})))
    unknown = dict.fromkeys(MeasuredSAE.model_fields) | {"tokens": 9, "l0": 3.0, "outliers": 0, "faults": []}
    text = format_health(Health(sae=MeasuredSAE(**unknown)))
    assert re.search(r"L0 +3\.0 +\?\nvariance explained +\? +\?", re.sub(" *\n *", "\n", text))


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("日本語文", 6, "日本…"),
        ("a\nb\x1b[2J", 20, "a↵b\\u001b[2J"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
    ],
)
def test_fit(text, columns, shown):
    assert fit(text, columns) == shown
    assert width(shown) <= columns


def test_wrap_keeps_all_words_and_the_width():
    lines = wrap("one two three four five " * 20, first="* ", indent="  ", columns=30)
    assert " ".join(" ".join(lines).split()) == "* " + ("one two three four five " * 20).strip()
    assert all(width(line) <= 30 for line in lines)
    assert lines[1].startswith("  ")
    assert wrap("x" * 50, columns=30) == ["x" * 29 + "…"]


def test_table_aligns_wide_characters():
    lines = table([("日本", 1), ("a", 22)], right=(1,))
    assert [width(line) for line in lines] == [10, 10]
    assert unicodedata.east_asian_width("日") == "W"


def test_report_and_labels_load_no_torch():
    names = "anatomy.report.page, anatomy.report.terminal, anatomy.report.comparison_page, anatomy.naming.cluster_names"
    code = f"import {names}, sys; print([m for m in ('torch', 'transformers', 'sae_lens') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_canned_texts_near_duplicates_and_constant_ratings_are_lines_of_the_health():
    fact = CannedText(kind="opening", text="Sure! Here\x1b is", index=1, prompts=9, chosen=5, rejected=3, both=1,
                      win_rate=0.6111, low=0.3, high=0.85, p=0.7, alarm=False)  # fmt: skip
    alarm = fact.model_copy(update={"kind": "response", "prompts": 82, "win_rate": 0.9756, "alarm": True})
    canned = CannedHealth(prompts=500, sampled=0.5, recurring=7, tested=4, alarms=1, texts=[alarm, fact])
    examples = [NotedRow(index=4, excerpt="Why is it cold?"), NotedRow(index=9, excerpt="Hi! Why is it cold?")]
    near = NearDuplicates(sampled=300, distinct=900, prompts=2, groups=1,
                          largest=[PromptGroup(prompts=2, examples=examples)])  # fmt: skip
    ratings = RatedRows(rows=12, chosen=(10, 10), rejected=(1, 1), constant=True)
    text = format_health(Health(canned=canned, near_duplicates=near, ratings=ratings))
    assert "Ratings carry nothing: chosen 10 and rejected 1 in all 12 rated rows" in text
    assert "500 prompts read, 50.0% of all, drawn at random" in text
    assert next(line for line in text.splitlines() if line.startswith("  !")).split()[1:2] == ["82"]
    assert "Near-duplicate prompts: 2 of 300 drawn from 900, in 1 group" in text
    assert "row 10: Hi! Why is it cold?" in text
    assert "\x1b" not in text
    assert "Ratings" not in format_health(Health(ratings=ratings.model_copy(update={"constant": False})))
