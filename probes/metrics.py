"""How well scores tell positives from negatives: F1, balanced accuracy, AUROC, PR-AUC, with intervals over prompts.

Standard errors come from a bootstrap that draws *groups* (prompts) with replacement: items of one prompt are not
independent, whether the items are responses or tokens. Intervals are Student's t on the logit scale: they stay inside
[0, 1] and hold near 1, where detectors are; the bootstrap's percentiles held the truth in 86 % of simulated
samples at an AUROC of 0.98 and 30 prompts. All four figures of a replicate follow from two cumulative sums
over items that were sorted once; scikit-learn's functions, with the same weights, give the same numbers (tested) but
would sort again for each figure of 1,000 replicates.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import special, stats
from sklearn.metrics import precision_recall_curve

from anatomy.errors import ProbeError

REPLICATES = 1000
LEVEL = 0.95
FEWEST = 30
"""Positives, and negatives, from which an AUROC or average precision is reported."""


class Figure(NamedTuple):
    """A measured figure and its 95 % interval."""

    value: float
    low: float
    high: float


class Metrics(NamedTuple):
    """What :func:`evaluate` measures; all four figures are in [0, 1]. ``pr_auc`` is the average precision."""

    f1: Figure
    balanced_accuracy: Figure
    auroc: Figure
    pr_auc: Figure
    threshold: float
    positives: int
    negatives: int
    groups: int

    @property
    def too_few(self) -> bool:
        """Whether a class has fewer than 30 items: AUROC and average precision are then not reported."""
        return min(self.positives, self.negatives) < FEWEST

    def to_dict(self) -> dict[str, Any]:
        """Plain values, each figure with its interval; None for AUROC and average precision of too few items."""
        plain = {
            name: value._asdict() if isinstance(value, Figure) else value for name, value in self._asdict().items()
        }
        return plain | ({"auroc": None, "pr_auc": None} if self.too_few else {})


def evaluate(
    scores_S: Float[np.ndarray, " S"],
    y_S: Int[np.ndarray, " S"],
    group_S: Shaped[np.ndarray, " S"],
    threshold: float,
    seed: int = 0,
) -> Metrics:
    """Measure scores against labels; items are sequences, or tokens with their prompts as groups.

    An item is flagged where its score is at least ``threshold``, which must come from other data. Replicates without
    one of the classes are left out; a single prompt has no interval (NaN). A perfect figure has no bootstrap error: its
    lower end is ``0.025^(1/m)`` with ``m`` the number of independent positive-negative pairs that the prompts afford.
    Had AUROC or balanced accuracy been lower, ``m`` faultless pairs would have had a chance below 2.5 %.

    Raises:
        ProbeError: no items, labels of one class, or scores that are NaN.
    """
    y_S = _checked(scores_S, y_S)
    ranked = _Ranked.of(scores_S, y_S, threshold)
    _, code_S, size_G = np.unique(group_S, return_inverse=True, return_counts=True)
    generator, n = np.random.default_rng(seed), len(size_G)
    draws = (np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(REPLICATES))
    replicates_R4 = np.array([ranked.figures(draw_G[code_S]) for draw_G in draws])
    floor = _perfect_floor(y_S, code_S)
    found = zip(ranked.figures(np.ones(len(y_S))), replicates_R4.T, strict=True)
    f1, balanced_accuracy, auroc, pr_auc = (_figure(value, replicates_R, n, floor) for value, replicates_R in found)
    positives = int(y_S.sum())
    return Metrics(f1, balanced_accuracy, auroc, pr_auc, threshold, positives, len(y_S) - positives, n)


def enough(y_S: Int[np.ndarray, " S"]) -> bool:
    """Whether both classes have enough items for a figure of ranks."""
    return min(int((y_S == 1).sum()), int((y_S == 0).sum())) >= FEWEST


def best_f1_threshold(scores_S: Float[np.ndarray, " S"], y_S: Int[np.ndarray, " S"]) -> float:
    """The threshold of highest F1 (method.md §8), halfway to the next lower score; on held-out data, not the test's.

    Raises:
        ProbeError: no items, labels of one class, or scores that are NaN.
    """
    y_S = _checked(scores_S, y_S)
    precision, recall, thresholds = precision_recall_curve(y_S, scores_S)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    best = float(thresholds[f1[:-1].argmax()])
    lower = scores_S[scores_S < best]
    middle = (best + float(lower.max())) / 2 if len(lower) else best
    return middle if not len(lower) or middle > lower.max() else best


def _checked(scores_S: np.ndarray, y_S: np.ndarray) -> Int[np.ndarray, " S"]:
    broken = int(np.isnan(scores_S).sum())
    if broken:
        raise ProbeError(f"{broken} of {len(scores_S)} scores are NaN (spans without tokens?); leave those items out")
    positives = int((y_S == 1).sum())
    if positives in (0, len(y_S)) or positives + int((y_S == 0).sum()) != len(y_S):
        raise ProbeError(f"{positives} positives among {len(y_S)} items labelled 0 or 1; measuring needs both classes")
    return np.asarray(y_S).astype(np.int64)


class _Ranked(NamedTuple):
    """Items from the highest score down; ``ends_E`` are the last items of runs of equal scores."""

    order_S: np.ndarray
    y_S: np.ndarray
    ends_E: np.ndarray
    flagged: int

    @classmethod
    def of(cls, scores_S: np.ndarray, y_S: np.ndarray, threshold: float) -> _Ranked:
        order_S = np.argsort(-scores_S, kind="stable")
        ends_E = np.flatnonzero(np.append(np.diff(scores_S[order_S]) != 0, True))
        return cls(order_S, y_S[order_S], ends_E, int((scores_S >= threshold).sum()))

    def figures(self, weight_S: np.ndarray) -> tuple[float, float, float, float]:
        """F1, balanced accuracy, AUROC and average precision of weighted items; NaN where a class has no weight."""
        weight_S = weight_S[self.order_S].astype(np.float64)
        hits_S, alarms_S = np.cumsum(weight_S * self.y_S), np.cumsum(weight_S * (1 - self.y_S))
        positives, negatives = hits_S[-1], alarms_S[-1]
        if not positives or not negatives:
            return (np.nan,) * 4
        hit, alarm = (hits_S[self.flagged - 1], alarms_S[self.flagged - 1]) if self.flagged else (0.0, 0.0)
        hits_E, alarms_E = (np.concatenate([[0.0], sums_S[self.ends_E]]) for sums_S in (hits_S, alarms_S))
        precision_E = hits_E[1:] / np.maximum(hits_E[1:] + alarms_E[1:], 1e-300)
        return (
            float(2 * hit / (hit + alarm + positives)),
            float((hit / positives + 1 - alarm / negatives) / 2),
            float(np.trapezoid(hits_E, alarms_E) / (positives * negatives)),
            float(np.diff(hits_E) @ precision_E / positives),
        )


def _figure(value: float, replicates_R: np.ndarray, groups: int, floor: float) -> Figure:
    if value in (0, 1):
        return Figure(value, floor, 1.0) if value else Figure(value, 0.0, 2 * (1 - floor) / (2 - floor))
    replicates_R = replicates_R[~np.isnan(replicates_R)]
    if groups < 2 or len(replicates_R) < 2:
        return Figure(value, np.nan, np.nan)
    error = replicates_R.std(ddof=1) * np.sqrt(groups / (groups - 1))
    half = stats.t.ppf((1 + LEVEL) / 2, groups - 1) * error / (value * (1 - value))  # d logit(v) = dv / (v (1 − v))
    low, high = special.expit(special.logit(value) + np.array([-half, half]))
    return Figure(value, float(low), float(high))


def _perfect_floor(y_S: np.ndarray, code_S: np.ndarray) -> float:
    """Lower end for perfect scores: disjoint pairs of a prompt with a positive and another with a negative."""
    with_positive, with_negative = np.unique(code_S[y_S == 1]), np.unique(code_S[y_S == 0])
    either = len(np.union1d(with_positive, with_negative))
    pairs = max(1, min(len(with_positive), len(with_negative), either // 2))
    return float(((1 - LEVEL) / 2) ** (1 / pairs))
