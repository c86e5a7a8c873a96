"""Probes that are fitted: planted directions are found, nothing is found in nothing, and errors are one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from support.planted_direction import direction, examples, sequence_scores, token_scores

from anatomy.concepts.scorer import pool_scores
from anatomy.errors import ProbeError
from probes.attention_probe import AttentionProbe
from probes.difference_of_means import DifferenceOfMeans
from probes.examples import Examples
from probes.linear_probe import LinearProbe
from probes.probe_training import Standardiser, pairs_of, pool_tokens, weighted_mean

LINEAR = {
    "bce by sequence, max": {},
    "bce by sequence, mean": {"pooling": "mean"},
    "pairwise": {"loss": "pairwise", "pooling": "mean"},
}


def by_sequence(**settings) -> AttentionProbe:
    return AttentionProbe(supervision="sequence", **settings)


def cosine(w_D: torch.Tensor, other_D: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(w_D, other_D, dim=0))


def test_difference_of_means_by_hand():
    """Positive sequences (1, 3) and (8): means 2 and 8, mean of means 5 (not 12/3 = 4). Negative (0, 2): 1.

    In the second dimension all means are 3, so w = (1, 0).
    """
    x_ND = torch.tensor([[1.0, 3], [3, 3], [8, 3], [0, 3], [2, 3]])
    data = Examples(x_ND, np.array([0, 2, 3, 5]), np.array([1, 1, 0]), np.arange(3), np.full(3, -1))
    tilted = replace(data, x_ND=x_ND + torch.tensor([[0.0, 0], [0, 0], [0, 3], [0, 0], [0, 0]]))
    assert DifferenceOfMeans().fit(data).w_.tolist() == [1, 0]
    # second dimension now: positive (3 + 6) / 2 = 4.5, negative 3: difference (5 − 1, 1.5) = (4, 1.5)
    torch.testing.assert_close(DifferenceOfMeans().fit(tilted).w_, torch.tensor([4, 1.5]) / (16 + 2.25) ** 0.5)
    # token labels: positive tokens 3 and 8 of mean 5.5, negative ones 1, 0 and 2 of mean 1; second (3 + 6)/2 − 3
    labelled = replace(tilted, y_N=np.array([0, 1, 1, 0, 0]))
    found = DifferenceOfMeans().fit(labelled).w_
    torch.testing.assert_close(found, torch.tensor([4.5, 1.5]) / (4.5**2 + 1.5**2) ** 0.5)
    torch.testing.assert_close(DifferenceOfMeans().fit(data).decision(x_ND), x_ND[:, 0])


@pytest.mark.parametrize("tokens", [False, True])
def test_difference_of_means_finds_a_planted_direction(tokens):
    found = DifferenceOfMeans().fit(examples(tokens=tokens))
    assert cosine(found.w_, direction()) > 0.95
    held_out = examples(seed=1, tokens=tokens)
    y = held_out.y_S if held_out.y_N is None else held_out.y_N
    scores = token_scores(found, held_out) if tokens else sequence_scores(found, held_out, "mean")
    assert roc_auc_score(y, scores) > 0.9


@pytest.mark.parametrize("name", LINEAR)
def test_linear_probe_finds_a_planted_direction(name):
    found = LinearProbe(epochs=40, **LINEAR[name]).fit(examples(sequences=400))
    assert cosine(found.w_, direction()) > 0.9
    held_out = examples(seed=1)
    assert roc_auc_score(held_out.y_S, sequence_scores(found, held_out, LINEAR[name].get("pooling", "max"))) > 0.95


def test_linear_probe_finds_a_planted_direction_with_token_labels():
    found = LinearProbe(supervision="token").fit(examples(sequences=400, tokens=True))
    held_out = examples(seed=1, tokens=True)
    assert cosine(found.w_, direction()) > 0.9
    assert roc_auc_score(held_out.y_N, token_scores(found, held_out)) > 0.9


def test_linear_probe_scores_as_scikit_learn_does():
    """Offsets and scales as wild as those of residuals; the same weighting of classes; scores on raw residuals."""
    data = examples(sequences=400, tokens=True, strength=1.5)
    scale_D, offset_D = torch.logspace(-2, 2, data.x_ND.shape[1]), torch.linspace(-300, 300, data.x_ND.shape[1])
    data = replace(data, x_ND=data.x_ND * scale_D + offset_D)
    ours = LinearProbe(supervision="token", epochs=40).fit(data)
    moments = Standardiser.of(data.x_ND)
    standard_ND = moments.standardise(data.x_ND).numpy()
    theirs = LogisticRegression(class_weight="balanced", C=1.0, max_iter=1000).fit(standard_ND, data.y_N)
    scores_N = ours.decision(data.x_ND).numpy()
    assert spearmanr(scores_N, theirs.decision_function(standard_ND)).statistic > 0.99
    assert abs(float(np.mean(scores_N - theirs.decision_function(standard_ND)))) < 0.2


def test_positives_are_weighted_so_that_a_rare_concept_is_not_called_absent():
    """With 4 % positives the unweighted log odds would all but never pass 0; weighted, it is found."""
    data = examples(sequences=400, tokens=True, strength=1.5)
    rare = np.random.default_rng(0).random(len(data.x_ND)) < 0.12
    kept = np.flatnonzero((data.y_N == 0) | rare)
    lone = Examples(
        data.x_ND[kept], np.arange(len(kept) + 1), data.y_N[kept], kept, np.full(len(kept), -1), data.y_N[kept]
    )
    found = LinearProbe(supervision="token", epochs=60).fit(lone)
    flagged = token_scores(found, lone) > 0
    assert lone.y_N.mean() < 0.05
    assert abs(flagged[lone.y_N == 1].mean() - (~flagged)[lone.y_N == 0].mean()) < 0.1


def null_auroc(make, seed: int) -> float:
    data = examples(sequences=160, strength=0.0, seed=seed)
    half = data.group_S % 2 == 0
    fitted = make().fit(data.take(half))
    held_out = data.take(~half)
    return float(roc_auc_score(held_out.y_S, sequence_scores(fitted, held_out)))


@pytest.mark.parametrize(
    "make",
    [
        DifferenceOfMeans,
        LinearProbe,
        lambda: LinearProbe(loss="pairwise"),
        lambda: AttentionProbe(supervision="sequence", epochs=2),
    ],
    ids=["means", "bce", "pairwise", "attention"],
)
def test_nothing_is_found_in_nothing(make):
    """Held-out AUROC over 40 fits to noise: mean 0.5, and single ones on both sides."""
    found = [null_auroc(make, seed) for seed in range(40)]
    assert abs(np.mean(found) - 0.5) < 0.03
    assert min(found) < 0.5 < max(found)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("make", [DifferenceOfMeans, LinearProbe], ids=["means", "linear"])
def test_shuffled_labels_of_real_structure_teach_nothing(make, shuffled):
    """The direction is there; with its labels it is found on held-out prompts, with shuffled ones it is not."""
    found = []
    for seed in range(30):
        fitted = make().fit(examples(sequences=160, seed=seed, shuffled=shuffled))
        held_out = examples(sequences=400, seed=1000 + seed, shuffled=shuffled)
        found.append(roc_auc_score(held_out.y_S, sequence_scores(fitted, held_out)))
    assert abs(np.mean(found) - 0.5) < 0.03 if shuffled else min(found) > 0.9


def moved(data: Examples, positive_S: np.ndarray, by_D: torch.Tensor) -> Examples:
    """The examples with all tokens of some sequences moved."""
    return replace(data, x_ND=data.x_ND + torch.from_numpy(positive_S[data.sequence_N])[:, None] * by_D)


def joined(first: Examples, second: Examples) -> Examples:
    """Both, the second's prompts being others."""
    return Examples(
        torch.cat([first.x_ND, second.x_ND]),
        np.concatenate([first.starts_S1, first.starts_S1[-1] + second.starts_S1[1:]]),
        np.concatenate([first.y_S, second.y_S]),
        np.concatenate([first.group_S, first.group_S.max() + 1 + second.group_S]),
        np.full(len(first) + len(second), -1),
    )


def test_hard_negatives_move_the_probe_off_what_they_share():
    """Positives carry the concept and, louder, a second axis; negatives with that axis alone teach the difference."""
    other_D = torch.randn(24, generator=torch.Generator().manual_seed(8))
    axis_D = torch.nn.functional.normalize(other_D - other_D @ direction() * direction(), dim=0)
    sets = []
    for seed in (0, 10):
        shared = examples(sequences=200, strength=1.0, seed=seed)
        hard = examples(sequences=200, strength=0.0, seed=seed + 1).take(np.arange(0, 200, 2))
        shared = moved(shared, shared.y_S == 1, 3 * axis_D)
        sets.append((shared, joined(shared, moved(hard, np.ones(100, bool), 3 * axis_D))))
    (shared, with_hard), (_, held_out) = sets
    without, fitted = (LinearProbe(pooling="mean", epochs=100).fit(part) for part in (shared, with_hard))
    assert cosine(fitted.w_, direction()) > cosine(without.w_, direction()) + 0.2
    scores = [roc_auc_score(held_out.y_S, sequence_scores(probe, held_out, "mean")) for probe in (without, fitted)]
    assert scores[1] > scores[0] + 0.03


@pytest.mark.parametrize(
    "make",
    [LinearProbe, lambda seed: by_sequence(epochs=1, seed=seed)],
    ids=["linear", "attn"],
)
def test_a_seed_decides_all_that_is_random(make):
    first, again, other = (make(seed=seed).fit(examples()) for seed in (0, 0, 1))
    assert torch.equal(first.w_, again.w_)
    assert not torch.equal(first.w_, other.w_)


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_sequences_are_pooled_in_training_as_detectors_pool_them(pooling):
    data = examples()
    z_N = data.x_ND[:, 0]
    expected = [pool_scores(part.numpy(), pooling) for part in z_N.split(data.lengths_S.tolist())]
    np.testing.assert_allclose(pool_tokens(z_N, torch.from_numpy(data.lengths_S), pooling), expected, rtol=1e-6)


def test_sums_are_in_float64():
    """70,000 float32 numbers of 10,000 + u, u of mean 0: float32 sums would lose the mean's third digit."""
    x_ND = 10_000 + torch.randn(70_000, 2, generator=torch.Generator().manual_seed(0))
    exact = x_ND.double().numpy().mean(0)
    np.testing.assert_allclose(weighted_mean(x_ND, torch.ones(70_000)).numpy(), exact, rtol=1e-14)
    np.testing.assert_allclose(Standardiser.of(x_ND).std_D.numpy(), x_ND.double().numpy().std(0), rtol=1e-9)


def test_pairs_are_a_positive_and_a_negative_of_one_number():
    data = examples(sequences=6)
    mixed = replace(data, pair_S=np.array([5, 2, 2, -1, 9, 5]))  # labels 0 1 0 1 0 1; 9 has no partner
    assert sorted(map(tuple, pairs_of(mixed).tolist())) == [(1, 2), (5, 0)]


ONE_CLASS = replace(examples(), y_S=np.ones(120, np.int64))
TWO_OF_A_LABEL = replace(examples(), pair_S=np.zeros(120, np.int64))
NO_PAIRS = replace(examples(), pair_S=np.full(120, -1))
LABEL_2 = replace(examples(), y_S=np.arange(120) % 3)
NAN = replace(examples(), x_ND=examples().x_ND.clone().index_fill(0, torch.tensor([5]), float("nan")))
EMPTY = replace(examples(), starts_S1=np.concatenate([[0], examples().starts_S1[:-2], examples().starts_S1[-1:]]))


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (DifferenceOfMeans, ONE_CLASS, "120 of 120 sequence labels are positive"),
        (LinearProbe, ONE_CLASS, "needs both classes"),
        (by_sequence, ONE_CLASS, "needs both classes"),
        (DifferenceOfMeans, NAN, "1 of .* residuals hold NaN"),
        (LinearProbe, NAN, "1 of .* residuals hold NaN"),
        (by_sequence, NAN, "1 of .* residuals hold NaN"),
        (DifferenceOfMeans, EMPTY, "1 of 120 sequences have no token"),
        (LinearProbe, examples().take(np.zeros(0, np.int64)), "0 of 0 sequences"),
        (AttentionProbe, examples(), "no token labels"),
        (LinearProbe, LABEL_2, r"must be 0 or 1, found \[2\]"),
        (lambda: LinearProbe(loss="pairwise"), NO_PAIRS, "no positive shares its pair number"),
        (lambda: LinearProbe(loss="pairwise"), TWO_OF_A_LABEL, "pair 0: 60 sequences with label 1"),
        (lambda: LinearProbe(loss="pairwise", supervision="token"), examples(tokens=True), "whole sequences"),
        (lambda: LinearProbe(supervision="token"), examples(), "no token labels"),
        (lambda: LinearProbe(learning_rate=1e37), examples(), "training diverged"),
        (DifferenceOfMeans, replace(examples(), x_ND=torch.ones_like(examples().x_ND)), "same mean residual"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_line(make, data, message):
    with pytest.raises(ProbeError, match=message) as caught:
        make().fit(data)
    assert "\n" not in str(caught.value)
