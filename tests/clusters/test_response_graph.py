"""Co-firing graph and communities against brute force and planted groups (method.md §4)."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import mutual_info_score

from anatomy.clusters import response_clusters as response
from anatomy.clusters.response_clusters import cofiring_graph, leiden_communities


def brute_nmi(fires: np.ndarray) -> dict[tuple[int, int], float]:
    entropy = [mutual_info_score(column, column) for column in fires.T]
    active = [f for f in range(fires.shape[1]) if entropy[f] > 0]
    return {
        (g, h): mutual_info_score(fires[:, g], fires[:, h]) / np.sqrt(entropy[g] * entropy[h])
        for g, h in combinations(active, 2)
    }


def random_fires(rate: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    fires = generator.random((300, 24)) < rate * generator.random(24)
    fires[:, 3] = False  # never fires
    fires[:, 7] = True  # always fires
    fires[:, 11] = ~fires[:, 10]  # never together with 10, and wholly predictable from it
    fires[:, 12] = fires[:, 13]
    return fires


@pytest.mark.parametrize("rate", [0.04, 0.9], ids=["sparse product", "dense product"])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 1.0])
def test_edges_are_the_top_share_of_all_pairs_by_brute_force(rate: float, fraction: float) -> None:
    fires = random_fires(rate)
    fires[0, [f for f in range(24) if f not in (3, 7, 10, 11, 12, 13)]] = True  # each has a firing sample
    if not fires[:, 12].any():
        fires[1, [12, 13]] = True
    graph = cofiring_graph(sp.csr_array(fires.astype(np.float32)), fraction)
    brute = {pair: nmi for pair, nmi in brute_nmi(fires).items() if nmi > 1e-10}
    total = 22 * 21 / 2
    wanted = sorted(brute.values(), reverse=True)[: int(fraction * total)]
    pairs = list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == len(wanted)
    assert all(g < h for g, h in pairs)
    np.testing.assert_allclose([brute[pair] for pair in pairs], graph.weight, rtol=1e-5)
    np.testing.assert_allclose(np.sort(graph.weight)[::-1], wanted, rtol=1e-5)


def test_pairs_that_never_fire_together_count_and_constant_features_do_not() -> None:
    fires = random_fires(0.9)
    graph = cofiring_graph(sp.csr_array(fires), 0.02)
    edges = dict(zip(zip(graph.source.tolist(), graph.target.tolist(), strict=True), graph.weight, strict=True))
    assert edges[10, 11] == pytest.approx(1)
    assert edges[12, 13] == pytest.approx(1)
    everything = cofiring_graph(sp.csr_array(fires), 1.0)
    assert not {3, 7} & {*everything.source.tolist(), *everything.target.tolist()}


def test_small_blocks_and_a_rising_threshold_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fires = sp.csr_array(np.random.default_rng(1).random((200, 60)) < 0.03)
    whole = cofiring_graph(fires, 0.02)
    monkeypatch.setattr(response, "_PANEL_CELLS", 60 * 7)
    monkeypatch.setattr(response, "_BLOCK_CELLS", 60 * 2)
    blocks = cofiring_graph(fires, 0.02)
    for left, right in zip(whole[:3], blocks[:3], strict=True):
        np.testing.assert_array_equal(left, right)


def test_stored_zeros_and_values_are_not_firing_twice() -> None:
    fires = np.random.default_rng(2).random((100, 10)) < 0.3
    clean = sp.csr_array(fires.astype(np.float32))
    noisy = sp.csr_array(fires.astype(np.float32) * 5)
    noisy.data[:20] = 0
    clean.data[:20] = 0
    clean.eliminate_zeros()
    np.testing.assert_array_equal(cofiring_graph(noisy, 0.5).weight, cofiring_graph(clean, 0.5).weight)


def planted_groups(sizes: tuple[int, ...], n_noise: int, seed: int) -> np.ndarray:
    """Groups of features that share a topic (fires on 10 % of samples) and fire on 70 % of its samples."""
    generator = np.random.default_rng(seed)
    blocks = [(generator.random((1500, 1)) < 0.1) & (generator.random((1500, size)) < 0.7) for size in sizes]
    noise = generator.random((1500, n_noise)) < 0.05
    return np.concatenate([*blocks, noise], axis=1)


def test_planted_groups_are_found_and_numbered_by_size() -> None:
    sizes = (8, 20, 12, 3)
    fires = sp.csr_array(planted_groups(sizes, 60, 0).astype(np.float32))
    labels = leiden_communities(cofiring_graph(fires, 0.055), seed=0, min_community=4)
    starts = np.cumsum([0, *sizes])
    for group, number in ((1, 1), (2, 2), (0, 3)):
        assert set(labels[starts[group] : starts[group + 1]]) == {number}
    assert set(labels[starts[3] : starts[4]]) == {0}  # three features: dissolved
    assert (labels[starts[4] :] == 0).mean() > 0.9
    counts = np.bincount(labels)[1:]
    assert (np.diff(counts) <= 0).all()
    assert counts.min() >= 4


def test_communities_are_the_same_for_the_same_seed() -> None:
    graph = cofiring_graph(sp.csr_array(np.random.default_rng(3).random((300, 80)) < 0.1), 0.1)
    np.testing.assert_array_equal(leiden_communities(graph, 5), leiden_communities(graph, 5))


def test_nothing_to_join() -> None:
    graph = cofiring_graph(sp.csr_array((10, 6), dtype=np.float32), 0.01)
    assert len(graph.weight) == 0
    np.testing.assert_array_equal(leiden_communities(graph, 0), np.zeros(6))
