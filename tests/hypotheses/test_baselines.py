"""Accuracy of trivial rules, and its interval where nothing varies."""

from __future__ import annotations

import pytest
from scipy import stats

from anatomy.hypotheses.baselines import trivial_baselines
from anatomy.statistics.prompts import Prompts


def test_a_rule_that_never_varies_has_an_exact_interval() -> None:
    prompts = Prompts.from_ids([str(number) for number in range(40)])
    found = {item.rule: item for item in trivial_baselines([("longer text", "text")] * 40, prompts)}
    exact = stats.binomtest(40, 40).proportion_ci(0.95, "exact")
    assert (found["longer"].low, found["longer"].high) == pytest.approx((exact.low, exact.high))
    assert (found["refusal_words"].low, found["refusal_words"].high) == (0.5, 0.5)
