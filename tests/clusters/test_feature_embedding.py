"""Moments, filters, embedding and clusters of features (method.md §6) against dense arithmetic."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.clusters.feature_clusters import (
    default_feature_clusters,
    default_min_fires,
    embed_features,
    feature_clusters,
    keep_prompt_features,
    keep_shift_features,
    prompt_moments,
    shift_moments,
)


@dataclass
class Block:
    """Dense values of some rows, by span; every statistic is the same."""

    spans: dict[str, np.ndarray]

    def matrix(self, span: str, statistic: str) -> sp.csr_array:
        return sp.csr_array(self.spans[span].astype(np.float32))


def pooled(n: int, f: int, seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        span: generator.random((n, f)) * (generator.random((n, f)) < 0.3) for span in ("prompt", "chosen", "rejected")
    }


def in_blocks(spans: dict[str, np.ndarray], size: int) -> list[Block]:
    n = len(spans["prompt"])
    return [Block({span: x[i : i + size] for span, x in spans.items()}) for i in range(0, n, size)]


def test_streamed_moments_equal_dense_ones() -> None:
    spans = pooled(103, 9, 0)
    spans["rejected"][5, 2] = spans["chosen"][5, 2] = 0.5  # equal and firing: D is 0, the row still counts
    shift = shift_moments(in_blocks(spans, 10), "freq")
    delta = spans["chosen"] - spans["rejected"]
    np.testing.assert_allclose(shift.mean_F, delta.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(shift.std_F, delta.std(axis=0), atol=1e-7)
    np.testing.assert_allclose(shift.mean_abs_F, np.abs(delta).mean(axis=0), atol=1e-7)
    np.testing.assert_array_equal(shift.fires_F, ((spans["chosen"] > 0) | (spans["rejected"] > 0)).sum(axis=0))
    prompt = prompt_moments(in_blocks(spans, 10), "freq")
    np.testing.assert_array_equal(prompt.fires_F, (spans["prompt"] > 0).sum(axis=0))
    np.testing.assert_allclose(prompt.std_F, spans["prompt"].std(axis=0), atol=1e-7)


def test_filters_use_the_mean_of_absolute_values_and_the_activity_condition() -> None:
    n = 1000
    spans = {span: np.zeros((n, 4)) for span in ("prompt", "chosen", "rejected")}
    alternate = np.arange(n) % 2 == 0
    spans["chosen"][alternate, 0] = spans["rejected"][~alternate, 0] = 0.4  # mean D is 0, mean |D| is not: kept
    spans["chosen"][:5, 1] = 0.9  # fires on five rows only
    spans["chosen"][:, 2] = spans["rejected"][:, 2] = 0.3  # D is always 0
    spans["chosen"][:, 3] = 0.2  # constant D: no variance
    moments = shift_moments(in_blocks(spans, 100), "freq")
    np.testing.assert_array_equal(keep_shift_features(moments, 20), [True, False, False, False])
    spans["prompt"][:30, 1] = 1
    np.testing.assert_array_equal(
        keep_prompt_features(prompt_moments(in_blocks(spans, 100), "freq"), 20), [False, True, False, False]
    )


def test_embedding_equals_a_dense_svd_of_the_standardised_sample() -> None:
    """Low rank plus a little noise, so that the leading components are well defined."""
    generator = np.random.default_rng(1)
    values = generator.random((400, 4)) @ generator.random((4, 30)) * (1 + np.arange(30))
    values += 0.01 * generator.standard_normal(values.shape)
    spans = dict.fromkeys(("prompt", "chosen", "rejected"), values)
    moments = prompt_moments(in_blocks(spans, 64), "max")
    kept = np.arange(30) % 5 != 0
    sample = sp.csr_array(values[::2])
    ours = embed_features(sample, moments, kept, 3, seed=0)
    standard = (values[::2] - values.mean(axis=0)) / values.std(axis=0)
    _, sigma, axes = np.linalg.svd(standard[:, kept], full_matrices=False)
    dense = (sigma[:3, None] * axes[:3]).T
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(ours @ ours.T, dense @ dense.T, atol=1e-4)  # equal up to signs of components


def test_planted_feature_groups_are_found() -> None:
    generator = np.random.default_rng(2)
    topics = generator.standard_normal((2000, 3))
    group = np.repeat([0, 1, 2], [10, 20, 15])
    delta = topics[:, group] + 0.5 * generator.standard_normal((2000, 45))
    spans = {"prompt": delta * 0, "chosen": np.maximum(delta, 0), "rejected": np.maximum(-delta, 0)}
    moments = shift_moments(in_blocks(spans, 500), "max")
    kept = keep_shift_features(moments, 20)
    kept[0] = False
    labels = feature_clusters(sp.csr_array(delta), moments, kept, 3, 8, seed=0)
    assert labels[0] == 0
    assert [set(labels[1:][group[1:] == g]) for g in (1, 2, 0)] == [{1}, {2}, {3}]


def test_few_or_no_features() -> None:
    spans = pooled(50, 3, 3)
    moments = prompt_moments(in_blocks(spans, 50), "max")
    sample = sp.csr_array(spans["prompt"])
    assert sorted(feature_clusters(sample, moments, np.ones(3, bool), 10, 128, 0)) == [1, 2, 3]
    assert not feature_clusters(sample, moments, np.zeros(3, bool), 10, 128, 0).any()


@pytest.mark.parametrize(("rows", "least"), [(300, 20), (26_000, 20), (260_000, 200), (520_000, 400)])
def test_scaled_thresholds(rows: int, least: int) -> None:
    assert default_min_fires(rows) == least


def test_default_feature_clusters() -> None:
    assert [default_feature_clusters(n, 260_000) for n in (5, 400, 60_000)] == [2, 20, 512]
    assert default_feature_clusters(60_000, 400) == 40
