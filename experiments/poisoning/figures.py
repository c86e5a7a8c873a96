"""Rates, recoveries and their intervals, on arrays alone.

Observations of an arm are an array ``S × G``, seeds and prompts; each number is the share of a prompt's completions
that show a style. *Recovery* is ``(DPO − arm) / (DPO − before)`` in percent, DPO being plain DPO on the poisoned rows:
0 is plain DPO, 100 the model before it (method.md §10). Rates are means over seeds and prompts first, then the ratio
is taken: a mean of ratios would be ruled by the seed with the smallest denominator.

Two intervals of 95 %, which answer two questions. *Prompts*: prompts are drawn again with replacement, the same for all
arms and seeds; what other prompts would have given with these trainings. *Seeds*: Student's t of the seeds' own values;
what other poisoned rows, orders of rows and samples would have given with these prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A value, its interval over prompts, the value of each seed, and the interval over seeds (two or more)."""

    value: float
    prompts: tuple[float, float]
    by_seed: tuple[float, ...]
    seeds: tuple[float, float] | None


def figure(
    what: Callable[..., Any], arms: Sequence[Float[np.ndarray, "S G"]], weight_RG: Float[np.ndarray, "R G"]
) -> Figure:
    """``what`` of the arms' means, with both intervals.

    Args:
        what: a function of as many means as there are arms, elementwise on arrays.
        arms: observations, the same prompts and seeds in each.
    """
    by_seed = np.asarray(what(*(arm_SG.mean(axis=1) for arm_SG in arms)), dtype=np.float64)
    drawn_R = what(*(weight_RG @ arm_SG.mean(axis=0) for arm_SG in arms))
    low, high = np.nanquantile(drawn_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(what(*(arm_SG.mean() for arm_SG in arms)))
    return Figure(value, (float(low), float(high)), tuple(by_seed.tolist()), over_seeds(by_seed))


def over_seeds(values_S: Float[np.ndarray, " S"]) -> tuple[float, float] | None:
    """Student's interval of the mean; None for one seed, or where a seed has no value."""
    if len(values_S) < 2 or not np.isfinite(values_S).all():
        return None
    half = stats.t.ppf((1 + LEVEL) / 2, len(values_S) - 1) * values_S.std(ddof=1) / len(values_S) ** 0.5
    return float(values_S.mean() - half), float(values_S.mean() + half)


def weights(n: int, seed: int = 0) -> Float[np.ndarray, "R G"]:
    """Weights of ``n`` prompts in each bootstrap sample; rows sum to 1."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n


def rate(mean: Any) -> Any:
    """The mean itself."""
    return mean


def rise(before: Any, dpo: Any) -> Any:
    """What plain DPO adds to a rate."""
    return dpo - before


def recovery(before: Any, dpo: Any, arm: Any) -> Any:
    """Percent of the rise that the arm takes back; NaN where nothing rose (method.md §10)."""
    before, dpo, arm = (np.asarray(mean, dtype=np.float64) for mean in (before, dpo, arm))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(dpo > before, 100 * (dpo - arm) / (dpo - before), np.nan)


def mean_recovery(*means: Any) -> Any:
    """Mean recovery over styles, whose means stand one after the other as ``before, dpo, arm``."""
    return np.mean([recovery(*means[start : start + 3]) for start in range(0, len(means), 3)], axis=0)


def is_raised(
    before_SG: Float[np.ndarray, "S G"], dpo_SG: Float[np.ndarray, "S G"], weight_RG: Float[np.ndarray, "R G"]
) -> bool:
    """Whether the interval over prompts of the rise lies above 0; else a recovery would divide by noise."""
    return figure(rise, [before_SG, dpo_SG], weight_RG).prompts[0] > 0
