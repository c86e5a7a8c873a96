"""How much of the label is explained: labels of unseen prompts, predicted from length, concepts, clusters and features.

Each family of signals has a cross-fitted model of its own (``label_model.py``), and so have all of them together. What
they add to length is what content says of the labels; what all of them leave is noise of the labels, or content that
neither the SAE nor the concepts can express.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import scipy.sparse as sp

from anatomy.clusters.feature_clusters import Shard, of_rows
from anatomy.hypotheses.run_signals import Signals
from anatomy.hypotheses.signals import above
from anatomy.statistics.label_model import LabelAgreement, label_model
from anatomy.statistics.nuisance import nuisance

MOST_ROWS = 20_000
"""Rows that are read, in the order of the hashes of their prompts."""
COMPONENTS = 200
"""Directions in which features vary most, whatever the labels are."""


def explained(
    signals: Signals, shards: Callable[[], Iterable[Shard]], tau: float, seed: int
) -> dict[str, LabelAgreement]:
    """Return the share of labels of unseen prompts that each family predicts (0.5: none), by its name.

    Families: ``length``, ``concepts`` (if any were scored), ``clusters`` (response clusters), ``features`` (the
    differences of all SAE features in their 200 strongest directions) and ``all``. Empty for a single prompt.

    Args:
        signals: the signals of all rows.
        shards: gives a pass over the rows' pooled features.
        tau: share of a response's tokens on which a feature must fire to be present.
        seed: seed of the flips, and of the directions.
    """
    frame = signals.frame
    if len(frame.prompts.half_G) < 2:
        return {}
    rows = np.sort(np.argsort(frame.prompts.rank_N, kind="stable")[:MOST_ROWS])
    frame = frame.take(rows)
    named_M = np.isin(np.asarray(signals.disparity.ids, dtype=str), list(signals.concept_ids))
    u_nM = signals.disparity.values_NM[rows]
    families = {
        "length": nuisance(frame).length_NL,
        "concepts": u_nM[:, named_M],
        "clusters": u_nM[:, ~named_M],
        "features": _directions(shards(), rows, tau, seed),
    }
    found = {name: part for name, part in families.items() if part.shape[1]}
    if len(found) > 1:
        found["all"] = np.hstack(list(found.values()))
    return {name: label_model(part, frame, seed).agreement for name, part in found.items()}


def _directions(shards: Iterable[Shard], rows: np.ndarray, tau: float, seed: int) -> np.ndarray:
    """Presence of features in chosen minus rejected, each by its own size, in the directions that vary most.

    The directions are of the uncentred products, which do not change where labels are exchanged.
    """
    from sklearn.decomposition import TruncatedSVD

    def presence(shard: Shard) -> sp.csr_array:
        return sp.csr_array(above(shard.matrix("chosen", "freq"), tau) - above(shard.matrix("rejected", "freq"), tau))

    difference_nF = of_rows(shards, rows, presence)
    size_F = np.sqrt(np.asarray(difference_nF.multiply(difference_nF).mean(axis=0)).ravel())
    kept = np.flatnonzero(size_F)
    components = min(COMPONENTS, len(kept) - 1, len(rows) - 1)
    if components < 1:
        return np.zeros((len(rows), 0))
    scaled_nF = difference_nF[:, kept] @ sp.diags_array(1 / size_F[kept])
    return np.asarray(TruncatedSVD(components, random_state=seed).fit_transform(sp.csr_matrix(scaled_nF)))
