"""Findings that say the same are one: planted signals and contexts, in every order."""

import itertools

import numpy as np
import pytest
from support.run_samples import hypothesis

from anatomy.hypotheses.contexts import numbered
from anatomy.hypotheses.same_findings import NOTHING_KNOWN, Likeness, grouped, leading
from anatomy.hypotheses.signals import indicator
from anatomy.hypotheses.views import Responses


@pytest.fixture
def likeness():
    generator = np.random.default_rng(0)
    first, other = generator.standard_normal((2, 400))
    values = np.column_stack([first, first + 0.5 * generator.standard_normal(400), other, -first, np.ones(400)])
    contexts = [np.arange(100), np.arange(30, 110), np.arange(200, 300)]
    signals = Responses(values, ["R1", "R2", "R3", "R4", "R5"])
    return Likeness.of([signals, Responses(values[:, :2] + 7, ["S1", "R2"])], numbered("D", indicator(contexts, 400)))


def test_signals_that_go_together_and_contexts_that_share_rows_are_alike(likeness):
    pairs = itertools.combinations(["R1", "R2", "R3", "R4", "R5", "S1"], 2)
    assert {pair for pair in pairs if likeness.responses_alike(*pair)} == {("R1", "R2"), ("R1", "S1"), ("R2", "S1")}
    assert likeness.contexts_shared("D1", "D2")
    assert not likeness.contexts_shared("D1", "D3")
    assert likeness.contexts_shared("all", "D3")


def test_responses_of_one_concept_are_one_finding_led_by_the_concept(likeness):
    tests = [
        hypothesis("feature", "D1", "R1", 0.9, concept="bold"),
        hypothesis("global", "all", "R3", 0.5, concept="bold"),
        hypothesis("feature", "D1", "bold", 0.3, concept="bold"),
        hypothesis("feature", "D3", "R3", 0.4, concept="bold"),
        hypothesis("feature", "D1", "R3", -0.4, concept="bold", win_rate_high=0.4),
        hypothesis("global", "all", "R4", 0.4),
    ]
    assert grouped(tests, likeness) == [[2, 1, 0], [5], [3], [4]]


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_groups_do_not_hang_on_the_order_where_strength_does_not(order, likeness):
    tests = [hypothesis("global", "all", name, 0.4) for name in ("R1", "R2", "R3")]
    shown = [[tests[place] for place in order][place]["response"] for group in
             grouped([tests[place] for place in order], likeness) for place in group]  # fmt: skip
    assert len(grouped([tests[place] for place in order], likeness)) == 2
    assert sorted(shown) == ["R1", "R2", "R3"]


def test_less_of_it_elsewhere_is_no_finding_of_its_own():
    unsafe = hypothesis("feature", "D1", "refusal", -0.9, concept="refusal", win_rate_high=0.2)
    absent = hypothesis("feature", "D7", "refusal", 0.3, concept="refusal", win_rate_low=0.3)
    reversed_ = hypothesis("feature", "D8", "refusal", 0.3, concept="refusal", win_rate_low=0.7)
    assert grouped([unsafe, absent, reversed_], NOTHING_KNOWN) == [[0, 1], [2]]


def test_a_finding_stands_where_it_happens():
    everywhere = hypothesis("global", "all", "refusal", -0.2, n=400, differ=0.12, concept="refusal")
    unsafe = hypothesis("feature", "D1", "refusal", -0.9, n=50, differ=0.86, win_rate_high=0.2, concept="refusal")
    large = {**unsafe, "context": "D20", "n": 200, "differ": 0.23}
    assert leading([everywhere, large, unsafe], {"refusal": everywhere}, 400) is unsafe
    assert leading([everywhere, {**unsafe, "differ": 0.5}], {"refusal": everywhere}, 400) is everywhere
    assert leading([unsafe], {}, 400) is unsafe


def test_followers_of_a_concept_that_goes_with_another_are_members(likeness):
    """R1 and R2 go together, as bold and lists may; R3 follows lists and does not go with bold."""
    tests = [
        hypothesis("global", "all", "R1", 0.4, concept="R1"),
        hypothesis("global", "all", "R2", 0.3, concept="R2"),
        hypothesis("global", "all", "R3", 0.2, concept="R2"),
    ]
    assert grouped(tests, likeness) == [[0, 1, 2]]
