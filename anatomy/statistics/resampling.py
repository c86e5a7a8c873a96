"""Prompts drawn again, split in halves and left out in turn: weights on prompts, and intervals from them.

Rows of one prompt are not independent, so prompts are the unit that is resampled. All three schemes are weights ``w``
on prompts: a mean under them is ``Σ_g w_g T_g / Σ_g w_g n_g``, with ``T_g`` a prompt's sum and ``n_g`` its rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
"""Confidence of every interval."""


class Resampling(NamedTuple):
    """Weights on G prompts: bootstrap draws, random halves (0 or 1), and all but one of W groups."""

    draws_BG: Float[np.ndarray, "B G"]
    half_SG: Float[np.ndarray, "S G"]
    without_WG: Float[np.ndarray, "W G"]


def resampling(n_prompts: int, seed: int, draws: int = 1000, splits: int = 20, groups: int = 20) -> Resampling:
    """Draw the weights for ``n_prompts`` prompts; the seed decides all of them."""
    generator = np.random.default_rng(seed)
    draws_BG = generator.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=draws).astype(np.float64)
    order_SG = np.stack([generator.permutation(n_prompts) for _ in range(splits)])
    part_G = generator.permutation(n_prompts) % min(groups, n_prompts)
    without_WG = (part_G[None] != np.arange(part_G.max() + 1)[:, None]).astype(np.float64)
    return Resampling(draws_BG, (order_SG % 2).astype(np.float64), without_WG)


def percentile_interval(
    draws_BM: Float[np.ndarray, "B M"], n_prompts: int
) -> tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """Low and high ends of the expanded percentile interval, which covers like Student's t (Hesterberg 2015).

    Draws in which any column is not finite are left out. Both ends are NaN for a single prompt, or if no draw is left.
    """
    kept = draws_BM[np.isfinite(draws_BM).all(axis=1)]  # draws in which the context (and the rest) has a prompt
    if n_prompts < 2 or not len(kept):
        nothing = np.full(draws_BM.shape[1], np.nan)
        return nothing, nothing
    tail = stats.norm.cdf(np.sqrt(n_prompts / (n_prompts - 1)) * stats.t.ppf((1 - LEVEL) / 2, n_prompts - 1))
    low, high = np.quantile(kept, [tail, 1 - tail], axis=0)
    return low, high


def jackknife(values_W: np.ndarray) -> np.ndarray:
    """Half-width of the 95 % interval of an estimate, from its values with each of W groups left out; [W, …] → […].

    The interval is Student's with W − 1 degrees of freedom.
    """
    n = len(values_W)
    return np.asarray(stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) * values_W.var(axis=0)))


def over_seeds(values_S: Float[np.ndarray, " S"]) -> tuple[float, float] | None:
    """Student's interval of the mean over training seeds; None for one seed, or if a seed has no value."""
    if len(values_S) < 2 or not np.isfinite(values_S).all():
        return None
    half = stats.t.ppf((1 + LEVEL) / 2, len(values_S) - 1) * values_S.std(ddof=1) / len(values_S) ** 0.5
    return float(values_S.mean() - half), float(values_S.mean() + half)
