"""q-values of contexts within responses: which responses depend on a context at all, then in which contexts.

The tests of a response over all contexts are a family, whose omnibus p is Simes's: the smallest of ``p_(i)·K/i``. It
inherits prompts, texts and the moderated variance from the tests. Benjamini–Hochberg over the M omnibus p at level α
selects R responses; within each, Benjamini–Hochberg over its contexts at α·R/M decides (Benjamini & Bogomolov 2014).
The expected mean, over the selected responses, of the share of false contexts is at most α, and so is the expected
share of selected responses that depend on no context. A response is selected where one of its contexts is found.

Against one list of all pairs: contexts of a response that depends on many share its significance, and responses that
depend on none do not pay for the number of contexts.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from anatomy.statistics.clustered import q_values


def family_p(p_KM: Float[np.ndarray, "K M"]) -> Float[np.ndarray, " M"]:
    """Simes's p of each response over its contexts; NaN (untested) tests do not count, and a family may have none."""
    sorted_KM = np.sort(p_KM, axis=0)  # NaN last
    place_K1 = np.arange(1, len(p_KM) + 1)[:, None]
    tested_M = (~np.isnan(p_KM)).sum(axis=0)
    scaled_KM = np.where(np.isnan(sorted_KM), np.inf, sorted_KM * tested_M / place_K1)
    least_M = scaled_KM.min(axis=0, initial=np.inf)
    return np.where(tested_M > 0, np.minimum(least_M, 1), np.nan)


def hierarchical_q(p_KM: Float[np.ndarray, "K M"]) -> Float[np.ndarray, "K M"]:
    """The smallest level α at which each test is found; NaN where there is no p.

    At α, responses with an omnibus q of at most α are selected, R of M, and contexts with a q within their response of
    at most ``α·R/M`` are found. Both grow with α.
    """
    family_q = q_values(family_p(p_KM))
    level_R = np.sort(family_q[~np.isnan(family_q)])
    if not level_R.size:
        return np.full(p_KM.shape, np.nan)
    share_R = np.searchsorted(level_R, level_R, side="right") / len(level_R)  # R/M from this level on
    within_KM = np.stack([q_values(p_K) for p_K in p_KM.T], axis=1)
    return np.where(np.isnan(p_KM), np.nan, np.maximum(_reached(within_KM, level_R, share_R), family_q))


def _reached(within_KM: np.ndarray, level_R: np.ndarray, share_R: np.ndarray) -> np.ndarray:
    """The smallest α with ``α·share(α) ≥ within``, ``share`` a step function that rises at each level."""
    step = np.searchsorted(level_R * share_R, within_KM, side="right") - 1  # the last step that is passed
    passed = np.maximum(step, 0)
    alone = within_KM / share_R[passed]  # if no further response has to be selected
    following = np.append(level_R, np.inf)[step + 1]  # the next step may reach it by its jump
    return np.asarray(np.minimum(np.where(step < 0, level_R[0], np.minimum(alone, following)), 1))
