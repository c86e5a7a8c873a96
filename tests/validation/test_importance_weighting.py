"""The difference of two nearly equal models by importance weighting: exact over all responses, narrow in samples."""

import numpy as np
import pytest
from scipy import stats

from anatomy.validation.importance_weighting import distance, importance_weights, weighted_difference


def policies(step: float, size: int = 40, seed: int = 0):
    """Two distributions over ``size`` responses, ``step`` apart, with a readout of each response."""
    rng = np.random.default_rng(seed)
    logits, push, value_S = rng.normal(size=(3, size))
    both = []
    for sign in (1, -1):
        chance_S = np.exp(logits + sign * step * push)
        both.append(chance_S / chance_S.sum())
    return (*both, value_S + 5)


@pytest.mark.parametrize("step", [0.0, 0.01, 0.5, 20.0])
def test_weights_give_the_difference_of_the_means(step):
    """Summed over all responses, whatever the baseline."""
    first_S, second_S, value_S = policies(step)
    weight_S, mixture_S = importance_weights(np.log(first_S) - np.log(second_S)), (first_S + second_S) / 2
    truth = (first_S - second_S) @ value_S
    for baseline in (0.0, 5.0):
        assert mixture_S @ (weight_S * (value_S - baseline)) == pytest.approx(truth, abs=1e-12)
    assert mixture_S @ weight_S == pytest.approx(0, abs=1e-12)


def test_far_apart_it_is_the_plain_difference_and_between_equals_nothing():
    value_JM = np.array([[3.0, 0.0], [5.0, 1.0], [7.0, 0.0], [1.0, 0.0], [2.0, 0.0], [4.0, 1.0]])
    code_N, baseline_NM = np.array([0, 1, 0]), np.full((3, 2), 0.7)
    far_GM = weighted_difference(value_JM, np.repeat([60.0, -60.0], 3), baseline_NM, code_N)
    np.testing.assert_allclose(far_GM[0], [(3 + 7 - 1 - 4) / 2, -0.5])
    np.testing.assert_allclose(far_GM[1], [3.0, 1.0])
    assert not weighted_difference(value_JM, np.zeros(6), baseline_NM, code_N).any()
    one_GM = weighted_difference(value_JM, np.array([0.2, 0, 0, 0, 0, 0]), baseline_NM, code_N)
    np.testing.assert_allclose(one_GM[0, 0], 2 * np.tanh(0.1) * (3 - 0.7) / 4)
    assert not one_GM[1].any()


def test_intervals_by_likelihood_hold_the_truth_and_are_narrow():
    """600 pairs of arms, 150 prompts with two completions each: 95 % [93, 97] hold; a fifth of the plain width."""
    rng = np.random.default_rng(1)
    parts = [policies(0.05, seed=prompt) for prompt in range(150)]
    truth = float(np.mean([(first_S - second_S) @ value_S for first_S, second_S, value_S in parts]))
    code_N, held, widths = np.repeat(range(150), 2), 0, []
    for _ in range(600):
        seen = [[rng.choice(40, 2, p=part[side]) for part in parts] for side in (0, 1)]
        value_J = np.concatenate([part[2][at] for side in seen for part, at in zip(parts, side, strict=True)])
        ratio_J = np.concatenate([np.log(part[0][at] / part[1][at]) for side in seen
                                  for part, at in zip(parts, side, strict=True)])  # fmt: skip
        found = weighted_difference(value_J[:, None], ratio_J, np.full((300, 1), 5.0), code_N)[:, 0]
        plain = (value_J[:300] - value_J[300:]).reshape(150, 2).mean(axis=1)
        low, high = stats.ttest_1samp(found, 0).confidence_interval()
        held += low <= truth <= high
        widths.append((high - low) / np.ptp(stats.ttest_1samp(plain, 0).confidence_interval()))
    assert 558 <= held <= 582
    assert np.mean(widths) < 0.2


def test_the_distance_is_jeffreys_divergence_and_the_balance_a_z_score():
    """Two prompts, one sample each. ℓ of A's completions: 0.2, 0.4; of B's: −0.2, 0: nats 0.3 + 0.1."""
    log_ratio_J, code_N = np.array([0.2, 0.4, -0.2, 0.0]), np.array([0, 1])
    found = distance(log_ratio_J, code_N)
    assert found.nats == pytest.approx(0.4)
    mean_G = np.array([0.0, 2 * np.tanh(0.2)])
    assert found.balance == pytest.approx(mean_G.mean() / stats.sem(mean_G))
    assert distance(np.zeros(4), code_N).balance == 0.0
