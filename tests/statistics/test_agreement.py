"""Agreement figures against scipy, scikit-learn and hand-made cases."""

import numpy as np
import pytest
from scipy import stats

from anatomy.prediction.calibration import fit_line
from anatomy.statistics.agreement import (
    TopSigns,
    agreement,
    deciles,
    out_of_sample_r2,
    pearson,
    r_interval,
    sign_agreement,
)

NAMES = [f"R{m}" for m in range(200)]


@pytest.fixture(scope="module")
def shifts():
    generator = np.random.default_rng(0)
    predicted = generator.standard_normal(200)
    observed = 0.3 * predicted + 0.2 * generator.standard_normal(200)
    return predicted, observed


def test_against_scipy(shifts):
    predicted, observed = shifts
    record = agreement(predicted, observed, observed - 0.1, observed + 0.1, NAMES)
    fit = stats.linregress(predicted, observed)
    assert record.r == pytest.approx(fit.rvalue)
    assert record.slope == pytest.approx(fit.slope)
    assert record.spearman == pytest.approx(stats.spearmanr(predicted, observed).statistic)
    assert record.r2_fit == pytest.approx(fit.rvalue**2)
    assert record.r2_out == pytest.approx(fit.rvalue**2, abs=0.05)


def test_a_wrong_sign_shows(shifts):
    """The affine R² of a reversed prediction is as good as that of the right one; r, slope and signs are not."""
    predicted, observed = shifts
    record = agreement(-predicted, observed, observed - 0.1, observed + 0.1, NAMES)
    assert record.r2_fit > 0.5
    assert record.r < -0.7
    assert record.slope < 0
    assert record.top[0].same_sign < 0.3
    assert record.top[0].refuted > record.top[0].confirmed


def test_out_of_sample_r2_of_noise_is_not_positive():
    generator = np.random.default_rng(1)
    found = [out_of_sample_r2(*generator.standard_normal((2, 60)), NAMES[:60], seed) for seed in range(40)]
    assert np.mean(found) < 0.0


def test_out_of_sample_r2_keeps_a_response_in_one_fold():
    """Each response's contexts share an offset that the prediction knows by name only: memory would be rewarded."""
    generator = np.random.default_rng(2)
    offset = np.repeat(generator.standard_normal(20), 10)
    found = out_of_sample_r2(generator.standard_normal(200), offset, np.repeat(NAMES[:20], 10).tolist(), 0)
    assert found < 0.05


def test_sign_agreement_by_hand():
    predicted = np.array([5.0, -4, 3, -2, 1])
    observed = np.array([1.0, -1, -1, -1, 1])
    width = np.array([0.5, 2, 0.5, 0.5, 2])
    record = sign_agreement(predicted, observed, observed - width, observed + width)
    assert record == (TopSigns(k=5, same_sign=0.8, confirmed=2, refuted=1),)


def test_deciles_follow_the_prediction(shifts):
    record = deciles(*shifts)
    assert len(record) == 10
    assert [row.predicted for row in record] == sorted(row.predicted for row in record)
    assert np.mean([row.observed for row in record]) == pytest.approx(shifts[1].mean())


def test_too_little_to_say_is_said():
    record = agreement(np.zeros(9), np.arange(9.0), np.zeros(9), np.zeros(9), NAMES[:9])
    assert record is None
    assert np.isnan(pearson(np.zeros(9), np.arange(9.0)))


def test_the_interval_of_r_covers():
    """Shifts of 60 readouts estimated from 100 prompts: the interval holds the r that endless prompts would give."""
    generator = np.random.default_rng(3)
    truth = generator.standard_normal(60) * 0.2
    predicted = truth + 0.1 * generator.standard_normal(60)
    covered = []
    for _ in range(60):
        rows = truth + generator.standard_normal((100, 60))
        total, group = rows.sum(axis=0), np.arange(100) % 20
        groups_WX = np.stack([(total - rows[group == w].sum(axis=0)) / 95 for w in range(20)])
        r = pearson(predicted, rows.mean(axis=0))
        low, high = r_interval(predicted, groups_WX, r)
        expected = pearson(predicted, truth) * np.sqrt(truth.var() / (truth.var() + 1 / 100))
        covered.append(low <= expected <= high)
    assert np.mean(covered) > 0.85


def test_the_calibration_line_is_in_standard_deviations():
    """observed = 2 · predicted in every unit: slope 2 and no residual, whatever the spreads."""
    generator = np.random.default_rng(4)
    predicted, spread = generator.standard_normal(20), generator.random(20) + 0.1
    line = fit_line(predicted, 2 * predicted, spread)
    assert line.slope == pytest.approx(2)
    assert line.residual_sd == pytest.approx(0, abs=1e-12)
    noisy = fit_line(predicted, 2 * predicted + 0.5 * spread * generator.standard_normal(20), spread)
    assert noisy.residual_sd == pytest.approx(0.5, abs=0.25)
    assert fit_line(predicted[:5], predicted[:5], spread[:5]) is None
