"""Figures against scikit-learn, intervals against simulation, thresholds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

from anatomy.errors import ProbeError
from probes import metrics
from probes.metrics import _Ranked, best_f1_threshold, evaluate

SHIFT, SHARED, OWN = 1.5, 0.8, 0.6
"""Positives score higher by SHIFT; half of the prompts' responses are positive; deviations shared and own."""


def clustered(groups: int, per_group: int, generator: np.random.Generator, shift: float = SHIFT):
    """Scores, labels and prompts: items of a prompt share a draw, and lean to one label."""
    group_S = np.repeat(np.arange(groups), per_group)
    leaning_G = generator.random(groups) < 0.5
    y_S = (generator.random(len(group_S)) < np.where(leaning_G[group_S], 0.8, 0.2)).astype(int)
    shared_G = generator.standard_normal(groups)
    scores_S = shift * y_S + SHARED * shared_G[group_S] + OWN * generator.standard_normal(len(group_S))
    return scores_S, y_S, group_S


def sklearn_figures(scores_S, y_S, threshold, weight_S=None):
    flagged_S = scores_S >= threshold
    return [
        f1_score(y_S, flagged_S, sample_weight=weight_S),
        balanced_accuracy_score(y_S, flagged_S, sample_weight=weight_S),
        roc_auc_score(y_S, scores_S, sample_weight=weight_S),
        average_precision_score(y_S, scores_S, sample_weight=weight_S),
    ]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("threshold", [-10.0, 0.0, 0.5, 1.0, 10.0])
def test_figures_equal_scikit_learn_s_weighted_or_not(ties, threshold):
    generator = np.random.default_rng(0)
    scores_S, y_S, group_S = clustered(40, 3, generator)
    scores_S = scores_S.round() if ties else scores_S
    found = evaluate(scores_S, y_S, group_S, threshold)
    figures = [found.f1, found.balanced_accuracy, found.auroc, found.pr_auc]
    np.testing.assert_allclose([f.value for f in figures], sklearn_figures(scores_S, y_S, threshold), atol=1e-12)
    assert (found.positives, found.negatives, found.groups) == (y_S.sum(), 120 - y_S.sum(), 40)
    weight_S = generator.integers(0, 4, 120)
    weighted = _Ranked.of(scores_S, y_S, threshold).figures(weight_S)
    np.testing.assert_allclose(weighted, sklearn_figures(scores_S, y_S, threshold, weight_S), atol=1e-12)


def true_figures(shift: float) -> np.ndarray:
    """F1, balanced accuracy and AUROC of the population of :func:`clustered` at threshold shift / 2, in closed form."""
    spread = np.hypot(SHARED, OWN)
    right = norm.cdf(shift / 2 / spread)
    # equal classes: F1 = 2p / (2p + (1 − p) + (1 − p)) = p
    return np.array([right, right, norm.cdf(shift / (spread * np.sqrt(2)))])


def intervals(groups: int, per_group: int, shift: float, each_its_own: bool = False) -> np.ndarray:
    """Ends of the intervals of F1, balanced accuracy and AUROC in 200 samples, ``[200, 3, 2]``."""
    generator, found = np.random.default_rng(groups), []
    for _ in range(200):
        scores_S, y_S, group_S = clustered(groups, per_group, generator, shift)
        measured = evaluate(scores_S, y_S, np.arange(len(y_S)) if each_its_own else group_S, shift / 2)
        found.append([figure[1:] for figure in (measured.f1, measured.balanced_accuracy, measured.auroc)])
    return np.array(found)


def coverage(ends: np.ndarray, shift: float) -> np.ndarray:
    return ((ends[..., 0] <= true_figures(shift)) & (true_figures(shift) <= ends[..., 1])).mean(axis=0)


@pytest.fixture
def few_replicates(monkeypatch):
    monkeypatch.setattr(metrics, "REPLICATES", 200)


@pytest.mark.parametrize(("groups", "per_group", "shift"), [(60, 6, 1.5), (150, 2, 1.5), (30, 3, 3.0)])
def test_intervals_hold_the_truth_in_95_percent_of_clustered_samples(groups, per_group, shift, few_replicates):
    """The last at an AUROC of 0.98; 200 samples measure a coverage to ± 3 points."""
    found = coverage(intervals(groups, per_group, shift), shift)
    assert (found > 0.91).all(), found
    assert (found < 0.995).all(), found


def test_items_taken_for_independent_would_give_intervals_that_are_too_narrow(few_replicates):
    """So the simulation is hard enough to show the defect."""
    assert (coverage(intervals(60, 6, 1.5, each_its_own=True), 1.5) < 0.87).all()


def test_shuffled_labels_give_one_half(few_replicates):
    generator = np.random.default_rng(0)
    found = []
    for _ in range(60):
        scores_S, y_S, group_S = clustered(100, 2, generator)
        found.append(evaluate(scores_S, generator.permutation(y_S), group_S, 0.0))
    assert abs(np.mean([m.auroc.value for m in found]) - 0.5) < 0.02
    assert np.mean([m.auroc.low <= 0.5 <= m.auroc.high for m in found]) > 0.85


def test_tokens_with_prompts_as_groups_are_no_more_certain_than_their_prompts():
    """Each response's score repeated for 50 tokens: the same figures and nearly the same intervals."""
    scores_S, y_S, group_S = clustered(80, 2, np.random.default_rng(0))
    few = evaluate(scores_S, y_S, group_S, 0.5)
    many = evaluate(scores_S.repeat(50), y_S.repeat(50), group_S.repeat(50), 0.5)
    np.testing.assert_allclose(few.auroc, many.auroc, atol=1e-12)
    np.testing.assert_allclose(few.f1, many.f1, atol=1e-12)


def test_perfect_scores_are_not_reported_as_certain():
    """20 prompts with one item each, 10 of either class: 0.025^(1/10) = 0.692."""
    y_S = np.arange(20) % 2
    found = evaluate(y_S + 0.0, y_S, np.arange(20), 0.5)
    for figure in (found.f1, found.balanced_accuracy, found.auroc, found.pr_auc):
        assert figure.value == figure.high == 1
        assert figure.low == pytest.approx(0.025**0.1)
    pairs = evaluate(y_S + 0.0, y_S, np.arange(20) // 2, 0.5)  # 10 prompts with both: 5 disjoint pairs
    assert pairs.auroc.low == pytest.approx(0.025**0.2)


def test_wholly_wrong_scores_and_a_single_prompt():
    y_S = np.arange(20) % 2
    wrong = evaluate(-y_S + 0.0, y_S, np.arange(20), -0.5)
    assert (wrong.auroc.value, wrong.auroc.low) == (0, 0)
    assert 0.3 < wrong.auroc.high < 0.6
    alone = evaluate(np.arange(4.0), np.array([0, 1, 0, 1]), np.zeros(4), 1.0)
    assert alone.auroc.value == 0.75
    assert np.isnan(alone.auroc.low)


def test_the_seed_decides_the_interval():
    data = clustered(40, 3, np.random.default_rng(0))
    assert evaluate(*data, 0.5, seed=1) == evaluate(*data, 0.5, seed=1)
    assert evaluate(*data, 0.5, seed=1).auroc != evaluate(*data, 0.5, seed=2).auroc


def test_best_threshold_by_hand_and_by_brute_force():
    """Scores 1 2 3 4 with labels 0 1 0 1: flagging from 2 up gives F1 4/5, from 4 up 2/3; halfway below 2 is 1.5."""
    assert best_f1_threshold(np.array([1.0, 2, 3, 4]), np.array([0, 1, 0, 1])) == 1.5
    generator = np.random.default_rng(0)
    for digits in (1, 9):
        scores_S, y_S, _ = clustered(50, 2, generator)
        scores_S = scores_S.round(digits)
        best = max(f1_score(y_S, scores_S >= threshold) for threshold in scores_S)
        assert f1_score(y_S, scores_S >= best_f1_threshold(scores_S, y_S)) == best


def test_neighbouring_floats_are_still_told_apart():
    low = 1.0
    high = np.nextafter(low, 2)
    assert best_f1_threshold(np.array([low, high]), np.array([0, 1])) == high


@pytest.mark.parametrize(
    ("scores_S", "y_S", "message"),
    [
        ([0.1, np.nan], [0, 1], "1 of 2 scores are NaN"),
        ([0.1, 0.2], [1, 1], "2 positives among 2"),
        ([0.1, 0.2], [0, 2], "labelled 0 or 1"),
        ([], [], "0 positives among 0"),
    ],
)
@pytest.mark.parametrize("measure", [best_f1_threshold, lambda s, y: evaluate(s, y, np.arange(len(y)), 0.0)])
def test_what_cannot_be_measured_is_refused(measure, scores_S, y_S, message):
    with pytest.raises(ProbeError, match=message):
        measure(np.array(scores_S), np.array(y_S))
