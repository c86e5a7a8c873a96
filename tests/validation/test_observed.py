"""Observed shifts: brute force, coverage of the interval on a null with dependent rows, the ceiling against theory."""

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.statistics.agreement import Ceiling, ceiling
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.resampling import resampling
from anatomy.validation.context_rule import Context, everywhere
from anatomy.validation.observed import observe


def rows_of(generator, n_prompts, m, per_prompt=2, noise=1.0, shift=0.0, slopes=0.0):
    """Differences of ``m`` readouts: a shift, an effect of each prompt, noise of each row."""
    prompt_G = slopes * generator.standard_normal((n_prompts, m))
    rows = np.repeat(prompt_G, per_prompt, axis=0) + noise * generator.standard_normal((n_prompts * per_prompt, m))
    return rows + shift, Prompts.from_ids([f"p{g:04d}" for g in range(n_prompts) for _ in range(per_prompt)])


def test_value_is_the_mean_and_a_contrast_the_difference_of_means():
    difference_NM, prompts = rows_of(np.random.default_rng(0), 40, 5)
    inside_N = np.arange(80) % 3 == 0
    context = Context("D1", inside_N, ~inside_N)
    weights = resampling(40, seed=0, draws=50)
    plain = observe(difference_NM, context, prompts, weights)
    contrast = observe(difference_NM, context, prompts, weights, contrast=True)
    np.testing.assert_allclose(plain.value, difference_NM[inside_N].mean(axis=0))
    np.testing.assert_allclose(contrast.value, difference_NM[inside_N].mean(0) - difference_NM[~inside_N].mean(0))


def test_draws_resample_whole_prompts():
    """The bootstrap by hand: concatenate the rows of the drawn prompts, each as often as drawn."""
    difference_NM, prompts = rows_of(np.random.default_rng(1), 12, 3)
    weights = resampling(12, seed=0, draws=400)
    drawn = [np.repeat(difference_NM, np.repeat(draw.astype(int), 2), axis=0).mean(axis=0) for draw in weights.draws_BG]
    found = observe(difference_NM, everywhere(24)[0], prompts, weights)
    tail = 0.0108  # Φ(−√(12/11) · t(0.975, 11)) = Φ(−2.299)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    np.testing.assert_allclose(found.low, low, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(found.high, high, rtol=2e-3, atol=2e-3)


def test_sparse_and_dense_agree():
    difference_NM, prompts = rows_of(np.random.default_rng(2), 30, 4)
    difference_NM[np.abs(difference_NM) < 0.7] = 0
    weights = resampling(30, seed=0, draws=50)
    dense, sparse = (observe(rows, everywhere(60)[0], prompts, weights)
                     for rows in (difference_NM, sp.csr_array(difference_NM)))  # fmt: skip
    for ours, theirs in zip(dense, sparse, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(("n_prompts", "slopes"), [(12, 0.0), (60, 0.0), (60, 1.0)])
def test_the_interval_covers_a_true_null_at_its_rate(n_prompts, slopes):
    """Before and after are the same policy: 95 % of the intervals hold 0, also where rows of a prompt agree."""
    generator = np.random.default_rng(3)
    covered = []
    for repetition in range(30):
        difference_NM, prompts = rows_of(generator, n_prompts, 40, slopes=slopes)
        found = observe(
            difference_NM, everywhere(len(difference_NM))[0], prompts, resampling(n_prompts, repetition, 400)
        )
        covered.append((found.low <= 0) & (found.high >= 0))
    assert 0.925 < np.mean(covered) < 0.98  # 1,200 intervals: ±0.013 by chance


def test_rows_taken_as_independent_would_not_cover():
    """The same null with each row as a prompt of its own: the failure that clustering prevents."""
    generator = np.random.default_rng(4)
    covered = []
    for repetition in range(10):
        difference_NM, _ = rows_of(generator, 40, 40, per_prompt=4, slopes=1.0, noise=0.3)
        alone = Prompts.from_ids([f"row {row}" for row in range(160)])
        found = observe(difference_NM, everywhere(160)[0], alone, resampling(160, repetition, 300))
        covered.append((found.low <= 0) & (found.high >= 0))
    assert np.mean(covered) < 0.8


@pytest.mark.parametrize("signal", [0.05, 0.1, 0.4])
def test_the_ceiling_is_the_analytic_reliability(signal):
    """Shifts of variance s², noise of variance 1/n: reliability s²/(s² + 1/n) with n rows."""
    generator = np.random.default_rng(5)
    shift_M = signal * generator.standard_normal(1500)
    difference_NM, prompts = rows_of(generator, 100, 1500, per_prompt=1, shift=shift_M)
    found = observe(difference_NM, everywhere(100)[0], prompts, resampling(100, 0, draws=20))
    expected = signal**2 / (signal**2 + 1 / 100)
    record = ceiling(found.half_a, found.half_b)
    assert record.reliability == pytest.approx(expected, abs=0.06)
    assert record.attainable_r == pytest.approx(np.sqrt(record.reliability))
    # and a perfect prediction reaches it
    assert np.corrcoef(shift_M, found.value)[0, 1] == pytest.approx(np.sqrt(expected), abs=0.04)


def test_halves_that_contradict_each_other_have_no_reliability():
    half = np.array([[0.0, 1.0, 3.0]])
    assert ceiling(half, -half) == Ceiling(half_r=-1.0, reliability=0.0, attainable_r=0.0, attainable_r2=0.0)


def test_the_ceiling_of_pure_noise_is_near_zero():
    difference_NM, prompts = rows_of(np.random.default_rng(6), 100, 1500)
    found = observe(difference_NM, everywhere(200)[0], prompts, resampling(100, 0, draws=20))
    assert ceiling(found.half_a, found.half_b).reliability < 0.15


def test_seeds_decide_the_weights():
    for ours, theirs in zip(resampling(30, 1, 20), resampling(30, 1, 20), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(resampling(30, 1, 20).draws_BG, resampling(30, 2, 20).draws_BG)
