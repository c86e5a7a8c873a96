"""One line for findings that say the same: its words, its order, its members; seven are read first."""

import math

import pyarrow as pa
import pytest
from support.run_samples import find_rows, hypothesis, read_rows

from anatomy.data.health import Health
from anatomy.report.lead_sentence import lead_sentence
from anatomy.report.leads import SAID, said
from anatomy.report.summary import summarise
from anatomy.settings import HypothesisSettings

WON = {"differ": 0.38, "win_rate": 0.71, "win_rate_low": 0.66, "win_rate_high": 0.76}


def summary_of(*tests):
    return summarise(
        pa.Table.from_pylist(list(tests)), {}, Health(), HypothesisSettings(), find_rows, read_rows,
        concepts={"bold": "bold", "certainty": "claims of certainty"},
    )  # fmt: skip


NO_RATE = {**WON, "win_rate": math.nan}
SENTENCES = {
    "everywhere": (
        hypothesis("global", "all", "bold", 0.4, **WON), "bold text",
        "Bold text is rewarded everywhere: of the 38% of pairs in which the sides differ in it, the chosen side has "
        "more in 71% [66, 76]; it holds beside length and authors"),
    "authors unknown": (
        hypothesis("global", "all", "bold", -0.4, **WON, effect_author_adjusted=math.nan), "claims of certainty",
        "Claims of certainty are punished everywhere: "),
    "mostly length": (
        hypothesis("feature", "D3", "R1", 0.4, **WON, verdict="mostly length"), "R1",
        "R1 is rewarded in D3 (cooking), more than elsewhere: of"),
    "less of it": (
        hypothesis("prompt", "P3", "R1", -0.4, **WON), "lists",
        "Lists fare worse where the prompt shows D3 (cooking) than elsewhere: of"),
    "no rate": (
        hypothesis("feature", "G:task=code", "R1", -0.4, **{**NO_RATE, "win_rate_high": math.nan}), "R1",
        "R1 fares worse where D3 (cooking) than elsewhere; it holds"),
}  # fmt: skip


@pytest.mark.parametrize(("test", "name", "said"), SENTENCES.values(), ids=SENTENCES)
def test_sentences_can_be_repeated(test, name, said):
    assert lead_sentence(test, name, "D3 (cooking)").startswith(said)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("mostly length", "it is mostly length"), ("mostly author", "it is mostly who wrote the side"),
     ("undecided", "whether it is more than length and authors is not known")],
)  # fmt: skip
def test_sentences_say_what_a_finding_survives(verdict, said):
    assert lead_sentence(hypothesis("global", "all", "R1", 0.4, verdict=verdict), "R1", "").endswith(f"; {said}")


def test_all_that_say_the_same_are_one_lead_over_all_views():
    summary = summary_of(
        hypothesis("global", "all", "R1", 0.9, concept="bold"),
        hypothesis("global", "all", "bold", 0.2, concept="bold"),
        hypothesis("feature", "D1", "R1", 0.5, concept="bold"),
        hypothesis("prompt", "P1", "S1", 0.5, concept="bold"),
        hypothesis("global", "all", "R2", 0.3),
    )
    assert [(lead.response, lead.n_members) for lead in summary.leads] == [("bold", 3), ("R2", 0)]
    assert summary.leads[0].sentence.startswith("Bold is rewarded everywhere")
    assert {member.response for member in summary.leads[0].members} == {"R1", "S1"}
    (bold, other) = summary.views["global"].chosen
    assert (bold.response, bold.n_members, other.response) == ("bold", 1, "R2")
    assert (summary.views["global"].found["chosen"], summary.views["global"].members) == (2, 1)


def test_a_concept_that_is_no_finding_gives_its_followers_its_name():
    summary = summary_of(
        hypothesis("global", "all", "R1", 0.3, concept="certainty"),
        hypothesis("global", "all", "certainty", 0.1, concept="certainty", q=0.5),
    )
    (lead,) = summary.leads
    assert (lead.response, lead.concept) == ("R1", "certainty")
    assert lead.sentence.startswith("Claims of certainty (R1 follows it) are rewarded everywhere")


def test_named_concepts_come_first_and_undecided_findings_last_and_seven_are_read():
    others = [hypothesis("global", "all", f"R{number}", 0.5 + number / 100) for number in range(9)]
    undecided = hypothesis("global", "all", "R20", 0.99, verdict="undecided")
    summary = summary_of(undecided, *others, hypothesis("global", "all", "bold", 0.1, concept="bold"))
    assert [lead.response for lead in summary.leads][:3] == ["bold", "R8", "R7"]
    assert summary.leads[-1].response == "R20"
    assert len(said(summary)) == SAID == 7
    assert [lead.response for lead in said(summary_of(undecided))] == ["R20"]


def test_no_findings_are_no_leads():
    assert said(summary_of(hypothesis("global", "all", "R1", 0.1, q=0.9))) == ()


def test_less_of_it_elsewhere_is_listed_with_the_finding_not_beside_it():
    unsafe = hypothesis("feature", "D1", "refusal", -0.9, concept="refusal")
    absent = hypothesis("feature", "D7", "refusal", 0.3, concept="refusal", win_rate_low=0.3)
    view = summary_of(unsafe, absent).views["feature"]
    assert (view.found, view.members) == ({"chosen": 0, "rejected": 1}, 1)
    assert [member.context for member in view.rejected[0].members] == ["D7"]
