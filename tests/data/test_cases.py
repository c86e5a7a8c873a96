"""Each file of layouts that lies beside the repository ends as its README says: rows, reasons, notes or refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anatomy.data.health import RowHealth
from anatomy.data.ingest import measure
from anatomy.errors import RowsError
from anatomy.settings import RowSettings

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"
ODD = {"missing-response": 2, "empty-response": 2, "no-assistant-turn": 1}
LABEL_FAULTS = {"identical-pair": 2, "tie": 1, "duplicate-row": 3, "opposite-label": 3}

# name, flags, format, rows retained, reasons, parts of the notes
READ: list[tuple[str, dict[str, Any], str, int, dict[str, int], tuple[str, ...]]] = [
    ("01-dolci-instruct-dpo.jsonl", {}, "implicit", 20, {}, ()),
    ("03-ultrafeedback-raw.jsonl", {}, "ranking", 13, {"missing-response": 1}, ("`overall_score`", "--score fine-gr")),
    ("05-intel-orca-dpo-pairs.jsonl", {}, "explicit", 20, {}, ()),
    ("07-helpsteer3-preference.jsonl", {}, "winner", 17, {"tie": 3}, ("below 0 the first is better",)),
    ("08-helpsteer2-pointwise.jsonl", {"score": "helpfulness"}, "pointwise", 9, {"tie": 3}, ("by `helpfulness`",)),
    ("08-helpsteer2-pointwise.jsonl", {"score": "verbosity"}, "pointwise", 11, {"tie": 1}, ("how much is said",)),
    ("09-lmarena-140k.jsonl", {}, "winner", 17, {"tie": 1, "both-bad": 1, "non-text": 1}, ()),
    ("09-lmarena-140k.parquet", {}, "winner", 17, {"tie": 1, "both-bad": 1, "non-text": 1}, ()),
    ("11-pku-saferlhf.jsonl", {"label": "safer_response_id"}, "winner", 20, {}, ("`safer_response_id`",)),
    (
        "16-hh-transcript-edges.jsonl", {}, "hh", 13,
        {"empty-response": 1, "no-assistant-turn": 1, "identical-pair": 1}, (),
    ),
    ("17-placeholder-scores.jsonl", {}, "full-conversations", 20, {}, ()),
    ("18-math-step-dpo.jsonl", {}, "explicit", 14, {"empty-response": 2}, ("prompt=prompt+initial_reason_steps",)),
    ("21-trl-tool-calls-padded.parquet", {}, "explicit", 6, {}, ()),
    ("21-trl-tool-calls.jsonl", {}, "explicit", 8, {}, ()),
    ("22-kto-unpaired.jsonl", {}, "unpaired", 7, {"unpaired": 13}, ("20 good and 7 bad",)),
    ("24-trl-implicit-text.jsonl", {}, "implicit-text", 20, {}, ("as in TRL",)),
    ("25-reasoning-fields.jsonl", {}, "explicit", 18, {}, ()),
    ("26-special-tokens-in-text.jsonl", {}, "explicit", 20, {}, ()),
    ("27-odd-values.json", {}, "explicit", 7, {**ODD, "non-text": 4}, ()),
    ("27d-odd-values-without-numbers.json", {}, "explicit", 7, {**ODD, "non-text": 3}, ()),
    ("27b-rewardbench2-lists.jsonl", {}, "ranking", 12, {}, ("lists of responses", "--pairs all")),
    ("27b-rewardbench2-lists.jsonl", {"pairs": "all"}, "ranking", 35, {"duplicate-row": 1}, ()),
    ("27c-python-repr-cells.jsonl", {}, "full-conversations", 8, {}, ()),
    ("28-languages-unicode.jsonl", {}, "explicit", 20, {"non-text": 1}, ()),
    ("29-code-long-lines.jsonl", {}, "explicit", 12, {}, ()),
    ("30-window-and-length.jsonl", {}, "explicit", 16, {}, ()),
    ("31-label-problems.jsonl", {}, "explicit", 26, LABEL_FAULTS, ()),
    ("32-identity-cutoff-loops.jsonl", {}, "explicit", 20, {}, ()),
    ("34-schema-changes-late.jsonl", {}, "explicit", 34, {"unreadable": 3, "duplicate-row": 3}, ("row 38",)),
    ("37-several-annotators.jsonl", {}, "explicit", 6, {"tie": 3}, ("votes of `annotator_id`", "36 rows")),
]  # fmt: skip
REFUSED = [
    ("08-helpsteer2-pointwise.jsonl", ("pointwise ratings", "--score helpfulness", "verbosity` (how much is said")),
    ("11-pku-saferlhf.jsonl", ("differ in 7 of 20 rows", "--label better_response_id", "anatomy compare")),
    ("15-hh-red-team-attempts.json", ("transcripts with", "no pairs")),
    ("19-rlaif-v-images.jsonl", ("`image`", "only text is read")),
    ("19b-trl-images-column.jsonl", ("images", "only text is read")),
]


def health(name: str, **flags: Any) -> RowHealth:
    path = CASES / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return measure(RowSettings(rows=str(path), **flags))


@pytest.mark.parametrize(("name", "flags", "layout", "retained", "reasons", "notes"), READ)
def test_a_file_is_read_as_its_row_of_the_table_says(
    name: str, flags: dict[str, Any], layout: str, retained: int, reasons: dict[str, int], notes: tuple[str, ...]
) -> None:
    found = health(name, **flags)
    assert (found.format, found.retained) == (layout, retained)
    assert {reason: entry.count for reason, entry in found.reasons.items()} == reasons
    assert found.reading is not None
    for note in notes:
        assert any(note in line for line in found.reading.notes), found.reading.notes


@pytest.mark.parametrize(("name", "says"), REFUSED)
def test_a_file_without_readable_pairs_is_refused(name: str, says: tuple[str, ...]) -> None:
    with pytest.raises(RowsError) as refusal:
        health(name)
    for part in says:
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_every_file_is_in_the_tables() -> None:
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is not there")
    files = {path.name for path in CASES.iterdir() if path.is_file() and path.suffix != ".md"}
    assert files == {name for name, *_ in READ} | {name for name, _ in REFUSED}


def test_text_columns_that_are_not_read_are_named() -> None:
    reading = health("18-math-step-dpo.jsonl").reading
    assert reading is not None
    assert list(reading.unread) == ["initial_reason_steps", "full_chosen", "full_rejected"]


def test_annotators_and_their_agreement_are_shown() -> None:
    reading, within = health("37-several-annotators.jsonl").reading, health("07-helpsteer3-preference.jsonl").reading
    assert reading is not None
    assert reading.votes is not None
    assert (reading.votes.pairs, reading.votes.votes, reading.votes.ties, reading.votes.percent) == (9, 36, 3, 0.5)
    assert within is not None
    assert within.votes is not None
    assert (within.votes.pairs, within.votes.votes) == (20, 60)
