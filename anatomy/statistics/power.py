"""How large a context must be: the prompts that a comparison of inside and outside needs to find a standard effect.

The standard effect is 40 points of win rate, in a response in which the sides of half of the pairs differ: a signal of
+1, −1 and 0, whose mean shifts by ``2·0.40·0.5`` and whose standard deviation is ``√0.5``, so ``d = 0.57``. It is the
only one among all tests of a view, so its p must reach ``q / tests``; rows of a prompt are taken to agree wholly, so
that prompts count and not rows. It is found in 80 % of the cases where ``d`` exceeds the standard error of the
difference times Student's quantile for that p plus the normal one for 80 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from anatomy.statistics.moderated import PRIOR

POINTS, DIFFER = 40.0, 0.5
"""The standard effect: points of win rate, and the share of pairs whose sides differ."""
POWER = 0.8
LEVEL = 0.05
LARGEST_SHARE = 1 / 8
"""Share of the prompts that a context may need: in a small set it is held to this, and finds only larger effects."""
FEWEST = 10
LEVELS = (1, 4, 16)
"""How many times fewer contexts each level of the tree has."""


def detectable_points(size: int, n_prompts: int, tests: int, level: float = LEVEL) -> float:
    """Points of win rate that are found in 80 % of cases in a context of ``size`` of the prompts; may exceed 100."""
    if not 0 < size < n_prompts or tests < 1:
        return math.nan
    quantile = -special.stdtrit(size - 1 + PRIOR, level / (2 * tests)) + special.ndtri(POWER)
    d = quantile * math.sqrt(1 / size + 1 / (n_prompts - size))
    return float(100 * d / (2 * math.sqrt(DIFFER)))


def context_size(n_prompts: int, responses: int, contexts: int | None = None) -> int:
    """Prompts of the smallest context in which the standard effect is found in 80 % of cases.

    Args:
        n_prompts: prompts of the rows that are tested.
        responses: signals that are tested in each context.
        contexts: how many there are; default: as many as the prompts give, and those of the coarser levels.
    """
    most = max(FEWEST, int(n_prompts * LARGEST_SHARE))
    share = sum(1 / level for level in LEVELS)

    def enough(size: int) -> bool:
        tests = max(1, responses) * (contexts or math.ceil(share * n_prompts / size))
        return detectable_points(size, n_prompts, tests) <= POINTS

    return _first(enough, FEWEST, most)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first whole number from ``low`` on that holds, by halving; ``high`` where none below it does."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def context_count(n_prompts: int, size: int) -> int:
    """Contexts of ``size`` prompts on average: at least 2, at most the paper's 512."""
    return int(np.clip(n_prompts // max(size, 1), 2, 512))
