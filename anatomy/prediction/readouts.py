"""What is read of a response: features, clusters, concepts.

A *readout* gives every response one number per name: the mean, over the features of a cluster, of their firing
frequency (``freq``), of their presence (``present``: frequency > τ) or of their standardised value (shift clusters),
or a concept's score. A shift, predicted or observed, is a change of the mean of a readout; all of them are in the
readout's own unit per response, so that predicted and observed ones can be compared.

Memory is rows × names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from anatomy.clusters.feature_clusters import SIGMA_FLOOR
from anatomy.clusters.label_ids import membership, sizes
from anatomy.prediction.response_pool import Pool, flat


class Cut(NamedTuple):
    """Score from which on a response is flagged (None: the detector has no threshold), and deviation of the scores."""

    threshold: float | None
    spread: float


class Readout(NamedTuple):
    """Names and, per response of a pool, one number each."""

    ids: Sequence[str]
    values_JM: Float[np.ndarray, "J M"] | sp.csr_array

    def difference(self) -> Float[np.ndarray, "N M"] | sp.csr_array:
        """Chosen minus rejected, for a pool of pairs."""
        n = self.values_JM.shape[0] // 2
        if sp.issparse(self.values_JM):
            return sp.csr_array(self.values_JM[:n] - self.values_JM[n:])
        return np.asarray(self.values_JM[:n] - self.values_JM[n:])


def feature_readout(pool: Pool, kept_F: Bool[np.ndarray, " F"], statistic: str) -> Readout:
    """The features themselves, named ``f12``."""
    kept = np.flatnonzero(kept_F)
    return Readout([f"f{feature}" for feature in kept], pool.responses(statistic)[:, kept])


def cluster_readout(pool: Pool, labels_F: Int[np.ndarray, " F"], statistic: str, min_features: int = 1) -> Readout:
    """Mean over the features of each response cluster of ``min_features`` or more, named ``R12``.

    With ``present`` the difference of the two sides is ``u``, with ``freq`` ``v`` over the size (method.md §5).
    """
    size_M = sizes(labels_F)
    kept = np.flatnonzero(size_M >= min_features)
    values = (pool.responses(statistic) @ (membership(labels_F) / np.maximum(size_M, 1))).toarray()
    return Readout([f"R{m + 1}" for m in kept], values[:, kept].astype(np.float32))


def shift_readout(
    pool: Pool, labels_F: Int[np.ndarray, " F"], std_F: Float[np.ndarray, " F"], statistic: str
) -> Readout:
    """Mean of a feature's value over ``std_F`` (deviation of D in the data) in each shift cluster, named ``S3``.

    The difference of the sides is ``u`` of method.md §6 before centring.
    """
    weight_FM = sp.diags_array(1 / np.maximum(std_F, SIGMA_FLOOR)) @ membership(labels_F)
    values = (pool.responses(statistic) @ sp.csr_array(weight_FM / np.maximum(sizes(labels_F), 1))).toarray()
    return Readout([f"S{m + 1}" for m in range(values.shape[1])], values.astype(np.float32))


def concept_readout(
    names: Sequence[str], scores: Sequence[Float[np.ndarray, "N S"]], cuts: Sequence[Cut], n_responses: int
) -> Readout:
    """Scores of concepts: 1 for a flagged response, so that means are shares of responses, else the score
    over its deviation. Without concepts it has ``n_responses`` rows and no column.
    """
    columns = [
        flat(score_NS >= cut.threshold if cut.threshold is not None else score_NS / cut.spread)
        for score_NS, cut in zip(scores, cuts, strict=True)
    ]
    values = np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((n_responses, 0), np.float32)
    return Readout(list(names), values)
