"""Recovery and its intervals: by hand, against scipy and brute force, and on planted truths and nulls."""

import numpy as np
import pytest
from scipy import stats

from anatomy.statistics.resampling import over_seeds
from anatomy.validation.recovery import (
    estimate,
    estimates,
    mean_recovery,
    moved,
    pooled_recovery,
    rate,
    recovery,
    rise,
    weights,
)


def test_recovery_by_hand():
    """Before 0.2, DPO 0.6, arm 0.3: of a rise of 0.4, 0.3 is taken back."""
    assert recovery(0.2, 0.6, 0.3) == pytest.approx(75)
    assert recovery(0.2, 0.6, 0.6) == 0
    assert recovery(0.2, 0.6, 0.2) == pytest.approx(100)
    assert recovery(0.2, 0.6, 0.1) == pytest.approx(125)  # below the start
    assert recovery(0.2, 0.6, 0.8) == pytest.approx(-50)  # worse than plain DPO
    assert np.isnan(recovery(0.5, 0.5, 0.3))
    assert pooled_recovery(*np.array([[0.2, 0.0], [0.6, 0.5], [0.3, 0.5]])) == pytest.approx([100 * 0.3 / 0.9])
    assert mean_recovery([0.2, 0.0], [0.6, 0.5], [0.3, 0.5]) == pytest.approx([37.5])


def test_the_ratio_is_of_means_and_seeds_are_kept():
    """Two seeds: rises 0.5 and 0.25, taken back 0.5 and 0: recoveries 100 and 0, of the means 0.25 / 0.375."""
    before, dpo = np.zeros((2, 4)), np.array([[1, 1, 0, 0], [1, 0, 0, 0.0]])
    arm = np.array([[0, 0, 0, 0], [1, 0, 0, 0.0]])
    found = estimate(recovery, [before, dpo, arm], weights(4))
    assert found.value == pytest.approx(100 * 0.25 / 0.375)
    assert found.by_seed == pytest.approx((100, 0))
    half = 12.706 * np.std([100, 0], ddof=1) / np.sqrt(2)  # t, one degree of freedom
    assert found.seeds == pytest.approx((50 - half, 50 + half), rel=1e-3)


def test_interval_over_seeds_is_scipys():
    values = np.array([0.1, 0.25, 0.4])
    expected = stats.t.interval(0.95, 2, values.mean(), stats.sem(values))
    assert over_seeds(values) == pytest.approx(expected)
    assert over_seeds(values[:1]) is None
    assert over_seeds(np.array([1.0, np.nan])) is None


def test_interval_over_prompts_is_scipys_and_covers_the_truth():
    generator = np.random.default_rng(0)
    shown = (generator.random((1, 200)) < 0.3).astype(float)
    found = estimate(rate, [shown], weights(200))
    reference = stats.bootstrap((shown[0],), np.mean, method="percentile", rng=1).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(reference), abs=0.01)
    covered = 0
    for _ in range(100):
        shown = (generator.random((1, 100)) < 0.3).astype(float)
        one = estimate(rate, [shown], weights(100))
        covered += one.low <= 0.3 <= one.high
    assert 88 <= covered <= 99


def test_what_did_not_move_has_no_recovery():
    generator = np.random.default_rng(0)

    def arm(p):
        return (generator.random((3, 100, 200)) < p).astype(float)

    weight = weights(100)
    assert (moved(arm(0.1), arm(0.4), weight) == 1).all()
    assert (moved(arm(0.4), arm(0.1), weight) == -1).all()
    null = moved(arm(0.3), arm(0.3), weight)
    assert max((null > 0).sum(), (null < 0).sum()) <= 0.06 * 200  # 2.5 % nominal
    assert not moved(np.zeros((3, 100, 1)), np.zeros((3, 100, 1)), weight).any()


def test_a_draw_is_one_of_prompts_for_all_arms_and_seeds():
    """Drawing prompts with replacement, one at a time, from every array alike."""
    generator = np.random.default_rng(3)
    before, dpo, arm = (generator.random((2, 30, 3)) + shift for shift in (0.0, 0.6, 0.3))
    weight = weights(30)
    found = estimates(recovery, [before, dpo, arm], weight)
    drawn = []
    for weight_G in weight:
        rows = np.repeat(np.arange(30), np.rint(30 * weight_G).astype(int))
        b, d, a = (side[:, rows].reshape(-1, 3).mean(axis=0) for side in (before, dpo, arm))
        drawn.append(100 * (d - a) / (d - b))
    tail = stats.norm.cdf(np.sqrt(30 / 29) * stats.t.ppf(0.025, 29))
    expected = np.quantile(drawn, [tail, 1 - tail], axis=0).T
    np.testing.assert_allclose([(one.low, one.high) for one in found], expected)
    (mean,) = estimates(mean_recovery, [before, dpo, arm], weight)
    assert mean.value == pytest.approx(np.mean([one.value for one in found]))
    np.testing.assert_allclose((mean.low, mean.high), np.quantile(np.mean(drawn, axis=1), [tail, 1 - tail]))
    assert estimate(rise, [before[..., 1], dpo[..., 1]], weight).value == pytest.approx(
        (dpo[..., 1] - before[..., 1]).mean()
    )


@pytest.mark.parametrize(("errors", "off"), [(2, 14), (3, 4)])
@pytest.mark.parametrize("truth", [0, 100])
def test_what_had_to_move_to_be_told_is_drawn_to_the_middle_and_still_covered(errors, off, truth):
    """Plain DPO's true shift is some standard errors; a recovery is reported if it seems moved (docs/report.md)."""
    generator, weight = np.random.default_rng(truth), weights(80)
    before, *after = generator.normal(size=(3, 1, 80, 1500))
    shift = errors * np.sqrt(2 / 80)
    plain, arm = after[0] - before + shift, after[1] - before + shift * (1 - truth / 100)
    at = np.flatnonzero(moved(np.zeros_like(plain), plain, weight) == 1)
    found = estimates(recovery, [np.zeros_like(plain)[..., at], plain[..., at], arm[..., at]], weight)
    assert np.median([one.value for one in found]) == pytest.approx(abs(truth - off), abs=5)
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.98


def test_half_taken_back_is_50_and_the_interval_covers_it():
    """Before, plain DPO and arm are noisy readings of the same prompts, with means 0.2, 0.6 and 0.4."""
    generator, weight, covered, values = np.random.default_rng(0), weights(60), 0, []
    for _ in range(200):
        level = generator.normal(scale=0.2, size=(60, 1))
        before, dpo, arm = (level[None] + generator.normal(mean, 0.3, (1, 60, 1)) for mean in (0.2, 0.6, 0.4))
        (found,) = estimates(recovery, [before, dpo, arm], weight)
        covered += found.low <= 50 <= found.high
        values.append(found.value)
    assert 0.90 <= covered / 200 <= 0.99
    assert np.mean(values) == pytest.approx(50, abs=2)
