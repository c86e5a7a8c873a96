"""Negative controls: what agreement with the observed shifts looks like where there is nothing to know.

``labels flipped``: chosen and rejected exchanged at random, a whole prompt at a time, and the predictor fitted again.
``clusters permuted``: the prediction of each cluster read from features of another, sizes kept. Both should be near 0,
but for the part of ``sharpened`` that knows no labels; their spread says how large an r arises by chance among features
that move together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anatomy.hypotheses.null_rates import flip_signs
from anatomy.prediction.predictors import Predictor
from anatomy.prediction.response_pool import Pool
from anatomy.statistics.agreement import pearson

ShiftsOf = Callable[[Predictor], Float[np.ndarray, " X"]]
"""The predicted shifts, in the order of the observed ones."""


def labels_flipped(
    predictor: Predictor, data: Pool, shifts_of: ShiftsOf, observed_X: np.ndarray, repetitions: int, seed: int
) -> dict[str, Any]:
    """r of predictions from labels flipped at random."""
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
) -> dict[str, Any]:
    """r of cluster predictions whose features are drawn at random among the clustered ones.

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


def spread(found: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation of r over repetitions, and the interval that holds 95 % of them."""
    r = np.array([value for value in found if np.isfinite(value)])
    if not len(r):
        return {"r": None, "repetitions": 0}
    low, high = np.quantile(r, [0.025, 0.975])
    return {"r": float(r.mean()), "sd": float(r.std()), "low": float(low), "high": float(high), "repetitions": len(r)}
