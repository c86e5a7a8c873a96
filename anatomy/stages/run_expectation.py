"""What shift an audit leads to expect, where a calibration of the model exists; and the scores of its concepts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.concepts.scores import read_scores
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.calibration import Calibration, read_calibration
from anatomy.prediction.expected_shift import DEVIATIONS, POINTS, TOKENS, Expected, Unit, expected_shifts
from anatomy.prediction.predictor_specs import PredictorInputs, spec_of
from anatomy.prediction.response_pool import Cut, Pool, Readout, cluster_readout, concept_readout
from anatomy.rollouts.log_probs import read_log_probs
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings


def stored_concepts(run: Run, where: str = artifacts.SCORES) -> tuple[Readout, dict[str, Unit]]:
    """The concepts that the run scored, and their units.

    Args:
        where: the scores of the run's rows, or of the model's own responses; thresholds and deviations are the rows'.
    """
    facts = run.concepts
    spreads = [float(read_scores(run.file(artifacts.SCORES) / name).score_NS.std()) or 1.0 for name in facts]
    cuts = [Cut(fact.threshold, spread) for fact, spread in zip(facts.values(), spreads, strict=True)]
    scores = [read_scores(run.file(where) / name).score_NS for name in facts]
    units = {name: DEVIATIONS if fact.threshold is None else POINTS for name, fact in facts.items()}
    return concept_readout(list(facts), scores, cuts), units


def calibration_of(settings: AuditSettings, model_fingerprint: str, sae_fingerprint: str) -> Calibration | None:
    """The calibration that the settings name; to be asked for before anything expensive.

    Raises:
        SettingsError: it does not fit the model, the SAE or these settings.
    """
    if settings.calibration is None:
        return None
    window, has_own = settings.max_response_length, settings.base_rollouts is not None
    return read_calibration(settings.calibration, model_fingerprint, sae_fingerprint, window, has_own)


def expected_of_run(
    run: Run, settings: AuditSettings, store: FeatureStore, clusters: Clusters, calibration: Calibration
) -> Expected:
    """Expected shifts of the run's response clusters and concepts by a calibration."""
    own_likely = partial(read_log_probs, run.file(artifacts.OWN_LOG_PROBS))
    predictor = spec_of(calibration.predictor).build(PredictorInputs(calibration.tilt_c, base_log_probs=own_likely))

    def read(folder: FeatureStore, concepts: Readout) -> tuple[Pool, Sequence[Readout]]:
        pool = Pool.read(folder, ["freq"], settings.tau, predictor.residuals)
        clustered = cluster_readout(pool, clusters.response_F, predictor.statistic, settings.min_features)
        return pool, [clustered, *([concepts] if concepts.ids else [])]

    concepts, units = stored_concepts(run)
    data, readouts = read(store, concepts)
    own = None
    if predictor.own:
        run.require("own")
        own_concepts, _ = stored_concepts(run, artifacts.OWN_SCORES)
        own = read(FeatureStore(run.file(artifacts.OWN_FEATURES)), own_concepts)
    units |= dict.fromkeys(readouts[0].ids, TOKENS if predictor.statistic == "freq" else POINTS)
    return expected_shifts(predictor.fit(data), (data, readouts), units, calibration, own)
