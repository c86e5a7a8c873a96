"""What shift an audit leads to expect, where a calibration of the model exists; and the scores of its concepts."""

from __future__ import annotations

from pathlib import Path

from anatomy import artifacts
from anatomy.concepts.scores import read_scores
from anatomy.features.store import FeatureStore
from anatomy.hypotheses.labels import Clusters
from anatomy.run import Run
from anatomy.settings import AuditSettings
from anatomy.validation.calibration import read_calibration
from anatomy.validation.expected import DEVIATIONS, POINTS, TOKENS, Expected, Unit, expected_shifts
from anatomy.validation.pool import Cut, Pool, Readout, cluster_readout, concept_readout
from anatomy.validation.predictors import build


def stored_concepts(run: Run) -> tuple[Readout, dict[str, Unit]]:
    """The concepts that the run scored, on its own rows, and their units."""
    facts = run.manifest["stages"].get("scores", {}).get("facts", {}).get("concepts", {})
    scores = [read_scores(run.file(artifacts.SCORES) / name).score_N2 for name in facts]
    cuts = [Cut(fact["threshold"], float(score_N2.std()) or 1.0)
            for fact, score_N2 in zip(facts.values(), scores, strict=True)]  # fmt: skip
    units = {name: DEVIATIONS if fact["threshold"] is None else POINTS for name, fact in facts.items()}
    return concept_readout(list(facts), scores, cuts), units


def expected_of_run(run: Run, settings: AuditSettings, store: FeatureStore, clusters: Clusters, file: Path) -> Expected:
    """Expected shifts of the run's response clusters and concepts by the calibration in ``file``.

    Raises:
        SettingsError: it was measured with another model, SAE or window.
    """
    inputs = run.manifest["inputs"]
    calibration = read_calibration(file, inputs["model"]["fingerprint"], inputs["sae"]["fingerprint"])
    data = Pool.read(store, ["freq"], settings.tau)
    made = build(calibration.tilt_c)
    statistic = made[calibration.predictor]().statistic if calibration.predictor in made else "freq"
    responses = cluster_readout(data, clusters.response_F, statistic, settings.min_features)
    concepts, units = stored_concepts(run)
    share = TOKENS if statistic == "freq" else POINTS
    units |= dict.fromkeys(responses.ids, share)
    readouts = [responses, *([concepts] if concepts.ids else [])]
    return expected_shifts(data, readouts, units, calibration, settings.max_response_length)
