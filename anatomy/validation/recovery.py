"""Recovery: the part of plain DPO's change that an arm takes back, with intervals; on arrays alone (method.md §10).

Observations of an arm are an array ``S × G × M``: seeds, prompts, and readouts of a completion (the share that shows a
style, a cluster's activity). *Recovery* is ``(DPO − arm) / (DPO − before)`` in percent: 0 is plain DPO on the same
rows, 100 is the model before it. The ratio is of means over seeds and prompts; in a mean of ratios, the seed with the
smallest denominator would dominate.

Two 95 % intervals answer two questions. *Prompts*: prompts are drawn again with replacement, alike for all arms and
seeds; the interval says what other prompts would have given with these trainings. *Seeds*: Student's t of the seeds'
values; the interval says what other orders of rows and other samples would have given with these prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anatomy.artifacts import OrNaN
from anatomy.statistics.resampling import over_seeds, percentile_interval

RESAMPLES = 2000


@dataclass(frozen=True)
class ArmEstimate:
    """A value, its interval over prompts, the value of each seed, and the interval over seeds (None for one seed)."""

    value: OrNaN
    low: OrNaN
    high: OrNaN
    by_seed: tuple[OrNaN, ...]
    seeds: tuple[OrNaN, OrNaN] | None


def estimates(
    what: Callable[..., Any], arms: Sequence[Float[np.ndarray, "S G M"]], weight_RG: Float[np.ndarray, "R G"]
) -> list[ArmEstimate]:
    """``what`` of the arms' means, with both intervals; one estimate for each number in its last axis.

    Args:
        what: a function of one mean ``[..., M]`` for each arm.
        arms: observations of each arm, with the same prompts and seeds.
        weight_RG: weights of the prompts in each bootstrap sample.
    """
    value_X = np.asarray(what(*(arm.mean(axis=(0, 1)) for arm in arms)), dtype=np.float64)
    by_seed_SX = np.asarray(what(*(arm.mean(axis=1) for arm in arms)), dtype=np.float64)
    drawn_RX = np.asarray(what(*(weight_RG @ arm.mean(axis=0) for arm in arms)), dtype=np.float64)
    low_X, high_X = _ends(drawn_RX, weight_RG.shape[1])
    return [
        ArmEstimate(float(value), float(low), float(high), tuple(by_seed_S.tolist()), over_seeds(by_seed_S))
        for value, low, high, by_seed_S in zip(value_X, low_X, high_X, by_seed_SX.T, strict=True)
    ]


def _ends(drawn_RX: Float[np.ndarray, "R X"], n_prompts: int) -> Float[np.ndarray, "2 X"]:
    """Intervals, each over the draws in which its own number is finite."""
    ends_2X = np.empty((2, drawn_RX.shape[1]))
    whole_X = np.isfinite(drawn_RX).all(axis=0)
    ends_2X[:, whole_X] = percentile_interval(drawn_RX[:, whole_X], n_prompts)
    for place in np.flatnonzero(~whole_X):
        ends_2X[:, [place]] = percentile_interval(drawn_RX[:, [place]], n_prompts)
    return ends_2X


def estimate(
    what: Callable[..., Any], arms: Sequence[Float[np.ndarray, "S G"]], weight_RG: Float[np.ndarray, "R G"]
) -> ArmEstimate:
    """:func:`estimates` of a single number."""
    return estimates(what, [arm_SG[..., None] for arm_SG in arms], weight_RG)[0]


def weights(n: int, seed: int = 0) -> Float[np.ndarray, "R G"]:
    """Weights of ``n`` prompts in each bootstrap sample; rows sum to 1."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n


def rate(mean: Any) -> Any:
    """The mean itself."""
    return mean


def rise(before: Any, dpo: Any) -> Any:
    """The part of a mean that plain DPO adds."""
    return dpo - before


def recovery(before: Any, dpo: Any, arm: Any) -> Any:
    """Percent of the rise that the arm takes back; NaN if nothing rose (method.md §10).

    For a mean that fell, pass all three with the other sign.
    """
    before, dpo, arm = (np.asarray(mean, dtype=np.float64) for mean in (before, dpo, arm))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(dpo > before, 100 * (dpo - arm) / (dpo - before), np.nan)


def mean_recovery(before: Any, dpo: Any, arm: Any) -> Any:
    """Mean recovery over the last axis, which is kept with length 1."""
    return recovery(before, dpo, arm).mean(axis=-1, keepdims=True)


def pooled_recovery(before: Any, dpo: Any, arm: Any) -> Any:
    """Recovery of the sum over the last axis, which is kept with length 1: a mean that weighs each by its rise.

    A plain average over many means would be dominated by the few that hardly rose.
    """
    return recovery(*(np.sum(mean, axis=-1, keepdims=True) for mean in (before, dpo, arm)))


def moved(
    before_SGM: Float[np.ndarray, "S G M"], dpo_SGM: Float[np.ndarray, "S G M"], weight_RG: Float[np.ndarray, "R G"]
) -> Int[np.ndarray, " M"]:
    """1 if plain DPO raised a mean, −1 if it lowered it, 0 if the interval over prompts contains 0.

    If it is 0, a recovery would divide by noise.
    """
    low_M, high_M = _ends(weight_RG @ (dpo_SGM - before_SGM).mean(axis=0), weight_RG.shape[1])
    return np.asarray((low_M > 0).astype(int) - (high_M < 0).astype(int))
