"""Which rows carry a predicted shift: contributions that sum to the prediction (method.md §7).

A row contributes its own weighted difference to a difference. To a tilt it contributes the part of the reward that its
label pulled: ``b = scale⁻¹ Σ_i α_i d̃_i``, so ``Cov(y, b·φ) = Σ_i α_i d̃_i · (scale⁻¹ Cov(φ, y))``. A row may carry a
shift of a cluster that does not fire on it, through features that occur together. The covariance is over the data's
responses or the model's own, as the predictor asks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from anatomy.errors import SettingsError
from anatomy.prediction.predictors import Predictor, Rewarding, predict
from anatomy.prediction.readouts import Readout
from anatomy.prediction.response_pool import Pool

SHARES = (0.01, 0.05, 0.10)


class LeaveOut(NamedTuple):
    """Rows to train without: the share of all rows, which, and the shift predicted from the others."""

    share: float
    kind: str  # top or random
    rows: Int[np.ndarray, " R"]
    predicted: float


def contributions(predictor: Predictor, data: Pool, pool: Pool, readout: Readout) -> Float[np.ndarray, " N"]:
    """What each row of ``data`` contributes to the predicted shift of the one column of ``readout``; they sum to it.

    Args:
        pool: the responses that are predicted over, and read by ``readout``: ``data`` itself, or the model's own.

    Raises:
        SettingsError: the predictor is not a sum over labelled rows (controls).
    """
    n = len(data)
    value_J = np.asarray(readout.values_JM, dtype=np.float64)[:, 0]
    if isinstance(predictor, Rewarding):
        return predictor.contributions(data, pool, value_J)
    if predictor.name in ("length", "base-rate"):
        raise SettingsError(f"predictor `{predictor.name}` is a control, not a sum over labelled rows")
    part_J = predictor.weights(data, np.ones(n, bool)) * value_J
    return part_J[:n] + part_J[n:]


def leave_out(
    predictor: Predictor, data: Pool, pool: Pool, readout: Readout, contribution_N: Float[np.ndarray, " N"], seed: int
) -> list[LeaveOut]:
    """The top 1, 5 and 10 % of rows by contribution to the predicted direction, and as many random rows, with the shift
    that the predictor foresees after training without them.
    """
    n, total = len(data), contribution_N.sum()
    order = np.argsort(-contribution_N * np.sign(total or 1.0), kind="stable")
    random = np.random.default_rng(seed).permutation(n)
    found = []
    for share in SHARES:
        count = max(1, round(share * n))
        for kind, ranked in (("top", order), ("random", random)):
            predicted = _without(predictor, data, pool, readout, ranked[count:])
            found.append(LeaveOut(share, kind, ranked[:count], predicted))
    return found


def _without(predictor: Predictor, data: Pool, pool: Pool, readout: Readout, kept: np.ndarray) -> float:
    """The shift predicted from the kept rows' labels, over the same responses where the predictor has a reward."""
    kept = np.sort(kept)
    fitted = predictor.fit(data.take(kept))
    if isinstance(predictor, Rewarding):
        return float(predict(fitted, pool, readout, np.ones(len(pool), bool))[0])
    inside_N = np.zeros(len(data), bool)
    inside_N[kept] = True
    return float(predict(fitted, data, readout, inside_N)[0])
