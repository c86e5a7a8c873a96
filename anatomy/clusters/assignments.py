"""Which cluster each feature and each row of a run belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Clusters:
    """Cluster of each feature (``*_F``) and row (``data_N``), 0 for none; cosine of each row to its own centroid."""

    response_F: Int[np.ndarray, " F"]
    shift_F: Int[np.ndarray, " F"]
    prompt_F: Int[np.ndarray, " F"]
    data_N: Int[np.ndarray, " N"]
    cosine_N: Float[np.ndarray, " N"]
