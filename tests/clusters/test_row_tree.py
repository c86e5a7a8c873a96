"""The tree over data clusters: enough prompts in each, and coarser levels that hold whole clusters."""

import numpy as np

from anatomy.clusters.clusterings import cluster_rows
from anatomy.clusters.row_clusters import spherical_kmeans, unit
from anatomy.clusters.row_tree import coarser, enlarged
from anatomy.settings import ClusterSettings
from anatomy.statistics.prompts import Prompts


def topics(seed: int, n: int = 1200, groups: int = 4, fine: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ``groups`` directions, each with ``fine`` variants near it; the direction of each row."""
    generator = np.random.default_rng(seed)
    centre = np.eye(groups, 24)[:, None] * 3 + generator.random((groups, fine, 24)) * 0.8
    group, variant = generator.integers(0, groups, n), generator.integers(0, fine, n)
    return np.abs(centre[group, variant] + 0.1 * generator.standard_normal((n, 24))), group


def fit(s: np.ndarray, label: np.ndarray) -> float:
    """Mean cosine of rows to the mean direction of their cluster."""
    rows = unit(s)
    return sum(np.linalg.norm(rows[label == k].sum(axis=0)) for k in np.unique(label)) / len(s)


def test_every_level_is_a_union_of_clusters_of_the_one_before_and_numbers_go_on() -> None:
    s, group = topics(0)
    label = spherical_kmeans(s, 20, seed=0)
    levels = coarser(s, label, [9, 4, 1])  # one cluster is no level
    assert levels.shape == (2, 1200)
    for below, above in zip((label, levels[0]), levels, strict=True):
        assert all(len(np.unique(above[below == k])) == 1 for k in np.unique(below))
    assert [sorted(set(level)) for level in levels] == [list(range(21, 30)), list(range(30, 34))]
    assert (np.diff([(levels[1] == k).sum() for k in range(30, 34)]) <= 0).all()
    for k in range(30, 34):  # four directions are what four clusters hold
        assert len(set(group[levels[1] == k])) == 1


def test_a_merge_is_the_one_that_costs_least() -> None:
    s, _ = topics(1)
    label = spherical_kmeans(s, 7, seed=1)
    merged = coarser(s, label, [6])[0]
    every = [fit(s, np.where(label == a, b, label)) for a in range(1, 8) for b in range(1, a)]
    np.testing.assert_allclose(fit(s, merged), max(every))


def test_small_clusters_are_merged_until_each_has_enough_prompts() -> None:
    s, _ = topics(2)
    label = spherical_kmeans(s, 30, seed=2)
    label[:50] = 0  # silent
    prompts = Prompts.from_ids([str(row // 3) for row in range(1200)])
    weight = 1 / prompts.size_G[prompts.code_N]
    large = enlarged(s, label, weight, 30)
    assert (large[:50] == 0).all()
    assert np.bincount(large, weight)[1:].min() >= 30
    assert large.max() < 30
    assert set(enlarged(s, label, weight, 10**6)) == {0, 1, 2}  # two stay: a context needs an outside


def test_data_clusters_have_the_prompts_that_the_power_target_wants() -> None:
    s, _ = topics(3, n=2400)
    prompts = Prompts.from_ids([str(row // 2) for row in range(2400)])
    found = cluster_rows(s, prompts, ClusterSettings(), seed=0)
    inside = [len(np.unique(prompts.code_N[found.label_N == k])) for k in range(1, found.label_N.max() + 1)]
    assert min(inside) >= found.context_prompts
    assert len(found.coarser_LN)
    assert (found.coarser_LN[:, found.label_N == 0] == 0).all()


def test_a_wanted_number_of_clusters_is_kept() -> None:
    s, _ = topics(4)
    prompts = Prompts.from_ids([str(row) for row in range(1200)])
    found = cluster_rows(s, prompts, ClusterSettings(data_clusters=40), seed=0)
    assert found.label_N.max() == 40
    assert [len(set(level) - {0}) for level in found.coarser_LN] == [10, 2]


def test_more_starts_never_fit_worse_than_the_first() -> None:
    s, _ = topics(5)
    labels = [spherical_kmeans(s, 20, seed) for seed in range(6)]
    fits = [fit(s, label) for label in labels]
    assert max(fits) - min(fits) < 0.002
