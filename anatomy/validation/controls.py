"""Negative controls: the agreement with observed shifts that arises when there is nothing to know.

``labels flipped`` exchanges chosen and rejected at random, a whole prompt at a time, and fits the predictor again.
``clusters permuted`` reads the prediction of each cluster from features of another one and keeps the sizes. Both should
be near 0, except for the part of ``sharpened`` that reads no labels. Their spread says how large an r arises by chance
among features that move together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anatomy.hypotheses.null_rates import flip_signs
from anatomy.prediction.predictors import Predictor
from anatomy.prediction.response_pool import Pool
from anatomy.statistics.agreement import pearson

ShiftsOf = Callable[[Predictor], Float[np.ndarray, " X"]]
"""Gives the predicted shifts of a fitted predictor, in the order of the observed ones."""


@dataclass(frozen=True)
class ControlSpread:
    """Mean r over the repetitions of a control, its standard deviation, and the interval that holds 95 % of them."""

    r: float | None
    repetitions: int
    sd: float | None = None
    low: float | None = None
    high: float | None = None


def labels_flipped(
    predictor: Predictor, data: Pool, shifts_of: ShiftsOf, observed_X: np.ndarray, repetitions: int, seed: int
) -> ControlSpread:
    """Spread of r over predictions from labels that are flipped at random."""
    generator = np.random.default_rng(seed)
    flipped = (predictor.fit(data, flip_signs(data.prompts, generator)) for _ in range(repetitions))
    return spread([pearson(shifts_of(fitted), observed_X) for fitted in flipped])


def clusters_permuted(
    labels_F: Int[np.ndarray, " F"],
    shift_F: Float[np.ndarray, " F"],
    observed_M: Float[np.ndarray, " M"],
    kept: Sequence[int],
    repetitions: int,
    seed: int,
) -> ControlSpread:
    """Spread of r over cluster predictions whose features are drawn at random among the clustered ones.

    Args:
        shift_F: predicted shift of each feature.
        kept: cluster numbers (1..M) of ``observed_M``, in its order.
    """
    generator = np.random.default_rng(seed)
    clustered = np.flatnonzero(labels_F)
    found = []
    for _ in range(repetitions):
        mixed_F = np.zeros_like(labels_F)
        mixed_F[clustered] = labels_F[generator.permutation(clustered)]
        size_M = np.maximum(np.bincount(mixed_F, minlength=max(kept) + 1), 1)
        mean_M = np.bincount(mixed_F, shift_F, minlength=max(kept) + 1) / size_M
        found.append(pearson(mean_M[list(kept)], observed_M))
    return spread(found)


def spread(found: Sequence[float]) -> ControlSpread:
    """Spread of the finite values of r."""
    r = np.array([value for value in found if np.isfinite(value)])
    if not len(r):
        return ControlSpread(None, 0)
    low, high = np.quantile(r, [0.025, 0.975])
    return ControlSpread(float(r.mean()), len(r), float(r.std()), float(low), float(high))
