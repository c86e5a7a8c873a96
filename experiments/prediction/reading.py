"""One validated training of a set, read for a closer look: its pools, and the observed shift of all that is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy import artifacts
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.response_pool import Pool, Readout, cluster_readout, feature_readout
from anatomy.rollouts.log_probs import read_log_probs
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings
from anatomy.stages import read_clusters

VIEWS = ("global", "features")


class Validated(NamedTuple):
    """The data's pool, the model's own responses (each twice, as chosen and as rejected), and observed shifts.

    ``observed`` is by view, in the order of ``readout(pool, view).ids``; ``likely_N2`` and ``data_likely_N2`` are the
    mean log-probabilities per token of the own responses and of the data's, where predictors asked for them.
    """

    data: Pool
    own: Pool
    labels_F: Int[np.ndarray, " F"]
    kept_F: Bool[np.ndarray, " F"]
    min_features: int
    observed: Mapping[str, Float[np.ndarray, " M"]]
    likely_N2: Float[np.ndarray, "N 2"] | None = None
    data_likely_N2: Float[np.ndarray, "N 2"] | None = None

    def readout(self, pool: Pool, view: str) -> Readout:
        """Frequencies of features, or of response clusters."""
        if view == "features":
            return feature_readout(pool, self.kept_F, "freq")
        return cluster_readout(pool, self.labels_F, "freq", self.min_features)


def read(run: Run, validated: Path) -> Validated:
    """What ``anatomy validate --base-rollouts`` left in ``validated``."""
    settings = AuditSettings.model_validate(run.manifest["settings"])
    original = FeatureStore(run.file(artifacts.FEATURES))
    cut = validated / "data-features"
    data = Pool.read(FeatureStore(cut) if cut.is_dir() else original, ["freq"], settings.tau, residuals=True)
    own = Pool.read(FeatureStore(validated / "base-features"), ["freq"], settings.tau, residuals=True)
    labels_F = read_clusters(run, original).response_F
    shifts = artifacts.read_table(validated / artifacts.SHIFTS).to_pandas()
    shifts = shifts[(shifts["predictor"] == "tilt") & (shifts["context"] == "all")]
    seen = {view: shifts[shifts["view"] == view].set_index("response")["observed"] for view in VIEWS}
    kept_F = np.isin(np.arange(len(labels_F)), [int(name[1:]) for name in seen["features"].index])
    likely = [read_log_probs(validated / name) if (validated / name).is_dir() else None
              for name in (artifacts.OWN_LOG_PROBS, artifacts.LOG_PROBS)]  # fmt: skip
    found = Validated(data, own, labels_F, kept_F, settings.min_features, {}, *likely)
    observed = {view: seen[view].loc[list(found.readout(own, view).ids)].to_numpy() for view in VIEWS}
    return found._replace(observed=observed)
