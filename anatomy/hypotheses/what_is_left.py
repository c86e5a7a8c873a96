"""What an effect survives: whether the labels prefer it by itself, or length or authorship explains it."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from anatomy.statistics.adjustment import Adjusted, Adjustments

Survival = Literal["holds", "mostly length", "mostly author", "undecided"]
SURVIVALS: tuple[Survival, ...] = get_args(Survival)
HOLDS, LENGTH, AUTHOR, UNDECIDED = SURVIVALS

SUPPORT = 0.05
"""Share of the label that length and authors must leave open for anything to be said."""


def survival(effect: np.ndarray, adjustments: Adjustments) -> np.ndarray:
    """A word of :data:`SURVIVALS` for each raw effect; arrays of one shape.

    *holds*: adjusted for both, the 95 % interval lies on the side of the raw effect. *mostly length*, *mostly author*:
    adjusted for it, the interval excludes half of the raw effect (times the support, since that is what an effect
    that has nothing to do with length or authors keeps). If both do, the one that leaves less is named.
    """
    with np.errstate(invalid="ignore"):
        length, author = _left(effect, adjustments.length), _left(effect, adjustments.author)
        both = adjustments.both
        holds = (both.support >= SUPPORT) & (np.where(effect > 0, both.low, -both.high) > 0) & (effect != 0)
        first = np.fmin(length, author)
        cases = [holds, np.isfinite(length) & (length == first), np.isfinite(author) & (author == first)]
        return np.select(cases, [HOLDS, LENGTH, AUTHOR], UNDECIDED)


def _left(effect: np.ndarray, adjusted: Adjusted) -> np.ndarray:
    """The share of the effect that is left, where it is shown to be less than half; else NaN."""
    sign = np.sign(effect)
    highest = np.where(sign > 0, adjusted.high, -adjusted.low)
    explained = (adjusted.support >= SUPPORT) & (highest < adjusted.support * np.abs(effect) / 2)
    return np.where(explained, sign * adjusted.effect / np.abs(effect), np.nan)
