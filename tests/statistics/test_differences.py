"""Differences of two sets: worked by hand, against scipy and brute force, nulls of every overlap, planted changes."""

import numpy as np
import pytest
from scipy import stats

from anatomy.statistics.differences import CHANGES, NO_CHANGE, SetSignals, differences


def drawn(generator, prompts, per_prompt, signals, correlation=0.5, mean=0.3):
    """Prompt ids and signals whose rows of one prompt are correlated."""
    prompt_N = np.repeat(np.arange(prompts), per_prompt)
    shared, own = (generator.standard_normal((size, signals)) for size in (prompts, len(prompt_N)))
    return prompt_N, np.sqrt(correlation) * shared[prompt_N] + np.sqrt(1 - correlation) * own + mean


def measured(u_NM, prompt_N, rows, length_N=None):
    length_N = np.zeros(len(u_NM)) if length_N is None else length_N
    ids = [f"row {row}" for row in rows]
    return SetSignals(u_NM[rows], ids, [f"prompt {prompt_N[row]}" for row in rows], length_N[rows])


def test_a_difference_worked_by_hand():
    """A = (1, 3), B = (3, 5, 7), all prompts distinct: means 2 and 5, so B − A = 3.

    Own: 1.0 and 4/3 are the variances of the means with Bessel's correction; error² = 7/3.
    Pooled: s² = (2 + 8)/3, times 1/2 + 1/3: error² = 25/9, larger with more degrees of freedom (3); d = 3/√(10/3).
    """
    u_N1 = np.array([[1.0], [3.0], [3.0], [5.0], [7.0]])
    found = differences(measured(u_N1, np.arange(5), [0, 1]), measured(u_N1, np.arange(5), [2, 3, 4]), 0.05)
    assert found.difference[0] == 3
    assert found.d[0] == pytest.approx(3 / np.sqrt(10 / 3))
    weights = np.array([0.25, 0.25, 1 / 9, 1 / 9, 1 / 9])
    own_df = weights.sum() ** 2 / (weights**2).sum() - 1
    own_p = 2 * stats.t.sf(3 / np.sqrt(7 / 3), own_df)
    pooled_p = stats.ttest_ind([3, 5, 7], [1, 3]).pvalue
    assert found.p[0] == pytest.approx(max(own_p, pooled_p))


def test_two_samples_without_shared_prompts_are_as_scipy_says():
    generator = np.random.default_rng(0)
    prompt_N, u_NM = drawn(generator, 900, 1, 5, 0.0)
    u_NM[400:] += 0.2
    found = differences(measured(u_NM, prompt_N, np.arange(400)), measured(u_NM, prompt_N, np.arange(400, 900)), 0.05)
    welch, student = (stats.ttest_ind(u_NM[400:], u_NM[:400], equal_var=equal) for equal in (False, True))
    np.testing.assert_allclose(found.p, np.maximum(welch.pvalue, student.pvalue), rtol=0.02)


def test_the_error_of_overlapping_sets_is_that_of_drawing_prompts_again():
    """Brute force: both sets' means in 4,000 paired resamples of the union's prompts."""
    generator = np.random.default_rng(1)
    prompt_N, u_NM = drawn(generator, 200, 3, 4)
    a, b = np.arange(450), np.arange(150, 600)
    u_NM[450:] *= 2
    found = differences(measured(u_NM, prompt_N, a), measured(u_NM, prompt_N, b), 0.05)
    in_a, in_b = np.isin(np.arange(600), a), np.isin(np.arange(600), b)
    counts_GX = generator.multinomial(200, np.full(200, 1 / 200), size=4000)[:, prompt_N]
    means = [(counts_GX * rows) @ u_NM / (counts_GX * rows).sum(1)[:, None] for rows in (in_a, in_b)]
    error_M = (means[1] - means[0]).std(0)
    width_M = (found.high - found.low) / 2
    np.testing.assert_allclose(width_M, 1.97 * error_M, rtol=0.12)


OVERLAPS = {
    "two halves of the prompts": (lambda n: np.arange(n // 2), lambda n: np.arange(n // 2, n), (0.03, 0.065)),
    "two halves of the rows": (lambda n: np.arange(0, n, 2), lambda n: np.arange(1, n, 2), (0.03, 0.065)),
    "two thirds each": (lambda n: np.arange(2 * n // 3), lambda n: np.arange(n // 3, n), (0.025, 0.065)),
    "a tenth left out": (lambda n: np.arange(n), lambda n: np.arange(n // 10, n), (0.01, 0.06)),
    "eight rows left out": (lambda n: np.arange(n), lambda n: np.arange(8, n), (0.0, 0.06)),
}


@pytest.mark.parametrize("name", OVERLAPS)
@pytest.mark.parametrize(("per_prompt", "correlation"), [(1, 0.0), (3, 0.5)])
def test_nulls_are_rejected_at_the_nominal_rate_whatever_the_overlap(name, per_prompt, correlation):
    """Rows are in random order of prompts, so that every half is a random one."""
    first, second, (low, high) = OVERLAPS[name]
    generator = np.random.default_rng(2)
    rates, found_share = [], []
    for _ in range(4):
        prompt_N, u_NM = drawn(generator, 150, per_prompt, 1000, correlation)
        n = len(u_NM)
        found = differences(measured(u_NM, prompt_N, first(n)), measured(u_NM, prompt_N, second(n)), 0.05)
        rates.append(np.mean(found.p < 0.05))
        found_share.append(np.mean(found.change != NO_CHANGE))
    assert low <= np.mean(rates) <= high
    assert np.mean(found_share) < 0.01  # q, not p, decides what is reported as a change


def test_prompts_taken_as_independent_rows_would_reject_too_often():
    """The control of the test above: with every row a prompt of its own, correlated halves look different."""
    generator = np.random.default_rng(3)
    prompt_N, u_NM = drawn(generator, 60, 8, 1500, 0.6)
    a, b = np.arange(240), np.arange(240, 480)
    blind = differences(measured(u_NM, np.arange(480), a), measured(u_NM, np.arange(480), b), 0.05)
    honest = differences(measured(u_NM, prompt_N, a), measured(u_NM, prompt_N, b), 0.05)
    assert np.mean(blind.p < 0.05) > 0.2
    assert np.mean(honest.p < 0.05) < 0.07


def test_the_same_set_twice_differs_by_exactly_nothing():
    prompt_N, u_NM = drawn(np.random.default_rng(4), 80, 3, 50)
    rows = np.arange(240)
    found = differences(measured(u_NM, prompt_N, rows), measured(u_NM, prompt_N, rows), 0.05)
    assert (found.difference == 0).all()
    assert np.isnan(found.p).all()
    assert set(found.change) == {NO_CHANGE}


def test_planted_changes_are_told_with_their_sign():
    """Columns: turned around in B, new in B, gone in B, doubled, halved, unchanged."""
    generator = np.random.default_rng(5)
    prompt_N, noise_NM = drawn(generator, 400, 2, 6, 0.3, mean=0.0)
    means = np.array([[0.5, -0.5], [0, 0.5], [0.5, 0], [0.3, 0.9], [-0.9, -0.3], [0.4, 0.4]])
    half_N = prompt_N % 2
    u_NM = noise_NM + means[:, half_N].T
    a, b = np.flatnonzero(half_N == 0), np.flatnonzero(half_N == 1)
    found = differences(measured(u_NM, prompt_N, a), measured(u_NM, prompt_N, b), 0.05)
    assert found.change.tolist() == ["changed sign", "appeared", "vanished", "stronger", "weaker", NO_CHANGE]
    assert np.sign(found.difference[:5]).tolist() == [-1, 1, -1, 1, 1]
    assert ((found.low[:5] < np.diff(means[:5])[:, 0]) & (np.diff(means[:5])[:, 0] < found.high[:5])).all()
    assert set(CHANGES) > set(found.change[:5])


def test_a_finding_in_one_set_only_is_no_change_by_itself():
    """A's effect is significant, B's (a tenth of the rows, the same truth) is not: no difference is shown."""
    prompt_N, u_NM = drawn(np.random.default_rng(6), 1100, 1, 1, 0.0, mean=0.15)
    found = differences(
        measured(u_NM, prompt_N, np.arange(1000)), measured(u_NM, prompt_N, np.arange(1000, 1100)), 0.05
    )
    assert found.a.found[0]
    assert not found.b.found[0]
    assert found.change[0] == NO_CHANGE


def test_a_difference_that_is_length_alone_is_gone_at_equal_length():
    generator = np.random.default_rng(7)
    length_N = generator.standard_normal(800) + np.repeat([0.0, 1.0], 400)
    u_NM = (0.5 * length_N + 0.1 * generator.standard_normal(800))[:, None]
    sides = [measured(u_NM, np.arange(800), rows, length_N) for rows in (np.arange(400), np.arange(400, 800))]
    found = differences(*sides, 0.05)
    assert found.difference[0] == pytest.approx(0.5, abs=0.1)
    assert found.adjusted[0] == pytest.approx(0, abs=0.03)


def test_a_difference_that_is_authorship_alone_is_gone_beside_authors():
    """One author always carries the signal, and wins more often in B; the labels follow nothing else."""
    generator = np.random.default_rng(8)
    prompt_N, rows = np.arange(1600), (np.arange(800), np.arange(800, 1600))
    wins_N = generator.random(1600) < np.repeat([0.5, 0.8], 800)
    author_N2 = np.where(wins_N[:, None], [0, 1], [1, 0])
    u_NM = (np.where(wins_N, 1.0, -1.0) + 0.1 * generator.standard_normal(1600))[:, None]
    sides = [measured(u_NM, prompt_N, part)._replace(author_N2=author_N2[part]) for part in rows]
    found = differences(*sides, 0.05)
    assert found.difference[0] == pytest.approx(0.6, abs=0.1)
    assert found.adjusted[0] == pytest.approx(0, abs=0.03)


def test_a_signal_that_is_the_same_in_every_row_is_a_finding_by_its_signs():
    """It has no variance, so no t test: turned around, it must not read as vanished."""
    varied_N = np.repeat([1.0, 2.0], 20)
    u_N1 = np.concatenate([varied_N, np.full(40, -1.5)])[:, None]
    a, b = np.arange(40), np.arange(40, 80)
    found = differences(measured(u_N1, np.arange(80), a), measured(u_N1, np.arange(80), b), 0.05)
    assert found.change[0] == "changed sign"
    assert found.b.q[0] == pytest.approx(2.0**-39)
    few = differences(measured(u_N1, np.arange(80), a), measured(u_N1, np.arange(80), [40, 41, 42]), 0.05)
    assert not few.b.found[0]
