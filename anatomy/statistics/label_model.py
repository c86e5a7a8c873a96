"""What the other prompts of a set say of each row's label: a linear model of signed signals, cross-fitted.

In the signed frame every label is 1 and a signal u is above 0 where the chosen side shows more of it, so that a ridge
fit of 1 on u without an intercept is a linear model of which side is chosen. A row is predicted by the fit on the nine
tenths of the prompts that do not hold its own; the penalty is chosen among them, leaving out a tenth at a time.
Only the sums ``UᵀU`` and ``Uᵀ1`` of each tenth are needed; memory is signals², time rows × signals².
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.optimize import minimize_scalar
from scipy.special import expit

from anatomy.statistics.effects import mean_effects
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.shares import unanimous_ends

FOLDS = 10
FLIPS = 100
NORMAL = 1.96
PENALTIES = np.logspace(-4, 2, 7)
"""Penalties that are tried, as multiples of the rows: a signal of mean square 1 adds 1 a row to the Gram matrix."""
BLOCK = 4096
"""Rows that are held as 64-bit numbers at once."""


class LabelAgreement(NamedTuple):
    """Share of the labels that are predicted, its 95 % interval, and p against labels at random; 0.5 is chance."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class LabelModel:
    """The prediction for each row by a fit without its prompt: above 0 where it agrees with the label.

    ``weight_KM`` are the weights of each fold's fit and ``fold_N`` the fold that a row was left out with.
    """

    score_N: Float[np.ndarray, " N"]
    weight_KM: Float[np.ndarray, "K M"]
    fold_N: Int[np.ndarray, " N"]
    agreement: LabelAgreement

    @cached_property
    def probability_N(self) -> Float[np.ndarray, " N"]:
        """Probability of each row's label: a logistic function of the score, with one slope that all rows decide."""
        score_N = self.score_N / (float(np.sqrt(np.mean(self.score_N**2))) or 1.0)

        def loss(slope: float) -> float:
            return float(np.logaddexp(0, -slope * score_N).mean())

        return np.asarray(expit(minimize_scalar(loss, bounds=(0, 50), method="bounded").x * score_N))

    def parts(self, u_NM: Num[np.ndarray, "N M"], rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n M"]:
        """What each signal adds to the score of some rows; the parts of a row sum to its score."""
        return np.asarray(u_NM[rows].astype(np.float64) * self.weight_KM[self.fold_N[rows]])


def units(u_NM: Num[np.ndarray, "N M"]) -> Float[np.ndarray, " M"]:
    """What brings each signal to a mean square of 1 over the rows; 0 for one that is 0."""
    size_M = np.sqrt(np.mean(u_NM.astype(np.float64) ** 2, axis=0))
    return np.asarray(np.divide(1.0, size_M, out=np.zeros_like(size_M), where=size_M > 0))


def label_model(u_NM: Num[np.ndarray, "N M"], frame: RowFrame, seed: int = 0) -> LabelModel:
    """Predict each row's label from signed signals, by a model that has not seen its prompt.

    The agreement is the AUC within pairs of unseen prompts (ties count half). Fits of different folds share most of
    their rows, so that errors by prompt and text alone are too small: they are scaled by how much more the agreement
    varies when whole prompts' labels are flipped at random than such errors say, which also gives p.

    Args:
        u_NM: signed signals, whose sign follows the labels (not centred); their scale does not matter.
        frame: prompts and response texts of the same rows.
        seed: seed of the flips.

    Raises:
        ValueError: the rows have one prompt.
    """
    prompts = frame.prompts
    if len(prompts.half_G) < 2:
        raise ValueError("no other prompt to learn from")
    unit_M = units(u_NM)
    flip_GR = np.random.default_rng(seed).integers(0, 2, (len(prompts.half_G), FLIPS)) * 2 - 1
    label_NR = np.concatenate([np.ones((len(u_NM), 1)), flip_GR[prompts.code_N]], axis=1)
    fold_N = np.asarray(prompts.rank_N % min(FOLDS, len(prompts.half_G)))
    of_fold = [np.flatnonzero(fold_N == fold) for fold in range(fold_N.max() + 1)]
    folds = [_sums(u_NM, unit_M, label_NR, rows) for rows in of_fold]
    score_NR, weights = np.empty(label_NR.shape), []
    for rows, left in zip(of_fold, folds, strict=True):
        weight_MR = unit_M[:, None] * _weights([part for part in folds if part is not left])
        weights.append(weight_MR[:, 0])
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            score_NR[part] = (u_NM[part].astype(np.float64) @ weight_MR) * label_NR[part]
    return LabelModel(score_NR[:, 0].copy(), np.stack(weights), fold_N, _agreement(score_NR, frame))


def _agreement(score_NR: np.ndarray, frame: RowFrame) -> LabelAgreement:
    """How far the first column agrees with its labels; the others are of labels at random."""
    found = mean_effects(np.sign(score_NR), frame)
    half_R, value_R = (found.high - found.low) / 4, (1 + found.effect) / 2
    usual = np.sqrt(np.nanmean((half_R[1:] / NORMAL) ** 2)) if np.isfinite(half_R[1:]).any() else np.nan
    wider = max(1.0, float(value_R[1:].std() / usual)) if usual > 0 else 1.0
    low, high = np.clip(value_R[0] + wider * half_R[0] * np.array([-1, 1]), 0, 1)
    if np.isnan(low):
        low, high = unanimous_ends(value_R[0], bool(score_NR[:, 0].any()), frame.prompts)
    p = (1 + np.sum(value_R[1:] >= value_R[0])) / len(value_R)  # labellings that are predicted as well as the real one
    return LabelAgreement(float(value_R[0]), float(low), float(high), float(p))


class _FoldSums(NamedTuple):
    """``UᵀU``, ``Uᵀy`` for each labelling y, and the number of rows of one fold."""

    gram_MM: np.ndarray
    sum_MR: np.ndarray
    rows: int

    def plus(self, other: _FoldSums, sign: int = 1) -> _FoldSums:
        gram_MM, sum_MR = self.gram_MM + sign * other.gram_MM, self.sum_MR + sign * other.sum_MR
        return _FoldSums(gram_MM, sum_MR, self.rows + sign * other.rows)


def _sums(u_NM: np.ndarray, unit_M: np.ndarray, label_NR: np.ndarray, rows: np.ndarray) -> _FoldSums:
    total = _FoldSums(np.zeros((len(unit_M), len(unit_M))), np.zeros((len(unit_M), label_NR.shape[1])), 0)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        z_nM = u_NM[part].astype(np.float64) * unit_M
        total = total.plus(_FoldSums(z_nM.T @ z_nM, z_nM.T @ label_NR[part], len(part)))
    return total


def _weights(folds: list[_FoldSums]) -> np.ndarray:
    """Weights [M, R] of the fit on all ``folds``, with the penalty that predicts each of them best from the others."""
    total = reduce(_FoldSums.plus, folds)
    error_PR = np.zeros((len(PENALTIES), total.sum_MR.shape[1]))
    for left in folds if len(folds) > 1 else []:
        for place, weight_MR in enumerate(_ridge(total.plus(left, -1), PENALTIES)):
            fitted_R = (weight_MR * (left.gram_MM @ weight_MR)).sum(axis=0)
            error_PR[place] += fitted_R - 2 * (weight_MR * left.sum_MR).sum(axis=0)
    best_R = error_PR[::-1].argmin(axis=0)  # of equals the largest penalty
    chosen = list(_ridge(total, PENALTIES[::-1]))
    return np.stack([chosen[best][:, place] for place, best in enumerate(best_R)], axis=1)


def _ridge(sums: _FoldSums, penalties: np.ndarray) -> Iterator[np.ndarray]:
    """Weights [M, R] at each penalty in turn."""
    value_M, vector_MM = np.linalg.eigh(sums.gram_MM)
    turned_MR = vector_MM.T @ sums.sum_MR
    for penalty in penalties:
        yield vector_MM @ (turned_MR / (np.maximum(value_M, 0) + penalty * sums.rows)[:, None])
