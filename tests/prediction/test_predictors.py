"""Predictors against brute force, closed forms, and a policy whose tilt is known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.optimize import minimize
from support.planted_pool import Policy, pool_of

from anatomy.hypotheses.signals import response_signals
from anatomy.prediction.predictors import (
    Activations,
    BaseRate,
    LengthTilt,
    MeanDifference,
    Sharpened,
    Temperature,
    Tilt,
    predict,
)
from anatomy.prediction.readouts import Readout, cluster_readout, feature_readout
from anatomy.prediction.rewards import bradley_terry, covariance_weights, standardised_differences
from anatomy.statistics.effects import mean_effects
from anatomy.statistics.frame import RowFrame

N, F = 120, 30
LABELS = np.arange(F) % 4  # clusters 1..3, and a quarter of the features in none


@pytest.fixture(scope="module")
def policy():
    return Policy()


@pytest.fixture(scope="module")
def data(policy):
    return policy.pairs(1500, seed=1)


def everywhere(pool):
    return np.ones(len(pool), bool)


def features(pool, statistic="freq"):
    return feature_readout(pool, np.ones(pool.fires_F.shape, bool), statistic)


def test_disparity_is_what_the_audit_tests(data):
    """The prediction of a cluster is the mean of u (method.md §5) that the global view reports, to float32."""

    class Shard:
        def matrix(self, span, statistic):
            return data.values(span, statistic)

    u_NM = response_signals([Shard()], LABELS, tau=data.tau).disparity_NM
    audited = mean_effects(u_NM, RowFrame(data.prompts, np.zeros(len(data))))
    readout = cluster_readout(data, LABELS, "present")
    predicted = predict(MeanDifference("disparity", "present").fit(data), data, readout, everywhere(data))
    np.testing.assert_allclose(predicted, audited.effect, atol=1e-6)


def test_continuous_difference_inside_a_context_by_hand(data):
    inside_N = np.arange(len(data)) % 3 == 0
    predicted = predict(MeanDifference("continuous").fit(data), data, features(data), inside_N)
    difference = (data.values("chosen", "freq") - data.values("rejected", "freq")).toarray()
    np.testing.assert_allclose(predicted, difference[inside_N].mean(axis=0))


def test_on_policy_weights_are_per_token_probabilities():
    """Two pairs, differences 1 and −1, weights exp(−1) and exp(−3): (e⁻¹ − e⁻³)/(e⁻¹ + e⁻³) = tanh 1."""
    pool = pool_of(np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))
    likely = np.array([[-1.5, -0.5], [-2.0, -4.0]])
    predicted = predict(MeanDifference("on-policy", likely_N2=likely).fit(pool), pool, features(pool), everywhere(pool))
    np.testing.assert_allclose(predicted, np.tanh(1))


@pytest.mark.parametrize("c", [1e-3, 0.1])
def test_bradley_terry_is_the_minimum(data, c):
    _, standard_NF = standardised_differences(data, None)

    def loss(w):
        margin = standard_NF @ w
        value = 0.5 * w @ w + c * np.logaddexp(0, -margin).sum()
        return value, w - c * standard_NF.T @ (1 / (1 + np.exp(margin)))

    found = minimize(
        loss, np.zeros(standard_NF.shape[1]), jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 0}
    )
    np.testing.assert_allclose(standard_NF.T @ bradley_terry(standard_NF, c), found.x, atol=1e-5)


@pytest.mark.parametrize("kind", ["ridge", "gradient", "adam", "sgd"])
def test_tilt_is_the_dense_covariance_times_the_direction(data, kind):
    """An explicit F × F covariance, which the code never forms."""
    fitted = Tilt(kind=kind).fit(data)
    phi_JF = data.responses("freq").toarray()
    dense = np.cov(phi_JF.T, bias=True) @ fitted.direction_F_
    np.testing.assert_allclose(predict(fitted, data, features(data), everywhere(data)), dense, atol=1e-12)


def test_the_three_scalings_of_the_mean_difference_by_hand(data):
    difference_NF = (data.values("chosen", "freq") - data.values("rejected", "freq")).toarray()
    mean_F, rms_F = difference_NF.mean(axis=0), np.sqrt((difference_NF**2).mean(axis=0))
    for kind, power in (("sgd", 0), ("adam", 1), ("gradient", 2)):
        np.testing.assert_allclose(Tilt(kind=kind).fit(data).direction_F_, 0.5 * mean_F / rms_F**power)


def test_tilt_of_a_cluster_is_the_mean_of_its_features(data):
    fitted = Tilt().fit(data)
    shift_F = predict(fitted, data, features(data), everywhere(data))
    clusters = predict(fitted, data, cluster_readout(data, LABELS, "freq"), everywhere(data))
    np.testing.assert_allclose(clusters, [shift_F[m == LABELS].mean() for m in (1, 2, 3)], rtol=1e-4)


def test_gradient_is_the_limit_of_a_large_penalty(data):
    """As c → 0, ``w → c · ½ Σ d̃``; the gradient takes the mean in place of c Σ."""
    c = 1e-9
    ridge, gradient = Tilt(c=c).fit(data), Tilt(kind="gradient").fit(data)
    np.testing.assert_allclose(ridge.direction_F_ / (c * len(data)), gradient.direction_F_, rtol=1e-4, atol=1e-9)


def test_within_prompts_is_the_mean_of_covariances_at_each_prompt(data):
    prompts = [f"p{row // 4}" for row in range(len(data))]
    pool = pool_of(data.values("chosen", "freq"), data.values("rejected", "freq"), prompts)
    fitted = Tilt(within=True).fit(pool)
    phi_JF, reward_J = pool.responses("freq").toarray(), fitted.rewards(pool)
    code_J = np.tile(pool.prompts.code_N, 2)
    groups = [np.flatnonzero(code_J == g) for g in range(code_J.max() + 1)]
    by_hand = sum((phi_JF[g] - phi_JF[g].mean(0)).T @ reward_J[g] for g in groups) / len(code_J)
    np.testing.assert_allclose(predict(fitted, pool, features(pool), everywhere(pool)), by_hand, atol=1e-12)


def test_tilt_predicts_the_exact_tilt_of_a_policy(policy, data):
    """``d E[φ]/dλ = Cov(φ, r)``: a weak tilt by the true reward moves every feature as the fitted one foresees."""
    predicted = predict(Tilt(c=1e-2).fit(data), data, features(data), everywhere(data))
    assert np.corrcoef(predicted, policy.tilted_shift(0.05))[0, 1] > 0.97


def test_the_covariance_of_the_models_own_responses_corrects_off_policy_data(policy):
    """Pairs are drawn where factor features are common, the model's responses elsewhere: the reward carries over, the
    difference of means does not.
    """
    observed = policy.tilted_shift(0.05)
    odd_S = np.exp(6 * (policy.phi_SF[:, :10].sum(axis=1) - policy.phi_SF[:, 10:20].sum(axis=1)))
    data, own = policy.pairs(3000, seed=4, weight_S=odd_S), policy.pairs(3000, seed=5)
    tilt = Tilt(c=1e-2).fit(data)
    over_own = predict(tilt, own, features(own), everywhere(own))
    plain = predict(MeanDifference("continuous").fit(data), data, features(data), everywhere(data))
    r_own, r_plain = (np.corrcoef(predicted, observed)[0, 1] for predicted in (over_own, plain))
    assert r_own > 0.95
    assert r_own > r_plain + 0.02


@pytest.mark.parametrize(
    ("kind", "optimizer", "rate"), [("adam", torch.optim.Adam, 1e-4), ("sgd", torch.optim.SGD, 1e-2)]
)
def test_dpo_by_an_optimizer_does_to_a_log_linear_policy_what_the_predictor_of_its_name_says(kind, optimizer, rate):
    """``π_w ∝ exp(w·φ)`` under the DPO loss and torch's optimizer, features of unequal scale; the shift is exact.

    The other scalings of the same mean difference must differ from it.
    """
    policy = Policy()
    scale_F = 10 ** np.random.default_rng(1).uniform(-1.5, 0, policy.phi_SF.shape[1])
    policy.phi_SF = policy.phi_SF * scale_F
    data, own = policy.pairs(2000, seed=2), policy.pairs(4000, seed=3)
    phi_SF = torch.from_numpy(policy.phi_SF)
    difference_NF = torch.from_numpy((data.values("chosen", "freq") - data.values("rejected", "freq")).toarray())
    w_F = torch.zeros(difference_NF.shape[1], dtype=torch.float64, requires_grad=True)
    steps = optimizer([w_F], lr=rate)
    for batch in difference_NF.split(8):
        steps.zero_grad()
        torch.nn.functional.softplus(-0.1 * batch @ w_F).mean().backward()
        steps.step()
    with torch.no_grad():
        observed = (phi_SF.T @ torch.softmax(phi_SF @ w_F, 0) - phi_SF.mean(0)).numpy() / scale_F
    r = {}
    for name in ("adam", "sgd", "gradient"):
        fitted = Tilt(kind=name).fit(data)
        r[name] = np.corrcoef(predict(fitted, own, features(own), everywhere(own)) / scale_F, observed)[0, 1]
    assert r[kind] > 0.99
    assert max(r, key=r.get) == kind
    assert min(r.values()) < 0.97


def test_temperature_is_the_derivative_of_a_tempered_policy():
    """A policy of 12 responses, each in the pool as often as it is likely; ``π^{1/T}`` differs by h in T."""
    generator = np.random.default_rng(0)
    count_S, phi_SF = generator.integers(1, 9, 12) * 2, generator.random((12, 5))
    response_J = np.repeat(np.arange(12), count_S)
    sides = phi_SF[response_J].reshape(2, -1, 5)
    share_S = count_S / count_S.sum()

    def mean(temperature):
        tempered_S = share_S ** (1 / temperature)
        return phi_SF.T @ (tempered_S / tempered_S.sum())

    pool, h = pool_of(*sides), 1e-4
    likely_NS = np.log(share_S[response_J]).reshape(2, -1).T / pool.tokens_NS
    predictor = Temperature(likely_NS).fit(pool)
    predicted = predict(predictor, pool, features(pool), everywhere(pool))
    np.testing.assert_allclose(predicted, (mean(1 + h) - mean(1 - h)) / (2 * h), rtol=1e-5)


def test_weights_sum_to_zero_and_stay_inside(data):
    inside_N = np.arange(len(data)) < 100
    for predictor in (Tilt(), MeanDifference("continuous"), LengthTilt()):
        weight_J = predictor.fit(data).weights(data, inside_N)
        assert abs(weight_J.sum()) < 1e-12
        assert not weight_J[~np.tile(inside_N, 2)].any()


def test_swapping_all_labels_changes_only_the_sign(data):
    swapped = -np.ones(len(data))
    for predictor in (
        Tilt(),
        Tilt(kind="gradient"),
        Tilt(kind="adam"),
        Tilt(kind="sgd"),
        MeanDifference("disparity", "present"),
        LengthTilt(),
    ):
        ours, theirs = (predict(predictor.fit(data, sign), data, features(data), everywhere(data))
                        for sign in (None, swapped))  # fmt: skip
        np.testing.assert_allclose(ours, -theirs, atol=1e-6 * np.abs(ours).max() + 1e-15)


def test_rare_features_have_no_part_in_the_reward(data):
    chosen = data.values("chosen", "freq").toarray()
    chosen[:, 0] = 0
    chosen[:5, 0] = 1.0  # on five rows, always chosen
    rejected = data.values("rejected", "freq").toarray()
    rejected[:, 0] = 0
    assert Tilt().fit(pool_of(chosen, rejected)).direction_F_[0] == 0


def test_length_tilt_knows_only_length():
    """Chosen are longer; a feature follows length, another does not."""
    generator = np.random.default_rng(0)
    tokens_NS = generator.integers(10, 100, size=(800, 2))
    tokens_NS = np.sort(tokens_NS, axis=1)[:, ::-1] + [1, 0]
    values = [np.stack([tokens / 200, generator.random(800)], axis=1) for tokens in tokens_NS.T]
    pool = pool_of(*values, tokens=tokens_NS)
    follows, free = predict(LengthTilt().fit(pool), pool, features(pool), everywhere(pool))
    assert follows > 0
    assert abs(free) < follows / 5


def test_base_rate_is_the_mean_over_responses(data):
    predicted = predict(BaseRate().fit(data), data, features(data), everywhere(data))
    np.testing.assert_allclose(predicted, data.responses("freq").toarray().mean(axis=0))


def test_covariance_weights_of_unequal_prompts_by_hand():
    """Prompt a: rewards 1, 2 | 3, 4; prompt b: 10 | 20. Means 2.5 and 15; over six responses."""
    pool = pool_of(np.zeros((3, 1)), np.zeros((3, 1)), ["a", "a", "b"])
    reward_J = np.array([1.0, 2.0, 10.0, 3.0, 4.0, 20.0])
    found = covariance_weights(reward_J, pool, np.ones(3, bool), within=True)
    np.testing.assert_allclose(found, np.array([-1.5, -0.5, -5.0, 0.5, 1.5, 5.0]) / 6)


def test_sparse_and_dense_readouts_agree(data):
    fitted = Tilt().fit(data)
    sparse = features(data)
    dense = Readout(sparse.ids, sp.csr_array(sparse.values_JM).toarray())
    np.testing.assert_allclose(*(predict(fitted, data, readout, everywhere(data)) for readout in (sparse, dense)))


def with_residuals(pool, chosen_ND, rejected_ND):
    return replace(pool, residual_by={"chosen": chosen_ND, "rejected": rejected_ND})


@pytest.fixture(scope="module")
def log_linear():
    """A policy ``π_θ(y) ∝ exp(θ·Tx̄(y))`` over 300 responses of T = 40 tokens, features that follow x̄, and pairs."""
    rng = np.random.default_rng(3)
    x_SD = rng.normal(size=(300, 8))
    x_SD = (x_SD - x_SD.mean(0)) / x_SD.std(0)
    phi_SF = np.maximum(x_SD @ rng.normal(size=(8, F)) + rng.normal(size=(300, F)), 0) / 10
    won, lost = rng.integers(0, 300, (2, 200))
    data = with_residuals(pool_of(phi_SF[won], phi_SF[lost]), x_SD[won], x_SD[lost])
    return x_SD, phi_SF, data, with_residuals(pool_of(phi_SF, phi_SF), x_SD, x_SD)


def test_activations_are_the_first_step_of_dpo_on_a_policy_linear_in_them(log_linear):
    x_SD, phi_SF, data, own = log_linear
    predicted = predict(Activations().fit(data), own, features(own), everywhere(own))
    step_D = 1e-6 * 40 * 0.5 * (data.residual_by["chosen"] - data.residual_by["rejected"]).mean(0)
    weight_S = np.exp(x_SD @ step_D * 40)
    moved = phi_SF.T @ (weight_S / weight_S.sum()) - phi_SF.mean(0)
    np.testing.assert_allclose(predicted, moved / 1e-6 / 40, rtol=2e-3, atol=1e-4)


def test_a_longer_response_of_average_tokens_pulls_nowhere(log_linear):
    _, _, data, own = log_linear
    average_ND = np.repeat(own.residuals().mean(0)[None], len(data), axis=0)
    longer = replace(with_residuals(data, average_ND, average_ND), tokens_NS=np.tile([64, 3], (len(data), 1)))
    predicted = predict(Activations().fit(longer), own, features(own), everywhere(own))
    np.testing.assert_allclose(predicted, 0, atol=1e-12)


def test_activations_turn_with_the_labels_and_are_a_sum_over_pairs(log_linear):
    _, _, data, own = log_linear
    data = replace(data, tokens_NS=np.random.default_rng(0).integers(5, 64, (len(data), 2)))
    fitted, readout = Activations().fit(data), features(own)
    predicted = predict(fitted, own, readout, everywhere(own))
    turned = predict(Activations().fit(data, -np.ones(len(data))), own, readout, everywhere(own))
    np.testing.assert_allclose(turned, -predicted, atol=1e-12)
    value_J = np.asarray(readout.values_JM.toarray()[:, 2], np.float64)
    parts_N = fitted.contributions(data, own, value_J)
    assert parts_N.sum() == pytest.approx(predicted[2])
    kept = np.arange(50, len(data))
    without = predict(Activations().fit(data.take(kept)), own, readout, everywhere(own))[2]
    assert parts_N[kept].sum() * len(data) / len(kept) == pytest.approx(without)


def sharpened(x_SD, data, own, seed=0):
    """A predictor with the policy's own log-probabilities, of a policy that is not uniform."""
    logit_S = np.random.default_rng(seed).normal(size=len(x_SD))
    return Sharpened(np.tile((logit_S - np.log(np.exp(logit_S).sum()))[:, None], (1, 2))), logit_S


def test_sharpened_is_the_step_and_half_a_deviation_of_certainty(log_linear):
    """Two small moves of a policy, along the reward of `activations` and along its own log-probabilities, by hand."""
    x_SD, phi_SF, data, own = log_linear
    made, logit_S = sharpened(x_SD, data, own)
    reward_S = x_SD @ (data.residual_by["chosen"] - data.residual_by["rejected"]).mean(0)
    weight_S = np.exp(1e-6 * (reward_S / reward_S.std() + 0.5 * logit_S / logit_S.std()))
    moved = (phi_SF.T @ (weight_S / weight_S.sum()) - phi_SF.mean(0)) / 1e-6
    predicted = predict(made.fit(data), own, features(own), everywhere(own))
    np.testing.assert_allclose(predicted, moved, rtol=2e-3, atol=1e-4)


def test_of_sharpened_the_labels_turn_the_step_alone(log_linear):
    x_SD, phi_SF, data, own = log_linear
    made, logit_S = sharpened(x_SD, data, own)
    plus, minus = (predict(made.fit(data, sign * np.ones(len(data))), own, features(own), everywhere(own))
                   for sign in (1.0, -1.0))  # fmt: skip
    even = phi_SF.T @ (logit_S - logit_S.mean()) / logit_S.std() / len(logit_S) / 2
    np.testing.assert_allclose((plus + minus) / 2, even, atol=1e-12)
    alone = predict(Activations().fit(data), own, features(own), everywhere(own))
    assert np.corrcoef((plus - minus) / 2, alone)[0, 1] == pytest.approx(1)


def test_equally_likely_responses_leave_sharpened_the_step(log_linear):
    _, _, data, own = log_linear
    made = Sharpened(np.full((len(own), 2), -2.5)).fit(data)
    alone = predict(Activations().fit(data), own, features(own), everywhere(own))
    found = predict(made, own, features(own), everywhere(own))
    np.testing.assert_allclose(found / np.linalg.norm(found), alone / np.linalg.norm(alone), atol=1e-12)


def test_activations_of_random_labels_predict_nothing_on_average(log_linear):
    _, phi_SF, data, own = log_linear
    rng, target = np.random.default_rng(1), phi_SF.T @ log_linear[0][:, 0]
    found = []
    for _ in range(200):
        fitted = Activations().fit(data, rng.choice([-1.0, 1.0], len(data)))
        found.append(np.corrcoef(predict(fitted, own, features(own), everywhere(own)), target)[0, 1])
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)
