"""What an intervention on one concept is predicted to do to the others (method.md §1, ``r' = r − λ s_u``).

DPO whose labels are explained away by a concept ``u`` follows the rest of the reward. With ``λ = strength ·
Cov(u, r)/Var(u)`` the concept itself is predicted not to move (strength 1), and every other readout moves by
``Cov(y, r − λ u)``: less of what goes with the concept, whether or not that was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy.prediction.predictors import Rewarding
from anatomy.prediction.readouts import Readout
from anatomy.prediction.response_pool import Pool
from anatomy.prediction.rewards import covariance_weights
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.resampling import jackknife

GROUPS = 20


class Forecast(NamedTuple):
    """Predicted shifts of M readouts as the labels are and with the concept explained away, in the tilt's unit.

    ``half_M`` is the 95 % half-width of ``without_M − predicted_M``: both the labels' prompts and those of the
    responses are taken as a sample. NaN where there are fewer than two prompts.
    """

    predicted_M: Float[np.ndarray, " M"]
    without_M: Float[np.ndarray, " M"]
    half_M: Float[np.ndarray, " M"]


def forecast_weights(
    reward_J: Float[np.ndarray, " J"],
    concept_J: Float[np.ndarray, " J"],
    pool: Pool,
    inside_N: Bool[np.ndarray, " N"],
    strength: float = 1.0,
    within: bool = False,
) -> Float[np.ndarray, "2 J"]:
    """Weights on the responses of ``pool``: of ``Cov(y, r)``, and of ``Cov(y, r − λ u)``.

    Args:
        concept_J: ``u``; where it is the same on all responses, nothing can be explained away by it.
        inside_N: rows of the pool that count.
        strength: 0 takes nothing away, 1 keeps the concept where it is, more pushes it back.
        within: covariances within prompts.
    """
    plain_J, along_J = (covariance_weights(value_J, pool, inside_N, within) for value_J in (reward_J, concept_J))
    variance = float(along_J @ concept_J)
    scale = strength * float(along_J @ reward_J) / variance if variance > 0 else 0.0
    return np.stack([plain_J, plain_J - scale * along_J])


def forecast(
    tilt: Rewarding,
    data: Pool,
    pool: Pool,
    readout: Readout,
    concept_J: Float[np.ndarray, " J"],
    strength: float = 1.0,
    seed: int = 0,
    progress: Callable[[int], object] = lambda done: None,
) -> Forecast:
    """Predicted shifts of ``readout``, over the responses of ``pool``, before and after the concept is explained away.

    The interval is a delete-a-group jackknife over at most 20 groups of prompts, each with the reward fitted anew, by
    Student's t.

    Args:
        pool: ``data`` itself, or the model's own responses; read by ``readout`` and ``concept_J``.
        progress: called with 1 after each fit.
    """
    groups = min(GROUPS, len(np.unique(data.prompts.code_N)), len(np.unique(pool.prompts.code_N)))
    label_N, group_N = grouped(data.prompts, groups, seed), grouped(pool.prompts, groups, seed)
    found = []
    for left_out in (-1, *(range(groups) if groups > 1 else ())):
        kept = np.flatnonzero(label_N != left_out)
        fitted = tilt.fit(data.take(kept))
        weight_2J = forecast_weights(fitted.rewards(pool), concept_J, pool, group_N != left_out, strength, tilt.within)
        found.append(np.asarray(readout.values_JM.T @ weight_2J.T).T)
        progress(1)
    whole_2M, change_GM = found[0], np.array([part[1] - part[0] for part in found[1:]])
    half_M = np.full(whole_2M.shape[1], np.nan)
    if groups > 1:
        half_M = jackknife(change_GM)
    return Forecast(whole_2M[0], whole_2M[1], half_M)


def grouped(prompts: Prompts, groups: int, seed: int) -> Int[np.ndarray, " N"]:
    """A group of each row, of nearly as many prompts each: rows of one prompt are left out together."""
    names, code_N = np.unique(prompts.code_N, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % max(groups, 1))[code_N]
