"""What shift an audit leads to expect, where a calibration of the model exists; and the scores of its concepts."""

from __future__ import annotations

from collections.abc import Sequence

from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.calibration import Calibration, read_calibration
from anatomy.prediction.expected_shift import DEVIATIONS, POINTS, TOKENS, Expected, Unit, expected_shifts
from anatomy.prediction.predictor_specs import PredictorInputs, spec_of
from anatomy.prediction.readouts import Cut, Readout, cluster_readout, concept_readout
from anatomy.prediction.response_pool import Pool
from anatomy.runs.run import Run
from anatomy.settings import AuditSettings


def stored_concepts(run: Run, own: bool = False) -> tuple[Readout, dict[str, Unit]]:
    """The concepts that the run scored, and their units.

    Args:
        own: read them of the model's own responses, not of the rows'; thresholds and deviations are always the rows'.
    """
    concepts = run.concepts
    of_rows = [run.scores(name).score_NS for name in concepts]
    pairs = zip(concepts.values(), of_rows, strict=True)
    cuts = [Cut(concept.threshold, float(score_NS.std()) or 1.0) for concept, score_NS in pairs]
    scores = [run.own_scores(name).score_NS for name in concepts] if own else of_rows
    units = {name: DEVIATIONS if concept.threshold is None else POINTS for name, concept in concepts.items()}
    store = run.own_features if own else run.features
    return concept_readout(list(concepts), scores, cuts, store.n_rows * len(store.sides)), units


def calibration_of(settings: AuditSettings, model_fingerprint: str, sae_fingerprint: str) -> Calibration | None:
    """The calibration that the settings name; to be asked for before anything expensive.

    Raises:
        SettingsError: it does not fit the model, the SAE or these settings.
    """
    if settings.calibration is None:
        return None
    window, has_own = settings.max_response_length, settings.base_rollouts is not None
    return read_calibration(settings.calibration, model_fingerprint, sae_fingerprint, window, has_own)


def expected_of_run(run: Run, settings: AuditSettings, calibration: Calibration) -> Expected:
    """Expected shifts of the run's response clusters and concepts by a calibration."""
    inputs = PredictorInputs(calibration.tilt_c, base_log_probs=run.own_log_probs)
    predictor = spec_of(calibration.predictor).build(inputs)

    def read(store: FeatureStore, concepts: Readout) -> tuple[Pool, Sequence[Readout]]:
        pool = Pool.read(store, ["freq"], settings.tau, predictor.residuals)
        clustered = cluster_readout(pool, run.clusters.response_F, predictor.statistic, settings.min_features)
        return pool, [clustered, *([concepts] if concepts.ids else [])]

    concepts, units = stored_concepts(run)
    data, readouts = read(run.features, concepts)
    own = None
    if predictor.own:
        own_concepts, _ = stored_concepts(run, own=True)
        own = read(run.own_features, own_concepts)
    units |= dict.fromkeys(readouts[0].ids, TOKENS if predictor.statistic == "freq" else POINTS)
    return expected_shifts(predictor.fit(data), (data, readouts), units, calibration, own)
