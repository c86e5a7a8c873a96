"""What suppressing one concept does to the others: against exact tilts, by hand, and intervals at their rate."""

import numpy as np
import pytest
from support.planted_pool import Policy, pool_of

from anatomy.prediction.explain_away import forecast, forecast_weights, grouped
from anatomy.prediction.predictors import Tilt, predict
from anatomy.prediction.readouts import Readout, feature_readout


def whole(policy: Policy):
    """Every response of the policy once, as a row's two equal sides."""
    return pool_of(policy.phi_SF, policy.phi_SF)


def test_the_forecast_is_the_derivative_of_the_exact_tilt_by_the_rest_of_the_reward():
    """Finite difference of ``E[φ]`` under ``π ∝ exp(s (r − λ u))``, with λ by ordinary least squares of r on u."""
    policy = Policy(seed=3)
    pool, concept_S = whole(policy), policy.phi_SF[:, :4].sum(axis=1)
    slope, _ = np.polyfit(concept_S, policy.reward_S, 1)
    rest_S = policy.reward_S - slope * concept_S
    weight_S = np.exp(1e-5 * rest_S)
    shift_F = (policy.phi_SF.T @ (weight_S / weight_S.sum()) - policy.phi_SF.mean(axis=0)) / 1e-5
    reward_J, concept_J = np.tile(policy.reward_S, 2), np.tile(concept_S, 2)
    weight_2J = forecast_weights(reward_J, concept_J, pool, np.ones(len(pool), bool))
    np.testing.assert_allclose(weight_2J[1] @ np.tile(policy.phi_SF, (2, 1)), shift_F, atol=1e-5 * abs(shift_F).max())
    assert abs(weight_2J[1] @ concept_J) < 1e-12 * abs(weight_2J[0] @ concept_J)


def test_strength_scales_what_is_taken_away():
    policy = Policy()
    reward_J, concept_J = np.tile(policy.reward_S, 2), np.tile(policy.phi_SF[:, 0], 2)
    pool, inside_N = whole(policy), np.ones(len(policy.phi_SF), bool)
    shifts = [
        forecast_weights(reward_J, concept_J, pool, inside_N, strength) @ concept_J for strength in (0, 0.5, 1, 2)
    ]
    before, after = np.array(shifts).T
    np.testing.assert_allclose(after, before * np.array([1, 0.5, 0, -1]), atol=1e-12)


def test_a_constant_concept_takes_nothing_away():
    policy = Policy()
    pool, reward_J = whole(policy), np.tile(policy.reward_S, 2)
    weight_2J = forecast_weights(reward_J, np.ones(len(reward_J)), pool, np.ones(len(pool), bool))
    np.testing.assert_array_equal(*weight_2J)


def test_within_prompts_by_hand():
    """Two prompts of two responses each: r − r̄ = ±1, ±2 and u − ū = ±1, ±1, so λ = 6/4 and what is left ∓0.5, ±0.5."""
    pool = pool_of(np.zeros((2, 1)), np.zeros((2, 1)), ["a", "b"])
    reward_J, concept_J = np.array([2.0, 14.0, 0.0, 10.0]), np.array([3.0, 9.0, 1.0, 7.0])
    weight_2J = forecast_weights(reward_J, concept_J, pool, np.ones(2, bool), within=True)
    np.testing.assert_allclose(weight_2J * 4, [[1, 2, -1, -2], [-0.5, 0.5, 0.5, -0.5]])


@pytest.mark.parametrize("kind", ["ridge", "sgd"])
def test_shifts_are_those_of_the_predictor_and_of_its_residual(kind):
    """The first column is ``predict``; the second the same by regressing the fitted reward on the concept."""
    policy = Policy()
    data, own = policy.pairs(300, seed=1), policy.pairs(200, seed=2)
    readout = feature_readout(own, np.ones(30, bool), "freq")
    concept_J = own.responses("freq").toarray()[:, :4].sum(axis=1)
    found = forecast(Tilt(kind=kind), data, own, readout, concept_J)
    fitted = Tilt(kind=kind).fit(data)
    np.testing.assert_allclose(found.predicted_M, predict(fitted, own, readout, np.ones(200, bool)))
    reward_J = fitted.rewards(own)
    rest_J = reward_J - np.polyval(np.polyfit(concept_J, reward_J, 1), concept_J)
    expected = own.responses("freq").toarray().T @ (rest_J - rest_J.mean()) / len(rest_J)
    np.testing.assert_allclose(found.without_M, expected, atol=1e-10)


@pytest.mark.parametrize("over", ["data", "own", "data, labels at random"])
def test_intervals_hold_the_true_change_at_their_rate(over):
    """Of 160 draws of 300 rows, two a prompt, 90 % or more hold the truth (from 50,000 rows; 0 without a reward).

    A change is a product of two covariances: where one of them is near 0, the jackknife is too careful.
    """
    policy = Policy(size=200, features=12, seed=5)
    if over == "data, labels at random":
        policy.reward_S = np.zeros(200)
    columns = np.arange(12) % 4

    def change(seed, rows, repeats):
        data, other = (repeated(policy, rows // repeats, at, repeats) for at in (seed, seed + 10_000))
        pool = other if over == "own" else data
        values = pool.responses("freq").toarray()
        readout = Readout(list("abcd"), np.stack([values[:, columns == m].mean(axis=1) for m in range(4)], axis=1))
        found = forecast(Tilt(kind="sgd"), data, pool, readout, readout.values_JM[:, 0], seed=seed)
        return found.without_M - found.predicted_M, found.half_M

    truth_M = np.zeros(4) if over == "data, labels at random" else change(1, 50_000, 1)[0]
    draws = [change(seed, 300, 2) for seed in range(100, 260)]
    rate_M = np.mean([np.abs(found_M - truth_M) <= half_M for found_M, half_M in draws], axis=0)
    assert (rate_M > 0.9).all(), rate_M
    assert over == "data, labels at random" or np.median(rate_M) < 0.985, rate_M


def repeated(policy: Policy, prompts: int, seed: int, repeats: int):
    """Rows that occur several times under one prompt: as independent rows they would look too sure."""
    pool = policy.pairs(prompts, seed)
    rows = np.repeat(np.arange(prompts), repeats)
    return pool.take(rows)


def test_groups_keep_prompts_together_and_are_of_one_size():
    pool = pool_of(np.zeros((90, 1)), np.zeros((90, 1)), [f"prompt {row // 3}" for row in range(90)])
    group_N = grouped(pool.prompts, 10, seed=0)
    assert all(len(set(group_N[start : start + 3])) == 1 for start in range(0, 90, 3))
    assert np.bincount(group_N).tolist() == [9] * 10


def test_one_prompt_has_no_interval():
    policy = Policy()
    pairs = policy.pairs(20, seed=1)
    pool = pool_of(*(pairs.values(side, "freq").toarray() for side in ("chosen", "rejected")), ["a"] * 20)
    readout = feature_readout(pool, np.ones(30, bool), "freq")
    assert np.isnan(
        forecast(Tilt(kind="sgd"), pool, pool, readout, np.asarray(pool.tokens_NS.T.ravel(), float)).half_M
    ).all()
