"""Concepts that clusters follow: planted ones are found, and chance finds none, however many there are to choose."""

import numpy as np
import pytest

from anatomy.hypotheses.followed import FOLLOWS, followed, lower_ends
from anatomy.statistics.prompts import Prompts


def rows(n_prompts: int, per_prompt: int) -> Prompts:
    return Prompts.from_ids(np.repeat([f"p{number}" for number in range(n_prompts)], per_prompt))


def drawn(generator: np.random.Generator, prompts: Prompts, columns: int, within: float) -> np.ndarray:
    shared = generator.standard_normal((len(prompts.half_G), columns))[prompts.code_N]
    own = generator.standard_normal((len(prompts.code_N), columns))
    return np.sqrt(within) * shared + np.sqrt(1 - within) * own


def sparse(values: np.ndarray, share: float) -> np.ndarray:
    """-1, 0 and 1, as a rule on text has it: a share of the rows at either end."""
    return (values > np.quantile(values, 1 - share, axis=0)).astype(float) - (
        values < np.quantile(values, share, axis=0)
    )


def test_a_cluster_that_goes_with_a_concept_follows_it() -> None:
    generator, prompts = np.random.default_rng(0), rows(200, 2)
    concepts = sparse(drawn(generator, prompts, 40, 0.3), 0.2)
    clusters = concepts[:, [3, 17, 17]] + 0.6 * drawn(generator, prompts, 3, 0.3)
    clusters[:, 2] *= -1  # less of it is not it
    assert followed(clusters, concepts, prompts).tolist() == [3, 17, -1]


def test_labels_in_common_are_no_following() -> None:
    generator, prompts = np.random.default_rng(1), rows(300, 1)
    rewarded = (generator.random((300, 2)) < 0.9).astype(float)  # both sides differ, chosen has more, independently
    assert followed(rewarded[:, :1], rewarded[:, 1:], prompts).tolist() == [-1]


@pytest.mark.parametrize("per_prompt", [1, 4])
def test_random_clusters_follow_no_concept(per_prompt: int) -> None:
    generator, prompts = np.random.default_rng(2), rows(120, per_prompt)
    concepts = sparse(drawn(generator, prompts, 40, 0.8), 0.1)
    clusters = drawn(generator, prompts, 2_000, 0.8)
    assert (followed(clusters, concepts, prompts) >= 0).mean() <= 0.001


@pytest.mark.parametrize(("per_prompt", "within"), [(1, 0.0), (4, 0.8)])
@pytest.mark.parametrize("share", [None, 0.2])
def test_a_correlation_at_the_limit_is_called_following_at_the_nominal_rate(
    per_prompt: int, within: float, share: float | None
) -> None:
    generator, prompts = np.random.default_rng(3), rows(160, per_prompt)
    concept = drawn(generator, prompts, 1_500, within)
    shown = concept if share is None else sparse(concept, share)
    shown = shown / shown.std()
    cluster = FOLLOWS * shown + np.sqrt(1 - FOLLOWS**2) * drawn(generator, prompts, 1_500, within)
    low = lower_ends(cluster, shown, prompts)
    assert 0.012 <= (low >= FOLLOWS).mean() <= 0.042  # 2.5 %, and what a sandwich adds in so few prompts


def test_a_concept_that_hardly_occurs_is_not_followed() -> None:
    prompts = rows(200, 1)
    concept = np.zeros((200, 1))
    concept[np.flatnonzero(prompts.half_N)[:4]] = concept[np.flatnonzero(~prompts.half_N)[:4]] = 1
    assert followed(concept.copy(), concept, prompts).tolist() == [-1]


def test_a_cluster_that_is_the_concept_follows_it_and_constants_follow_nothing() -> None:
    generator, prompts = np.random.default_rng(4), rows(60, 1)
    concept = generator.standard_normal((60, 2))
    assert followed(np.column_stack([concept[:, 1], np.ones(60)]), concept, prompts).tolist() == [1, -1]
    assert followed(np.zeros((60, 0)), concept, prompts).tolist() == []
    assert followed(concept, np.zeros((60, 0)), prompts).tolist() == [-1, -1]
