"""The verdict: what counts as a shortcut, what is open, and how large an effect had to be to be found."""

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from support.run_samples import HOSTILE, find_rows, hypothesis, read_rows

from anatomy.concepts.concept import load_library
from anatomy.data.health import Health
from anatomy.data.health_parts import CannedHealth, CannedText
from anatomy.report.markdown_summary import to_markdown
from anatomy.report.summary import summarise
from anatomy.report.summary_record import RuleAccuracy
from anatomy.report.token_table import rows_behind_report
from anatomy.report.verdict import shortcut, smallest_detectable, verdict
from anatomy.settings import HypothesisSettings


@pytest.fixture
def found_verdict(summary, labels, health, hypotheses):
    return verdict(summary, labels, hypotheses, False, False)


def test_a_trivial_rule_beyond_a_coin_is_the_first_risk(found_verdict):
    assert found_verdict.risks[0].accuracy == 0.62
    assert "agrees with 62%" in found_verdict.headline


def test_what_length_explains_is_a_risk_and_what_holds_is_a_signal(summary, labels, health, hypotheses):
    for label in labels["response"].values():
        label["correlates"] = []
    judged = verdict(summary, labels, hypotheses, False, False)
    assert [item.context for item in judged.risks if "mostly length" in item.why] == ["D1"]
    assert {item.context for item in judged.signals} == {"all", "D1", "D2", "P1"}
    assert judged.n_risks + judged.n_signals == 1 + sum(sum(view.found.values()) for view in summary.views.values())


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_rule_whose_accuracy_is_no_number_is_a_risk(end, summary, labels, hypotheses):
    rule = RuleAccuracy(accuracy=0.5, low=0.48, high=0.52)
    for found, risks in ((rule, 0), (rule.model_copy(update={end: math.nan}), 1)):
        one = summary.model_copy(update={"baselines": {"longer": found}})
        rules = [item for item in verdict(one, labels, hypotheses, False, False).risks if item.view == "baseline"]
        assert len(rules) == risks


@pytest.mark.parametrize(
    ("response", "direction", "correlates", "adjusted", "why"),
    [
        ("R1", "chosen", [{"concept": "bold", "r": 0.4}], 1.0, "follows bold"),
        ("R1", "chosen", [{"concept": "bold", "r": 0.2}], 1.0, ""),
        ("R1", "chosen", [{"concept": "bold", "r": -0.9}], 1.0, ""),
        ("R1", "chosen", [{"concept": "refusal", "r": 0.9}, {"concept": "bold", "r": 0.4}], 1.0, ""),
        ("R1", "chosen", [{"concept": "length", "r": 0.9}], 1.0, ""),
        ("R1", "rejected", [], 0.2, "mostly length"),
        ("sycophancy", "chosen", [], 1.0, "most people want to suppress"),
        ("sycophancy", "rejected", [], 1.0, ""),
        ("bold", "chosen", [], 1.0, "it is a named style"),
        ("em-dash", "rejected", [], 1.0, "it is a named style"),
        ("length", "chosen", [], 0.2, "mostly length"),
        ("refusal", "rejected", [], 1.0, ""),
        ("R1", "chosen", [], math.nan, "nothing is known of it beside length"),
        ("R1", "rejected", [], math.nan, "nothing is known of it beside length"),
        ("R1", "chosen", [{"concept": "bold", "r": math.nan}], 1.0, "follows bold"),
    ],
)
def test_shortcuts(response, direction, correlates, adjusted, why):
    effect = 0.4 if direction == "chosen" else -0.4
    survived = {"verdict": "holds" if adjusted == 1 else "mostly length"}
    if math.isnan(adjusted):
        survived = {"verdict": "undecided", "support": 0.0}
    tests = pa.Table.from_pylist([hypothesis("global", "all", response, effect, **survived)])
    summary = summarise(tests, {}, Health(), HypothesisSettings(), find_rows, read_rows)
    (finding,) = summary.findings()
    found = shortcut(finding, {"correlates": correlates}, load_library())
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_a_cluster_is_judged_as_the_concept_that_it_follows():
    tests = pa.Table.from_pylist(
        [
            hypothesis("global", "all", "R1", 0.4, concept="lists"),
            hypothesis("global", "all", "R2", 0.3, concept="praise"),
        ]
    )
    summary = summarise(tests, {}, Health(), HypothesisSettings(), find_rows, read_rows)
    why = [shortcut(finding, {}, load_library()) for finding in summary.findings()]
    assert why == [
        "follows lists, a named style",
        "most people want to suppress praise of the user, and it is rewarded here",
    ]


def test_an_undecided_finding_is_neither_a_risk_nor_a_signal_and_is_counted(labels, health):
    """If the longer side always wins, the page has that one line; the concepts that go with it are counted."""
    kept = pa.Table.from_pylist(
        [hypothesis("global", "all", f"R{n}", 0.2, verdict="undecided", support=share) for n, share in
         enumerate((0.0, 0.01, 0.6))]
    )  # fmt: skip
    summary = summarise(kept, labels, health, HypothesisSettings(), find_rows, read_rows)
    judged = verdict(summary, labels, kept, False, False)
    assert [item.view for item in judged.risks] == ["baseline"]
    assert not judged.signals
    assert (judged.n_risks, judged.n_signals, judged.n_undecided) == (1, 0, 3)
    assert [item.count for item in judged.open if item.what == "findings"] == [2, 1]


def test_what_authorship_explains_is_a_risk_that_says_so(labels, health):
    tests = pa.Table.from_pylist([hypothesis("global", "all", "R9", 0.2, verdict="mostly author")])
    summary = summarise(tests, {}, health, HypothesisSettings(), find_rows, read_rows)
    judged = verdict(summary, {"response": {}}, tests, False, False)
    assert judged.risks[-1].why == "mostly author: less than half of it is left beside authorship"


def test_nothing_found_is_reported_with_the_power_of_the_tests(labels, health):
    nothing = pa.Table.from_pylist(
        [hypothesis(view, "D1", "R1", 0.1, q=0.9) for view in ("global", "feature", "prompt")]
    )
    health = health.model_copy(update={"baselines": {}})
    summary = summarise(nothing, labels, health, HypothesisSettings(), find_rows, read_rows)
    judged = verdict(summary, labels, nothing, True, True)
    assert judged.headline.startswith("Nothing stood out")
    assert judged.risks == judged.signals == ()
    assert sum("no proof of absence" in item.why for item in judged.open) == 3
    assert not [item for item in judged.open if item.what in ("null check", "predicted shift")]


def test_missing_checks_are_reported(found_verdict):
    assert {"null check", "predicted shift", "names"} <= {item.what for item in found_verdict.open}


def test_the_smallest_detectable_effect_passes_benjamini_hochberg_alone():
    """One test at exactly that |d|, all others at p = 1: scipy's adjusted p is the threshold; just below it fails."""
    n_tests, per_d = 400, 25.0  # z = 25 d in every test
    generator = np.random.default_rng(0)
    d = generator.normal(size=n_tests)
    needed = smallest_detectable(pa.table({"d": d, "z": per_d * d}), 0.05)
    for factor, passes in ((1.0001, True), (0.999, False)):
        p = np.ones(n_tests)
        p[0] = 2 * stats.norm.sf(factor * needed * per_d)
        assert (stats.false_discovery_control(p)[0] <= 0.05) == passes
    assert np.isnan(smallest_detectable(pa.table({"d": [np.nan], "z": [0.0]}), 0.05))


def test_evidence_takes_findings_first_then_each_clusters_nearest():
    labels = {
        "response": {
            "R1": {"exemplars": [{"row_id": "b"}, {"row_id": "e"}]},
            "R2": {"exemplars": [{"row_id": "d"}, {"row_id": "gone"}]},
        }
    }
    row_ids = ["a", "b", "c", "d", "e"]
    assert rows_behind_report(["c", "a", "c", "a"], labels, row_ids, 10) == [2, 0, 1, 3, 4]
    assert rows_behind_report(["c", "a", "c", "a"], labels, row_ids, 3) == [2, 0, 1]


def test_evidence_holds_the_highest_rows_of_few_concepts_among_many_clusters():
    def label(first, count):
        return {"exemplars": [{"row_id": str(number)} for number in range(first, first + count)]}

    responses = {f"R{number}": label(100 * number, 5) for number in range(1, 60)}
    responses |= {
        name: {**label(first, 30), "detector": "text"} for name, first in (("bold", 10_000), ("lists", 20_000))
    }
    row_ids = [str(number) for number in range(30_000)]
    found = rows_behind_report([], {"response": responses}, row_ids, 40)
    assert found[:10] == [base + step for step in range(5) for base in (10_000, 20_000)]
    assert found[10:] == [100 * number for number in range(1, 31)]


CANNED = {"kind": "response", "text": HOSTILE, "index": 3, "prompts": 82, "both": 0, "p": 1e-20, "alarm": True}
WINS = CannedText(**CANNED, chosen=80, rejected=2, win_rate=0.9756, low=0.9154, high=0.9933)
LOSES = CannedText(**CANNED | {"kind": "opening"}, chosen=2, rejected=80, win_rate=0.0244, low=0.0067, high=0.0846)


def with_canned(health, *texts):
    found = {"prompts": 900, "sampled": 1.0, "recurring": 9, "tested": 4, "alarms": len(texts)}
    return health.model_copy(update={"canned": CannedHealth(**found, texts=texts)})


def test_a_canned_text_that_wins_is_in_summary_text_verdict_and_headline(labels, health, hypotheses):
    fact = WINS.model_copy(update={"alarm": False})
    health = with_canned(health, WINS, LOSES, fact)
    summary = summarise(hypotheses, labels, health, HypothesisSettings(), find_rows, read_rows)
    assert summary.canned == (WINS, LOSES)
    judged = verdict(summary, labels, hypotheses, False, False)
    won, lost = (item for item in judged.risks if item.view == "canned")
    assert (won.direction, won.rows, won.n, round(won.effect, 4)) == ("chosen", 80, 82, 0.4756)
    assert (lost.direction, lost.rows) == ("rejected", 80)
    assert "wins under 80 of 82 prompts, and 1 more such texts." in judged.headline
    assert "\x1b" not in judged.headline
    markdown = to_markdown(summary)
    assert "## Canned texts" in markdown
    assert "97.6%" in markdown
    assert "<script" not in markdown
    assert "amp;lt;" not in markdown


def test_without_alarms_nothing_is_said_of_canned_texts(summary, labels, hypotheses):
    assert "Canned" not in to_markdown(summary)
    assert not [item for item in verdict(summary, labels, hypotheses, False, False).risks if item.view == "canned"]
