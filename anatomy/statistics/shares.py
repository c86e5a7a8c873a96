"""Shares of rows, and differences of two shares, whose rows are dependent within a prompt: 95 % intervals.

All that is needed are sums over each prompt, or over groups of prompts, which are independent as well.

A share has the interval of Korn & Graubard (1998): Clopper & Pearson's for as many independent rows as would have the
variance that is found between prompts, ``n* = p (1 − p) n / (n − 1) / v · (t_{n−1} / t_df)²``; it is n if no two rows
share a prompt, and the level is kept if a share is near 0 or 1. If fewer than ten prompts have a row with the property,
or without, the variance says little, and rows of one prompt count as one: n* is at most ``1 / Σ w²`` (Kish).

A difference of the shares of two sides of the same rows is ``q (2w − 1)``: q is the share of rows whose sides differ, w
that of these in which the first side has the property. Its interval is the wider of Student's for the mean difference
and ``q (2w − 1)`` at the ends of w's interval: the first is too narrow where few rows differ, the second where all do
in one direction. So a difference is never significant where w is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import special

from anatomy.statistics.clustered import clustered_mean, half_width, power_sums
from anatomy.statistics.prompts import Prompts

LEVEL = 0.95
FEW_PROMPTS = 10


class ShareInterval(NamedTuple):
    """A share or a difference of shares, and the ends of its 95 % interval; NaN where there is no row."""

    value: float
    low: float
    high: float


NOTHING = ShareInterval(np.nan, np.nan, np.nan)


def unanimous_ends(
    share: float | Float[np.ndarray, " M"], decided: bool | Bool[np.ndarray, " M"], prompts: Prompts
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the 95 % interval of a share in which every row is alike, so that nothing varies: exact over prompts.

    If nothing is ``decided`` (all are ties), the share is chance itself.
    """
    tail = np.where(decided, 0.025 ** (1 / len(prompts.half_G)), 1)
    return share * tail, 1 - (1 - share) * tail


def clustered_share(hits_G: Shaped[np.ndarray, " G"], size_G: Shaped[np.ndarray, " G"]) -> ShareInterval:
    """Share of rows with a property, from each prompt's rows with it (half of a row counts half) and rows."""
    hits_G, size_G = hits_G[size_G > 0].astype(np.float64), size_G[size_G > 0].astype(np.float64)
    rows = size_G.sum()
    if rows == 0:
        return NOTHING
    share = hits_G.sum() / rows
    effective = _effective(share, hits_G, size_G)
    hits, tail = share * effective, (1 - LEVEL) / 2
    low = special.betaincinv(hits, effective - hits + 1, tail) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, effective - hits, 1 - tail) if hits < effective else 1.0
    return ShareInterval(float(share), float(low), float(high))


def clustered_difference(
    first_G: Shaped[np.ndarray, " G"], second_G: Shaped[np.ndarray, " G"], size_G: Shaped[np.ndarray, " G"]
) -> ShareInterval:
    """Share of the first side minus that of the second, from each prompt's rows in which only that side has it."""
    kept = size_G > 0
    first_G, second_G, size_G = (sums[kept].astype(np.float64) for sums in (first_G, second_G, size_G))
    rows = size_G.sum()
    if rows == 0:
        return NOTHING
    apart_G = first_G + second_G
    if apart_G.sum() == 0:
        bound = clustered_share(apart_G, size_G).high
        return ShareInterval(0.0, -bound, bound)
    mean = (first_G - second_G).sum() / rows
    width = float(half_width(*_error(first_G - second_G, mean, size_G)))
    width = width if np.isfinite(width) else 1 + abs(mean)
    wins, apart = clustered_share(first_G, apart_G), apart_G.sum() / rows
    low, high = (apart * (2 * end - 1) for end in (wins.low, wins.high))
    return ShareInterval(float(mean), float(max(-1, min(low, mean - width))), float(min(1, max(high, mean + width))))


def _effective(share: float, hits_G: np.ndarray, size_G: np.ndarray) -> float:
    """Number of independent rows that would say as much of the share; at most as many as there are."""
    rows = size_G.sum()
    few = min((hits_G > 0).sum(), (hits_G < size_G).sum()) < FEW_PROMPTS
    most = float(rows**2 / (size_G**2).sum() if few else rows)
    error, df = _error(hits_G, share, size_G)
    if not 0 < share < 1 or not error > 0 or not np.isfinite(error):
        return most
    ratio = special.stdtrit(rows - 1, 0.5 + LEVEL / 2) / special.stdtrit(df, 0.5 + LEVEL / 2)
    return float(np.clip(share * (1 - share) * rows / (rows - 1) / error**2 * ratio**2, 1, most))


def _error(sums_G: np.ndarray, mean: float, size_G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of a mean over rows, clustered by prompt, and its degrees of freedom."""
    rows = clustered_mean(power_sums(size_G))
    with np.errstate(invalid="ignore"):
        return np.sqrt(rows.correction * ((sums_G - mean * size_G) ** 2).sum()) / size_G.sum(), rows.df
