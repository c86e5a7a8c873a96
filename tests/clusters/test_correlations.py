"""Correlations of features on halves of the prompts against brute force, and what chance makes of them."""

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.clusters import correlations
from anatomy.clusters.correlations import (
    Activity,
    blocks_of_prompts,
    chance_correlation,
    frequent_features,
    half_graphs,
    halves_of,
    shuffled,
)


def random_activity(rate: float, seed: int = 0, n: int = 300, f: int = 24, per_prompt: int = 2) -> Activity:
    """Features 3 and 7 never vary, 12 and 13 are one."""
    generator = np.random.default_rng(seed)
    strength = generator.gamma(2, 1, (n, f)) * (generator.random((n, f)) < rate)
    strength[:, 3], strength[:, 7] = 0, 2
    strength[:, 12] = strength[:, 13]
    return Activity(sp.csr_array(strength.astype(np.float32)), np.arange(n) // per_prompt)


def brute(activity: Activity, inside: np.ndarray) -> np.ndarray:
    """Correlations of the responses inside; 0 with a feature that never varies."""
    strength = activity.strength_SF.toarray()[inside].astype(np.float64)
    residual = strength - strength.mean(axis=0)
    norm = np.linalg.norm(residual, axis=0)
    residual /= np.where(norm > 0, norm, np.inf)
    return residual.T @ residual


@pytest.mark.parametrize("rate", [0.03, 0.9], ids=["sparse product", "dense product"])
def test_edges_are_the_correlations_above_the_least(rate: float) -> None:
    activity, features = random_activity(rate), np.arange(1, 24)
    block = blocks_of_prompts(activity.prompt_S, np.random.default_rng(0))
    graphs = half_graphs(activity, features, block, halves_of(), 0.05, 1.0)
    assert len(graphs) == 20
    for graph, inside in zip(graphs, halves_of(), strict=True):
        wanted = np.triu(brute(activity, inside[block]), k=1)
        wanted[0] = 0  # a feature that was not asked for
        found = np.zeros((24, 24))
        found[graph.source, graph.target] = graph.weight
        near = abs(wanted - 0.05) < 1e-4
        np.testing.assert_allclose(found[~near], np.where(wanted > 0.05, wanted, 0)[~near], atol=2e-4)
        assert found[12, 13] == pytest.approx(1, abs=1e-4)
        assert not {3, 7} & {*graph.source.tolist(), *graph.target.tolist()}


def test_at_most_a_share_of_the_pairs_is_kept_the_strongest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlations, "EDGES_EACH", 0)
    activity, features = random_activity(0.3), np.arange(24)
    block = blocks_of_prompts(activity.prompt_S, np.random.default_rng(0))
    everything = half_graphs(activity, features, block, halves_of(), 0.0, 1.0)[0]
    few = half_graphs(activity, features, block, halves_of(), 0.0, 0.05)[0]
    assert len(few.weight) == int(0.05 * 24 * 23 / 2)
    np.testing.assert_array_equal(np.sort(few.weight), np.sort(everything.weight)[-len(few.weight) :])


def test_small_panels_and_a_rising_threshold_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlations, "EDGES_EACH", 1)
    activity, features = random_activity(0.1, f=60), np.arange(60)
    block = blocks_of_prompts(activity.prompt_S, np.random.default_rng(0))
    whole = half_graphs(activity, features, block, halves_of(), 0.02, 0.02)
    monkeypatch.setattr(correlations, "_PANEL_CELLS", 60 * 7 * 6)
    monkeypatch.setattr(correlations, "_BLOCK_CELLS", 60 * 2)
    for left, right in zip(whole, half_graphs(activity, features, block, halves_of(), 0.02, 0.02), strict=True):
        for one, other in zip(left[:3], right[:3], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_halves_share_no_block_and_no_prompt() -> None:
    halves = halves_of()
    assert halves.shape == (20, 6)
    assert (halves[::2] ^ halves[1::2]).all()
    assert (halves.sum(axis=1) == 3).all()
    assert len({tuple(half) for half in halves.tolist()}) == 20
    prompts = np.random.default_rng(1).integers(0, 50, 200)
    block = blocks_of_prompts(prompts, np.random.default_rng(0))
    assert all(len(set(block[prompts == prompt])) == 1 for prompt in prompts)


def test_features_under_few_prompts_are_left_out() -> None:
    strength = np.zeros((100, 3), np.float32)
    strength[:40, 0] = strength[::5, 1] = strength[::2, 2] = 1  # under 4, 10 and 10 prompts of ten responses each
    activity = Activity(sp.csr_array(strength), np.arange(100) // 10)
    np.testing.assert_array_equal(frequent_features(activity, 10), [1, 2])
    np.testing.assert_array_equal(frequent_features(activity, 4), [0, 1, 2])


def test_chance_is_what_independent_features_show_and_shuffling_keeps_rates() -> None:
    generator = np.random.default_rng(2)
    n = 800
    topic = generator.random((n, 1)) < 0.2
    strength = (generator.random((n, 40)) < 0.1) | topic
    activity = Activity(sp.csr_array(strength.astype(np.float32)), np.arange(n) // 4)
    everywhere = np.ones(n, bool)
    chance = chance_correlation(activity, np.arange(40), everywhere, np.random.default_rng(0))
    assert 2.5 / np.sqrt(n) < chance < 6 / np.sqrt(n)  # the largest of 780 correlations
    assert np.triu(brute(activity, everywhere), 1).max() > 3 * chance
    moved = shuffled(activity, np.random.default_rng(1))
    np.testing.assert_array_equal(moved.strength_SF.sum(axis=0), activity.strength_SF.sum(axis=0))
    assert np.triu(brute(moved, everywhere), 1).max() < 1.5 * chance


def test_chance_knows_that_responses_of_a_prompt_are_alike() -> None:
    generator = np.random.default_rng(3)
    fires = np.repeat(generator.random((60, 40)) < 0.3, 10, axis=0)  # 60 prompts of ten equal responses
    activity = Activity(sp.csr_array(fires.astype(np.float32)), np.arange(600) // 10)
    assert chance_correlation(activity, np.arange(40), np.ones(600, bool), generator) > 2.5 / np.sqrt(60)
