"""Pooling against a dense brute force written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tiny import TinySAE

from anatomy.features import pooling as pool
from anatomy.features.pooling import pool_spans


def brute_force(a_NF: np.ndarray, span_N: np.ndarray) -> list[tuple[int, int, float, int, int]]:
    entries = []
    for span in sorted(set(span_N.tolist())):
        inside_TF = a_NF[span_N == span]
        for feature in range(a_NF.shape[1]):
            column = inside_TF[:, feature]
            if (column > 0).any():
                entries.append((span, feature, column.max(), int(column.argmax()), int((column > 0).sum())))
    return entries


def positions(span_N: np.ndarray) -> np.ndarray:
    return np.array([int((span_N[:token] == span_N[token]).sum()) for token in range(len(span_N))])


@pytest.mark.parametrize("cells", [1 << 24, 96 * 7, 1], ids=["one chunk", "7 tokens a chunk", "1 token a chunk"])
def test_pooling_equals_brute_force(cells, monkeypatch):
    monkeypatch.setattr(pool, "DENSE_CELLS", cells)
    generator = np.random.default_rng(0)
    x_ND = torch.from_numpy(generator.normal(size=(60, 32)).astype(np.float32))
    span_N = np.repeat([4, 0, 9, 5], [1, 20, 9, 30])  # spans straddle chunks, and one has a single token
    sae = TinySAE()
    found, health = pool_spans(x_ND, torch.from_numpy(span_N), torch.from_numpy(positions(span_N)), sae)
    a_NF = sae.encode(x_ND).numpy()
    expected = brute_force(a_NF, span_N)
    assert len(expected) > 200
    spans, features, maxima, at, counts = map(np.array, zip(*expected, strict=True))
    np.testing.assert_array_equal(found.span, spans)
    np.testing.assert_array_equal(found.feature, features)
    np.testing.assert_allclose(found.max, maxima, rtol=1e-5)
    np.testing.assert_array_equal(found.at, at)
    np.testing.assert_array_equal(found.count, counts)
    assert found.spans.tolist() == [0, 4, 5, 9]
    for span, mean_D in zip(found.spans, found.mean_SD, strict=True):
        np.testing.assert_allclose(mean_D, x_ND[span_N == span].mean(0), atol=1e-6)
    assert health.tokens == 60
    np.testing.assert_array_equal(health.fires, (a_NF > 0).sum(0))


def test_the_first_of_equal_maxima_is_told():
    class Given(TinySAE):
        def encode(self, x_BD):
            return x_BD

    x_ND = torch.tensor([[0.0, 1.0], [2.0, 0.0], [2.0, 3.0], [1.0, 3.0]])
    found, _ = pool_spans(x_ND, torch.zeros(4, dtype=torch.long), torch.arange(4), Given(2, 2))
    assert found.max.tolist() == [2, 3]
    assert found.at.tolist() == [1, 2]
    assert found.count.tolist() == [3, 3]


def test_nothing_fires():
    found, health = pool_spans(
        torch.ones(3, 32), torch.zeros(3, dtype=torch.long), torch.arange(3), TinySAE(threshold=1e9)
    )
    assert found.feature.size == 0
    assert health.l0_sum == 0


def test_a_token_of_enormous_norm_fires_nothing_and_spoils_no_sum():
    x_ND = torch.randn(60, 32, generator=torch.Generator().manual_seed(2))
    x_ND[7] *= 1000
    span_N, at_N = torch.zeros(60, dtype=torch.long), torch.arange(60)
    found, health = pool_spans(x_ND, span_N, at_N, TinySAE())
    others = torch.arange(60) != 7
    expected, sums = pool_spans(x_ND[others], span_N[others], at_N[others], TinySAE())
    np.testing.assert_array_equal(found.feature, expected.feature)
    np.testing.assert_array_equal(found.max, expected.max)
    np.testing.assert_array_equal(found.mean_SD, expected.mean_SD)
    assert 7 not in found.at
    assert (health.tokens, health.outliers) == (59, 1)
    assert health.error_sum == sums.error_sum
