"""Intervals of shares hold what they promise, also where prompts repeat; by hand, on nulls and on planted shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from anatomy.statistics.shares import clustered_difference, clustered_share


def test_one_row_a_prompt_is_clopper_and_pearson() -> None:
    """8 of 40: v = p (1 − p) / 39, so n* = 40."""
    hits = np.array([1] * 8 + [0] * 32)
    share = clustered_share(hits, np.ones(40))
    exact = stats.binomtest(8, 40).proportion_ci()
    assert share.value == 0.2
    assert share.low == pytest.approx(exact.low, abs=1e-9)
    assert share.high == pytest.approx(exact.high, abs=1e-9)


def test_rows_that_repeat_their_prompt_say_no_more() -> None:
    """Twelve equal rows of each prompt leave the interval where it was, but for the few degrees of freedom."""
    hits = np.array([1] * 8 + [0] * 32)
    once, often = clustered_share(hits, np.ones(40)), clustered_share(12 * hits, np.full(40, 12))
    assert list(often) == pytest.approx(list(once), abs=0.01)


def test_none_and_all() -> None:
    """No hit in 20 prompts: the upper end solves (1 − p)²⁰ = 0.025, however many rows each has."""
    for rows in (1, 5):
        share = clustered_share(np.zeros(20), np.full(20, rows))
        assert share.low == share.value == 0
        assert share.high == pytest.approx(1 - 0.025 ** (1 / 20))
        assert clustered_share(np.full(20, rows), np.full(20, rows)).low == pytest.approx(0.025 ** (1 / 20))


def test_single_prompt_and_no_row() -> None:
    share = clustered_share(np.array([3]), np.array([10]))
    assert share.low < 0.05
    assert share.high > 0.9
    assert np.isnan(clustered_share(np.array([]), np.array([])).value)
    difference = clustered_difference(np.array([3]), np.array([0]), np.array([10]))
    assert difference.low < 0 < difference.high


def test_a_difference_is_that_of_the_shares() -> None:
    """6 rows have it on the first side alone, 2 on the second alone, of 40: 0.15 − 0.05."""
    first, second = np.zeros(40), np.zeros(40)
    first[:6], second[6:8] = 1, 1
    difference = clustered_difference(first, second, np.ones(40))
    assert difference.value == pytest.approx(0.1)
    assert difference.low < 0 < difference.high  # 6 of 8 is p = 0.29
    none = clustered_difference(np.zeros(40), np.zeros(40), np.ones(40))
    assert none.value == 0
    assert -none.low == none.high == pytest.approx(1 - 0.025 ** (1 / 40))


def planted(rng: np.random.Generator, chosen: float, rejected: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """60 prompts of 1 to 12 rows; rows of one prompt mostly agree on whether each side has the property."""
    sizes = rng.integers(1, 13, 60)
    sums = np.zeros((2, 60))
    both = np.zeros(60)
    for prompt, size in enumerate(sizes):
        of_prompt = rng.random((2, 1)) < np.array([[chosen], [rejected]])
        own = rng.random((2, size)) < np.array([[chosen], [rejected]])
        has = np.where(rng.random((2, size)) < 0.8, of_prompt, own)
        sums[:, prompt] = has.sum(1)
        both[prompt] = (has[0] & has[1]).sum()
    return sums, both, sizes


@pytest.mark.parametrize(("chosen", "rejected"), [(0.5, 0.3), (0.1, 0.1), (0.02, 0.02)])
def test_intervals_cover_what_was_planted(chosen: float, rejected: float) -> None:
    rng = np.random.default_rng(0)
    covered = np.zeros(2)
    runs = 600
    for _ in range(runs):
        sums, both, sizes = planted(rng, chosen, rejected)
        share = clustered_share(sums[0], sizes)
        difference = clustered_difference(sums[0] - both, sums[1] - both, sizes)
        covered += [share.low <= chosen <= share.high, difference.low <= chosen - rejected <= difference.high]
    assert (covered / runs >= 0.93).all(), covered / runs


def test_false_alarms_are_at_most_nominal() -> None:
    """Both sides alike: at most 5 % of the differences, and of the win rates, leave the null value out."""
    rng = np.random.default_rng(1)
    alarms = np.zeros(2)
    runs = 600
    for _ in range(runs):
        sums, both, sizes = planted(rng, 0.15, 0.15)
        first, second = sums[0] - both, sums[1] - both
        difference, wins = clustered_difference(first, second, sizes), clustered_share(first, first + second)
        alarms += [not difference.low <= 0 <= difference.high, not wins.low <= 0.5 <= wins.high]
    assert (alarms / runs <= 0.065).all(), alarms / runs
