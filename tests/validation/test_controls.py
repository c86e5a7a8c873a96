"""Controls know nothing, so they agree with nothing, on data in which the real predictor agrees well."""

import numpy as np
import pytest
from support.planted_pool import Policy, pool_of

from anatomy.prediction.predictors import BaseRate, LengthTilt, Tilt, predict
from anatomy.prediction.readouts import feature_readout
from anatomy.statistics.agreement import pearson
from anatomy.validation.controls import clusters_permuted, labels_flipped


@pytest.fixture(scope="module")
def planted():
    """Data, a readout of its features, and the exact shift of the tilted policy."""
    policy = Policy(size=800, features=200, seed=7)
    pool = policy.pairs(1000, seed=8)
    tokens_NS = np.random.default_rng(9).integers(20, 80, size=(1000, 2))
    pool = pool_of(pool.values("chosen", "freq"), pool.values("rejected", "freq"), tokens=tokens_NS)
    return pool, feature_readout(pool, np.ones(200, bool), "freq"), policy.tilted_shift(0.1)


def shift(predictor, pool, readout):
    return predict(predictor, pool, readout, np.ones(len(pool), bool))


def test_the_predictor_itself_agrees(planted):
    pool, readout, observed = planted
    assert pearson(shift(Tilt(c=1e-2).fit(pool), pool, readout), observed) > 0.8


def test_flipped_labels_agree_with_nothing_on_average(planted):
    pool, readout, observed = planted
    found = labels_flipped(Tilt(c=1e-2), pool, lambda fitted: shift(fitted, pool, readout), observed, 20, seed=0)
    assert abs(found.r) < 3 * found.sd / np.sqrt(20)
    assert found.high < 0.8
    assert found.repetitions == 20


def test_permuted_clusters_agree_with_nothing_on_average(planted):
    pool, readout, observed = planted
    labels_F = np.arange(200) % 21  # 0: in none
    shift_F = shift(Tilt(c=1e-2).fit(pool), pool, readout)
    observed_M = np.array([observed[labels_F == m].mean() for m in range(1, 21)])
    found = clusters_permuted(labels_F, shift_F, observed_M, range(1, 21), 200, seed=0)
    assert abs(found.r) < 0.08
    real = pearson(np.array([shift_F[labels_F == m].mean() for m in range(1, 21)]), observed_M)
    assert real > found.high


@pytest.mark.parametrize("control", [LengthTilt(), BaseRate()], ids=["length", "base-rate"])
def test_length_and_base_rates_know_nothing_of_these_labels(control):
    """Lengths are drawn apart from everything; base rates have no sign. Over policies, since features share factors."""
    found = []
    for seed in range(20):
        policy = Policy(size=300, features=60, seed=seed)
        pool = policy.pairs(300, seed=seed)
        tokens_NS = np.random.default_rng(seed).integers(20, 80, size=(300, 2))
        pool = pool_of(pool.values("chosen", "freq"), pool.values("rejected", "freq"), tokens=tokens_NS)
        readout = feature_readout(pool, np.ones(60, bool), "freq")
        found.append(pearson(shift(control.fit(pool), pool, readout), policy.tilted_shift(0.1)))
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(20)
