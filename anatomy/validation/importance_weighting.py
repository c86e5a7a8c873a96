"""The difference between two nearly equal models: their completions, weighted by how likely each model makes them.

The completions of two nearly equal models scatter as much as those of any two. But how much likelier one model makes a
completion than the other is known, not sampled. With ℓ = log π_A(y) − log π_B(y), and y drawn from both models alike,
so from q = (π_A + π_B) / 2,

    E_A φ − E_B φ = E_q [2 tanh(ℓ/2) (φ(y) − b)]    since (π_A − π_B) / q = 2 tanh(ℓ/2), whose mean is 0.

A completion that both models make equally likely has no weight; for models that are far apart, this is the plain
difference of the means (multiple importance sampling by the balance heuristic, Veach and Guibas 1995).

Axes: ``J`` completions (first those of A, then those of B, in one order of prompts and samples), ``N = J / 2``,
``G`` prompts, ``M`` statistics of a completion.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Distance(NamedTuple):
    """How far apart two models are, and whether their weights can be trusted.

    ``nats``: Jeffreys' divergence per completion, KL(A, B) + KL(B, A). ``balance``: the mean weight, which is 0 but for
    chance, over its standard error over prompts; far from 0, the log-probabilities are not those of the models that
    sampled.
    """

    nats: float
    balance: float


def importance_weights(log_ratio_J: Float[np.ndarray, " J"]) -> Float[np.ndarray, " J"]:
    """``2 tanh(ℓ/2)`` of log-probabilities under A minus those under B (nats), in [−2, 2]."""
    return np.asarray(2 * np.tanh(log_ratio_J / 2))


def weighted_difference(
    value_JM: Float[np.ndarray, "J M"],
    log_ratio_J: Float[np.ndarray, " J"],
    baseline_NM: Float[np.ndarray, "N M"],
    code_N: Int[np.ndarray, " N"],
) -> Float[np.ndarray, "G M"]:
    """Difference of two models' means on every prompt, A minus B.

    Args:
        value_JM: statistics of one completion of A for each of N (prompt, sample), then of one of B for each.
        log_ratio_J: log-probability of each completion under A minus that under B, nats.
        baseline_NM: what was to be expected of a completion: anything that does not depend on it.
        code_N: number of the prompt, from 0.
    """
    term_JM = importance_weights(log_ratio_J)[:, None] * (value_JM - np.concatenate([baseline_NM, baseline_NM]))
    n = len(code_N)
    return _prompt_means((term_JM[:n] + term_JM[n:]) / 2, code_N)


def distance(log_ratio_J: Float[np.ndarray, " J"], code_N: Int[np.ndarray, " N"]) -> Distance:
    """Divergence of two models and balance of their weights; the balance is 0 where all weights are."""
    n, weight_J = len(code_N), importance_weights(log_ratio_J)
    mean_G = _prompt_means((weight_J[:n] + weight_J[n:])[:, None], code_N)[:, 0]
    nats = float(log_ratio_J[:n].mean() - log_ratio_J[n:].mean())
    error = float(mean_G.std(ddof=1) / np.sqrt(len(mean_G))) if mean_G.any() else float("inf")
    return Distance(nats, float(mean_G.mean()) / error)


def _prompt_means(value_NM: Float[np.ndarray, "N M"], code_N: Int[np.ndarray, " N"]) -> Float[np.ndarray, "G M"]:
    sum_GM = np.zeros((int(code_N.max()) + 1, value_NM.shape[1]))
    np.add.at(sum_GM, code_N, value_NM)
    return np.asarray(sum_GM / np.bincount(code_N)[:, None])
