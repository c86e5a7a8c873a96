"""From labels to a reward that is linear in features, and from a reward to weights on responses (method.md §1)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from anatomy.clusters.feature_clusters import default_min_fires
from anatomy.prediction.response_pool import Pool

Signs = Float[np.ndarray, " N"]


def covariance_weights(
    reward_J: Float[np.ndarray, " J"], pool: Pool, inside_N: Bool[np.ndarray, " N"], within: bool = False
) -> Float[np.ndarray, " J"]:
    """``(r_j − r̄)/J`` over the responses of the rows inside, 0 elsewhere; r̄ of each prompt's own where ``within``."""
    inside_J = pool.of_responses(inside_N)
    code_J = pool.of_responses(pool.prompts.code_N) if within else np.zeros(len(inside_J), np.int64)
    weight_J = np.zeros(len(inside_J))
    weight_J[inside_J] = centred(reward_J[inside_J], code_J[inside_J]) / max(inside_J.sum(), 1)
    return weight_J


def standard(value_J: Float[np.ndarray, " J"]) -> Float[np.ndarray, " J"]:
    """Over their deviation; 0 where they are all the same."""
    deviation = value_J.std()
    return value_J / deviation if deviation > 1e-12 * np.abs(value_J).max() else np.zeros_like(value_J)


def centred(value_J: Float[np.ndarray, " J"], code_J: Int[np.ndarray, " J"]) -> Float[np.ndarray, " J"]:
    """Minus the mean of those with the same code."""
    mean_G = np.bincount(code_J, value_J) / np.maximum(np.bincount(code_J), 1)
    return np.asarray(value_J - mean_G[code_J])


def standardised_differences(data: Pool, sign_N: Signs | None) -> tuple[Float[np.ndarray, " F"], sp.csr_array]:
    """Root mean square of ``D = C − R`` (freq; 0 for features on too few rows), and ``d̃ = D / rms``, [N, F].

    Not centred: swapping chosen and rejected must only change the sign.
    """
    difference = (data.values("chosen", "freq") - data.values("rejected", "freq")).astype(np.float64)
    square_F = np.bincount(difference.indices, difference.data**2, difference.shape[1])
    kept_F = data.fires_F >= default_min_fires(len(data))
    scale_F = np.sqrt(square_F / len(data)) * kept_F
    standard = sp.csr_array(difference @ sp.diags_array(inverse(scale_F)))
    return scale_F, standard if sign_N is None else sp.csr_array(sp.diags_array(sign_N) @ standard)


def bradley_terry(standard_NF: sp.csr_array, c: float) -> Float[np.ndarray, " N"]:
    """Dual weights ``α_i = c σ(−w·d̃_i)`` of ``min_w ½‖w‖² + c Σ_i log(1 + exp(−w·d̃_i))``, so ``w = Σ_i α_i d̃_i``.

    The loss does not change when a pair's two sides and its label are swapped, so every other pair is swapped to give
    the classifier two classes.
    """
    from sklearn.linear_model import LogisticRegression

    turn_N = np.where(np.arange(standard_NF.shape[0]) % 2, -1.0, 1.0)
    turned = sp.csr_array(sp.diags_array(turn_N) @ standard_NF)
    model = LogisticRegression(C=c, fit_intercept=False, tol=1e-10, max_iter=5000)
    margin_N = standard_NF @ model.fit(turned, turn_N).coef_[0]
    return np.asarray(c / (1 + np.exp(margin_N)))


def inverse(scale_F: Float[np.ndarray, " F"]) -> Float[np.ndarray, " F"]:
    """``1/scale``, and 0 where the scale is 0."""
    return np.asarray(np.divide(1.0, scale_F, out=np.zeros_like(scale_F), where=scale_F > 0))
