"""How much of the label is explained: planted in length, in one feature, in nothing; families do not borrow."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.hypotheses.explained import explained
from anatomy.hypotheses.views import Responses
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts

N, F = 600, 40


class PlantedShard:
    """Features of both sides as matrices."""

    def __init__(self, chosen: np.ndarray, rejected: np.ndarray) -> None:
        self.of = {"chosen": sp.csr_array(chosen), "rejected": sp.csr_array(rejected)}

    def matrix(self, span: str, statistic: str) -> sp.csr_array:
        assert statistic == "freq"
        return self.of[span]


def planted(seed: int, follows: str):
    """Features that fire by chance on either side; the label follows feature 3, length, or a coin."""
    generator = np.random.default_rng(seed)
    fires_2NF = generator.random((2, N, F)) < 0.3
    length_N = generator.normal(size=N)
    prompt_N = np.arange(N) // 2
    difference_N = fires_2NF[0, :, 3] * 1.0 - fires_2NF[1, :, 3]
    follows_N = {"feature": difference_N, "length": length_N, "coin": np.zeros(N)}[follows]
    first_N = np.where(generator.random(N) < 1 / (1 + np.exp(-3 * follows_N)), 1, -1)
    chosen, rejected = (np.where(first_N[:, None] == sign, *fires_2NF) * 0.5 for sign in (1, -1))
    texts = np.arange(2 * N).reshape(-1, 2)
    frame = RowFrame(Prompts.from_ids(prompt_N.astype(str)), length_N * first_N, texts)
    u_NM = ((chosen > 0.01) * 1.0 - (rejected > 0.01))[:, :6].reshape(N, 2, 3).mean(axis=2)  # feature 3 is in R2
    concept_N1 = generator.normal(size=(N, 1))
    tested = Responses(np.hstack([u_NM, concept_N1]), ["R1", "R2", "bold"])
    signals = SimpleNamespace(frame=frame, disparity=tested, concept_ids=["bold"])
    shards = [PlantedShard(chosen[:250], rejected[:250]), PlantedShard(chosen[250:], rejected[250:])]
    return explained(signals, lambda: iter(shards), 0.01, 0)


def test_a_feature_that_decides_is_found_by_the_families_that_hold_it():
    found = planted(0, "feature")
    assert list(found) == ["length", "concepts", "clusters", "features", "all"]
    for name in ("clusters", "features", "all"):
        assert found[name].low > 0.5, name
        assert found[name].p < 0.02
    for name in ("length", "concepts"):
        assert found[name].low < 0.5 < found[name].high, name
    assert found["features"].value > found["clusters"].value  # the cluster has two features of chance beside it


def test_length_that_decides_is_length():
    found = planted(1, "length")
    assert found["length"].low > 0.7
    assert found["clusters"].low < 0.5 < found["clusters"].high


@pytest.mark.parametrize("seed", range(3))
def test_random_labels_are_explained_by_nothing(seed):
    assert all(one.low <= 0.5 for one in planted(10 + seed, "coin").values())
