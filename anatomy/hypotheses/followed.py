"""Which concept a cluster follows: its signal goes with the concept's, row by row, on prompts that did not choose it.

The concept is chosen on one half of the prompts and tested on the other, so that a choice from many concepts is not
luck; the interval is by prompt. Signals are centred: two that are rewarded alike do not follow each other for that.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import special

from anatomy.statistics.prompts import Prompts, prompt_totals

FOLLOWS = 0.4
"""The lower end of the 95 % interval of the correlation must reach this, for a cluster to follow a concept."""
LEAST_PROMPTS = 8
"""Prompts of a half in which both signals differ from 0; with fewer, nothing is said."""


def followed(
    values_NM: Num[np.ndarray, "N M"], concept_NC: Num[np.ndarray, "N C"], prompts: Prompts
) -> Int[np.ndarray, " M"]:
    """For each signal the column of the concept that it follows, -1 for none.

    Args:
        values_NM: signed signals of clusters.
        concept_NC: signed signals of concepts, in any unit.
        prompts: of the rows; its halves choose and test.
    """
    n_signals, n_concepts = values_NM.shape[1], concept_NC.shape[1]
    nothing = np.full(n_signals, -1)
    if 0 in (n_signals, n_concepts, len(values_NM)):
        return nothing
    chooses_N = ~prompts.half_N
    if not 1 < int(chooses_N.sum()) < len(values_NM) - 1:
        return nothing
    shown_MC = _standard(values_NM[chooses_N]).T @ _standard(concept_NC[chooses_N]) / chooses_N.sum()
    best_M = shown_MC.argmax(axis=1)
    tests_N = ~chooses_N
    low_M = lower_ends(values_NM[tests_N], concept_NC[tests_N][:, best_M], prompts.take(tests_N))
    return np.where(low_M >= FOLLOWS, best_M, -1)


def lower_ends(u_NM: Num[np.ndarray, "N M"], v_NM: Num[np.ndarray, "N M"], prompts: Prompts) -> Float[np.ndarray, " M"]:
    """Lower ends of the 95 % intervals of the correlation of each pair of columns, by prompt; NaN if nothing is known.

    The interval is symmetric on Fisher's scale, with the variance of the correlation's influence summed by prompt.
    """
    x_NM, y_NM = _standard(u_NM), _standard(v_NM)
    r_M = (x_NM * y_NM).mean(axis=0)
    influence_NM = x_NM * y_NM - r_M * (x_NM**2 + y_NM**2) / 2
    active_GM = prompt_totals((np.abs(u_NM) > 0) & (np.abs(v_NM) > 0), prompts) > 0
    n_prompts = len(prompts.half_G)
    with np.errstate(divide="ignore", invalid="ignore"):
        total_M = (prompt_totals(influence_NM, prompts) ** 2).sum(axis=0) * n_prompts / (n_prompts - 1)
        error_M = np.sqrt(total_M) / len(u_NM) / (1 - r_M**2)
        quantile = special.stdtrit(max(n_prompts - 1, 1), 0.975)
        low_M = np.where(r_M >= 1, 1.0, np.tanh(np.arctanh(np.minimum(r_M, 1)) - quantile * error_M))
    return np.where(active_GM.sum(axis=0) >= LEAST_PROMPTS, low_M, np.nan)


def _standard(values_NM: np.ndarray) -> Float[np.ndarray, "N M"]:
    """Columns with mean 0 and variance 1; a constant column becomes zeros."""
    values_NM = np.asarray(values_NM, dtype=np.float64)
    centred_NM = values_NM - values_NM.mean(axis=0)
    spread_M = centred_NM.std(axis=0)
    return np.asarray(centred_NM / np.where(spread_M > 0, spread_M, 1))
