"""Response clusters: planted groups are found and stay, noise and chance make none (method.md §4)."""

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.clusters.correlations import Activity, Graph, shuffled
from anatomy.clusters.label_ids import pair_stability
from anatomy.clusters.response_clusters import StableClusters, communities, response_clusters
from anatomy.settings import ResponseClusterSettings

GROUPS, NOISE = (8, 20, 12, 3), 60


def planted(seed: int, n: int = 1200, per_prompt: int = 2, strength: float = 0.8) -> Activity:
    """Groups of features that share a topic (a tenth of the prompts) and fire on most of its responses; and noise."""
    generator = np.random.default_rng(seed)
    prompt = np.arange(n) // per_prompt
    topic = generator.random((prompt[-1] + 1, len(GROUPS)))[prompt] < 0.1
    blocks = [topic[:, [g]] & (generator.random((n, size)) < strength) for g, size in enumerate(GROUPS)]
    fires = np.concatenate([*blocks, generator.random((n, NOISE)) < 0.08], axis=1)
    values = fires * generator.gamma(4, 1, fires.shape)
    return Activity(sp.csr_array(values.astype(np.float32)), prompt)


def found(activity: Activity, seed: int = 0, **settings: float) -> StableClusters:
    return response_clusters(activity, ResponseClusterSettings(**settings), 20, seed)


def test_planted_groups_are_found_stay_and_noise_is_left_out() -> None:
    result = found(planted(0))
    starts = np.cumsum([0, *GROUPS])
    for group, number in ((1, 1), (2, 2), (0, 3)):
        assert set(result.label_F[starts[group] : starts[group + 1]]) == {number}
    assert not result.label_F[starts[3] :].any()  # three features are too few, noise is with nothing
    assert len(result.stability_M) == 3
    assert result.stability_M.min() > 0.95
    assert result.chance < 0.3


def test_other_prompts_and_other_seeds_give_the_same_clusters() -> None:
    activity = planted(1)
    np.testing.assert_array_equal(found(activity, 0).label_F, found(activity, 1).label_F)
    np.testing.assert_array_equal(found(activity).label_F, found(planted(2)).label_F)


def test_equal_arguments_give_equal_clusters() -> None:
    first, second = (found(planted(3, strength=0.5), 7) for _ in range(2))
    np.testing.assert_array_equal(first.label_F, second.label_F)
    np.testing.assert_array_equal(first.stability_M, second.stability_M)


@pytest.mark.parametrize("per_prompt", [1, 2, 8])
def test_shuffled_firing_has_no_cluster(per_prompt: int) -> None:
    for seed in range(3):
        activity = planted(seed, per_prompt=per_prompt)
        assert not found(shuffled(activity, np.random.default_rng(seed))).label_F.any()


@pytest.mark.parametrize("per_prompt", [1, 8])
def test_independent_features_have_no_cluster_though_responses_of_a_prompt_are_alike(per_prompt: int) -> None:
    for seed in range(3):
        generator = np.random.default_rng(seed)
        prompt = np.arange(800) // per_prompt
        fires = (generator.random((prompt[-1] + 1, 80)) < 0.3)[prompt] & (generator.random((800, 80)) < 0.9)
        activity = Activity(sp.csr_array(fires.astype(np.float32)), prompt)
        assert not found(activity).label_F.any()


def test_a_group_that_comes_and_goes_is_less_stable_or_out() -> None:
    """Twelve features whose mean correlation is near the resolution."""
    generator = np.random.default_rng(5)
    share = generator.standard_normal((600, 1))
    strength = np.maximum(0.62 * share + 0.78 * generator.standard_normal((600, 12)), 0)
    activity = Activity(sp.csr_array(strength.astype(np.float32)), np.arange(600))
    weak = found(activity)
    assert not weak.label_F.any() or weak.stability_M.max() < 0.95


def test_nothing_to_join() -> None:
    empty = Activity(sp.csr_array((10, 6), dtype=np.float32), np.arange(10))
    result = found(empty)
    assert not result.label_F.any()
    assert len(result.stability_M) == 0
    one = Activity(sp.csr_array(np.ones((1, 3), np.float32)), np.zeros(1, np.int64))
    assert not response_clusters(one, ResponseClusterSettings(), 1, 0).label_F.any()


def test_communities_hold_features_whose_mean_correlation_is_above_the_resolution() -> None:
    source, target = np.triu_indices(5, 1)
    graph = Graph(np.append(source, 4), np.append(target, 5), np.append(np.full(10, 0.5), 0.9), 7)
    assert communities(graph, 0, 0.4).tolist()[:4] == [1, 1, 1, 1]
    assert communities(graph, 0, 0.4)[6] == 0
    np.testing.assert_array_equal(communities(graph, 3, 0.6), [0, 0, 0, 0, 1, 1, 0])


def test_stability_is_the_share_of_pairs_that_the_other_half_has_too() -> None:
    generator = np.random.default_rng(6)
    label = generator.integers(0, 4, 40)
    halves = [generator.integers(0, 4, 40) for _ in range(4)]
    wanted = []
    for cluster in (1, 2, 3):
        members = np.flatnonzero(label == cluster)
        both = either = 0
        for first, second in (halves[:2], halves[2:]):
            for place, g in enumerate(members):
                for h in members[place + 1 :]:
                    on_first, on_second = first[g] == first[h] > 0, second[g] == second[h] > 0
                    both += 2 * (on_first and on_second)
                    either += int(on_first) + int(on_second)
        wanted.append(both / either)
    np.testing.assert_allclose(pair_stability(label, halves), wanted)
    np.testing.assert_array_equal(pair_stability(label, [label, label]), [1, 1, 1])
    np.testing.assert_array_equal(pair_stability(label, [label * 0, label]), [0, 0, 0])
