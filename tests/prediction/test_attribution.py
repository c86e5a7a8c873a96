"""Contributions of rows sum to the prediction, and leaving the strongest out takes it away."""

import numpy as np
import pytest
from support.planted_pool import Policy

from anatomy.errors import SettingsError
from anatomy.prediction.attribution import contributions, leave_out
from anatomy.prediction.predictors import BaseRate, MeanDifference, Tilt, predict
from anatomy.prediction.readouts import cluster_readout

LABELS = np.arange(30) % 4
PREDICTORS = [
    Tilt(),
    Tilt(within=True),
    Tilt(c=1.0),
    Tilt(kind="gradient"),
    MeanDifference("continuous"),
    MeanDifference("disparity", "present"),
]


@pytest.fixture(scope="module")
def data():
    return Policy().pairs(600, seed=2)


def one(data, statistic):
    readout = cluster_readout(data, LABELS, statistic)
    return readout._replace(ids=readout.ids[:1], values_JM=readout.values_JM[:, :1])


@pytest.mark.parametrize("predictor", PREDICTORS, ids=lambda p: f"{p.name}-{getattr(p, 'kind', '')}")
def test_contributions_sum_to_the_prediction(data, predictor):
    readout, fitted = one(data, predictor.statistic), predictor.fit(data)
    predicted = predict(fitted, data, readout, np.ones(len(data), bool))[0]
    np.testing.assert_allclose(contributions(fitted, data, data, readout).sum(), predicted, rtol=1e-9)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_over_other_responses_contributions_sum_to_what_is_predicted_there(data, kind):
    """The sum, and without the strongest rows the prediction from the others' labels over the same responses."""
    own = Policy().pairs(300, seed=5)
    readout, fitted = one(own, "freq"), Tilt(kind=kind, within=kind == "adam").fit(data)
    everywhere = np.ones(300, bool)
    contribution_N = contributions(fitted, data, own, readout)
    assert len(contribution_N) == 600
    np.testing.assert_allclose(contribution_N.sum(), predict(fitted, own, readout, everywhere)[0], rtol=1e-9)
    top = leave_out(fitted, data, own, readout, contribution_N, seed=0)[4]
    kept = np.setdiff1d(np.arange(600), top.rows)
    refitted = Tilt(kind=kind, within=kind == "adam").fit(data.take(kept))
    assert top.predicted == pytest.approx(predict(refitted, own, readout, everywhere)[0])
    assert top.predicted / contribution_N.sum() < 0.7


def test_a_row_contributes_what_its_label_pulls(data):
    """Without the row's dual weight the prediction loses exactly its contribution."""
    readout, fitted = one(data, "freq"), Tilt().fit(data)
    contribution_N = contributions(fitted, data, data, readout)
    from dataclasses import replace

    from anatomy.prediction.rewards import inverse, standardised_differences

    scale_F, standard_NF = standardised_differences(data, None)
    dual_N = fitted.dual_N_.copy()
    dual_N[7] = 0
    without = replace(fitted, direction_F_=(standard_NF.T @ dual_N) * inverse(scale_F))
    everywhere = np.ones(len(data), bool)
    lost = predict(fitted, data, readout, everywhere) - predict(without, data, readout, everywhere)
    np.testing.assert_allclose(lost[0], contribution_N[7], rtol=1e-9)


@pytest.mark.parametrize("predictor", [Tilt(), MeanDifference("continuous")], ids=["tilt", "continuous"])
def test_without_the_strongest_rows_less_is_predicted_than_without_random_ones(data, predictor):
    readout, fitted = one(data, predictor.statistic), predictor.fit(data)
    contribution_N = contributions(fitted, data, data, readout)
    total = contribution_N.sum()
    found = leave_out(fitted, data, data, readout, contribution_N, seed=0)
    assert [(item.share, item.kind, len(item.rows)) for item in found] == [
        (share, kind, count) for share, count in ((0.01, 6), (0.05, 30), (0.1, 60)) for kind in ("top", "random")
    ]
    for top, random in zip(found[::2], found[1::2], strict=True):
        assert top.predicted / total < random.predicted / total
        assert not set(top.rows) & set(range(600)) - set(np.argsort(-contribution_N * np.sign(total))[: len(top.rows)])
    assert found[4].predicted / total < 0.7


def test_controls_cannot_be_traced(data):
    with pytest.raises(SettingsError, match="control"):
        contributions(BaseRate(), data, data, one(data, "freq"))
