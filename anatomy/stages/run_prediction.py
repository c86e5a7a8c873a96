"""A run's prediction: a predictor fitted to its rows, and the responses that the prediction is taken over."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from anatomy.clusters.assignments import Clusters
from anatomy.clusters.feature_clusters import shift_moments
from anatomy.errors import RunError, SettingsError
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.predictor_specs import PredictorInputs, names, spec_of
from anatomy.prediction.predictors import Predictor
from anatomy.prediction.readouts import Readout, cluster_readout, shift_readout
from anatomy.prediction.response_pool import Pool
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings
from anatomy.stages.run_expectation import stored_concepts


class Prediction(NamedTuple):
    """A predictor fitted to ``data``, and its ``pool``: ``data`` or the model's own responses, with concept scores."""

    run: Run
    settings: AuditSettings
    store: FeatureStore
    clusters: Clusters
    data: Pool
    predictor: Predictor
    pool: Pool
    concepts: Readout

    @classmethod
    def of(cls, run: Run, predictor: str, tilt_c: float) -> Prediction:
        """The prediction of an audited run by a predictor.

        Raises:
            SettingsError: no such predictor, or one over the model's own responses in a run without them.
        """
        settings, store = run.settings, run.features
        spec = spec_of(predictor)
        if spec.reads_log_probs is not None:
            known = ", ".join(names(reads_log_probs=None))
            part = "; what rows do to sharpened is `activations`" if predictor == "sharpened" else ""
            raise SettingsError(f"predictor {predictor} cannot be traced to rows; use one of {known}{part}")
        fitting = spec.build(PredictorInputs(tilt_c))
        own = run.manifest.stages.get("own")
        if spec.needs_base_rollouts and not (own and own.outputs):
            raise SettingsError(
                f"predictor {predictor} reads the model's own responses; run the audit with --base-rollouts"
            )
        statistics = sorted({"freq", settings.prompt_statistic})
        read = partial(Pool.read, statistics=statistics, tau=settings.tau, residuals=spec.reads_residuals)
        data = pool = read(store)
        if spec.needs_base_rollouts:
            pool = read(run.own_features)
        concepts, _ = stored_concepts(run, own=spec.needs_base_rollouts)
        return cls(run, settings, store, run.clusters, data, fitting.fit(data), pool, concepts)

    def responses(self, min_features: int = 1) -> Readout:
        """Response clusters of every response of the pool, in the predictor's statistic."""
        return cluster_readout(self.pool, self.clusters.response_F, self.predictor.statistic, min_features)

    def one(self, name: str) -> Readout:
        """One response cluster (R12), shift cluster (S3) or concept.

        Raises:
            RunError: there is none of this name.
        """
        if name in self.concepts.ids:
            return _column(self.concepts, name)
        if name.startswith("S"):
            statistic = self.settings.prompt_statistic
            std_F = shift_moments(self.store.shards(), statistic).std_F
            readout = shift_readout(self.pool, self.clusters.shift_F, std_F, statistic)
        else:
            readout = self.responses()
        if name not in readout.ids:
            known = [f"{ids[0]} to {ids[-1]}" for ids in (readout.ids,) if ids] + list(self.concepts.ids)
            raise RunError(f"{self.run.path}: no response cluster or concept `{name}`; there are {', '.join(known)}")
        return _column(readout, name)


def _column(readout: Readout, name: str) -> Readout:
    place = list(readout.ids).index(name)
    return Readout([name], np.asarray(readout.values_JM)[:, place : place + 1])
