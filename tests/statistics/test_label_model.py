"""What the rest of a set says of a label: against scikit-learn's ridge, planted preferences, flips and nulls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import Ridge

from anatomy.statistics.frame import RowFrame
from anatomy.statistics.label_model import PENALTIES, label_model
from anatomy.statistics.prompts import Prompts


def frame_of(prompt_N: np.ndarray) -> RowFrame:
    n_rows = len(prompt_N)
    return RowFrame(Prompts.from_ids(prompt_N.astype(str)), np.zeros(n_rows), np.arange(2 * n_rows).reshape(-1, 2))


def planted(seed: int, n_rows: int = 1500, signals: int = 40, strength: float = 1.2):
    """Signals by content, and labels that follow three of them; two rows a prompt, whose signals are alike."""
    generator = np.random.default_rng(seed)
    prompt_N = np.arange(n_rows) // 2
    v_NM = 0.7 * generator.normal(size=(n_rows // 2, signals))[prompt_N] + 0.7 * generator.normal(
        size=(n_rows, signals)
    )
    odds_N = strength * v_NM[:, :3].sum(axis=1)
    label_N = np.where(generator.random(n_rows) < 1 / (1 + np.exp(-odds_N)), 1, -1)
    return v_NM * label_N[:, None], prompt_N, generator


def test_weights_are_those_of_ridge_on_the_other_prompts():
    u_NM, prompt_N, _ = planted(0, 400, 5)
    model = label_model(u_NM, frame_of(prompt_N))
    size_M = np.sqrt((u_NM**2).mean(axis=0))
    for fold in (0, 7):
        other = model.fold_N != fold
        assert not set(prompt_N[other]) & set(prompt_N[~other])
        fits = [
            Ridge(alpha=penalty * other.sum(), fit_intercept=False)
            .fit(u_NM[other] / size_M, np.ones(other.sum()))
            .coef_
            for penalty in PENALTIES
        ]
        ours = model.weight_KM[fold] * size_M
        assert min(np.abs(fit - ours).max() for fit in fits) < 1e-9
        np.testing.assert_allclose(model.score_N[~other], u_NM[~other] @ model.weight_KM[fold])
    rows = np.array([3, 50])
    np.testing.assert_allclose(model.parts(u_NM, rows).sum(axis=1), model.score_N[rows])


def test_a_planted_preference_is_predicted_and_scale_does_not_matter():
    u_NM, prompt_N, _ = planted(1)
    frame = frame_of(prompt_N)
    model = label_model(u_NM, frame)
    assert model.agreement.low > 0.7
    assert model.agreement.p == 1 / 101
    again = label_model(u_NM * np.logspace(-3, 3, u_NM.shape[1]), frame)
    np.testing.assert_allclose(again.score_N, model.score_N, atol=1e-8)


def test_probabilities_are_calibrated():
    """Among pairs that are given 70 % either way, the label is the likelier side in 70 %."""
    u_NM, prompt_N, _ = planted(2, 4000)
    p_N = label_model(u_NM, frame_of(prompt_N)).probability_N
    sure_N = np.maximum(p_N, 1 - p_N)
    for low, high in ((0.5, 0.65), (0.65, 0.8), (0.8, 0.95)):
        inside = (sure_N >= low) & (sure_N < high)
        assert abs((p_N[inside] > 0.5).mean() - sure_N[inside].mean()) < 0.05


def test_random_labels_are_not_predicted():
    """Labels by coin, of a row or a whole prompt: the intervals cover one half, and p is below 0.1 in a tenth."""
    draws, missed, small = 150, 0, 0
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        prompt_N = np.arange(200) // 2
        v_NM = generator.normal(size=(100, 8))[prompt_N] + generator.normal(size=(200, 8))
        label_N = 2 * generator.integers(0, 2, 200) - 1
        found = label_model(v_NM * label_N[prompt_N if seed % 2 else slice(None), None], frame_of(prompt_N)).agreement
        missed, small = missed + (not found.low <= 0.5 <= found.high), small + (found.p <= 0.1)
    assert missed <= binom.ppf(0.999, draws, 0.05)
    assert binom.ppf(0.001, draws, 0.1) <= small <= binom.ppf(0.999, draws, 0.1)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_flipped_labels_stand_first(share):
    """Rows by how much the rest speaks against them: of as many as were flipped, several times more than by chance."""
    precision, chance = [], []
    for seed in range(3):
        u_NM, prompt_N, generator = planted(seed, 2000, 40, strength=4)
        flipped = generator.choice(2000, int(share * 2000), replace=False)
        u_NM[flipped] *= -1
        model = label_model(u_NM, frame_of(prompt_N))
        first = np.argsort(model.score_N)[: len(flipped)]
        precision.append(np.isin(first, flipped).mean())
        chance.append(share)
    assert np.mean(precision) > {0.01: 0.3, 0.05: 0.55, 0.1: 0.65}[share]


def test_what_cannot_be_learnt_says_nothing():
    """Signals that are 0, and a set of one prompt."""
    zeros = label_model(np.zeros((20, 3)), frame_of(np.arange(20)))
    assert (zeros.score_N == 0).all()
    np.testing.assert_allclose(zeros.probability_N, 0.5)
    assert zeros.agreement[:3] == (0.5, 0.5, 0.5)
    every = label_model(np.ones((20, 1)), frame_of(np.arange(20))).agreement
    assert every[:3] == (1.0, pytest.approx(0.025 ** (1 / 20)), 1.0)
    with pytest.raises(ValueError, match="no other prompt"):
        label_model(np.ones((4, 2)), frame_of(np.zeros(4)))
