"""Responses that are stored once predict what the same responses predict as pairs with themselves.

Means, covariances and deviations over duplicated responses are those over single ones (population moments), so
features, scores, log-probabilities, contexts and every prediction are equal.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from support.killed_harvest import SETTINGS, pairs
from support.tiny import TinySAE

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.clusters.assignments import Clusters
from anatomy.concepts.scores import Scores, read_scores, score_rows
from anatomy.features.feature_store import FeatureStore
from anatomy.features.harvesting import harvest
from anatomy.prediction.explain_away import forecast
from anatomy.prediction.predictor_specs import SPECS, PredictorInputs, spec_of
from anatomy.prediction.predictors import MeanDifference, Rewarding, predict
from anatomy.prediction.readouts import Cut, Readout, cluster_readout, concept_readout, feature_readout
from anatomy.prediction.response_pool import Pool
from anatomy.rollouts.log_probs import log_probs
from anatomy.settings import HypothesisSettings, ModelSettings
from anatomy.types import Pair, Response
from anatomy.validation.context_rule import ContextRule

EMPTY = PredictorInputs(0.1, base_log_probs=lambda: np.zeros((0, 1)))
OVER_POOLS = [spec.name for spec in SPECS if not isinstance(spec.build(EMPTY), MeanDifference)]
LABELS_F = 1 + np.arange(96) // 8


class Projection:
    """A fixed direction after block 1."""

    kind, threshold, concept, layer, pooling, fingerprint = "linear", None, "direction", 1, "mean", "f"

    def score_tokens(self, span):
        return span.hidden[1].double().sum(dim=1).numpy()


class Read(NamedTuple):
    """One set of rows as a prediction reads it."""

    store: FeatureStore
    pool: Pool
    scores: Scores
    likely_NS: np.ndarray


@pytest.fixture(scope="module")
def read(tiny_model_dir, tmp_path_factory):
    """The data's pairs, their responses as own ones, and the same as pairs with themselves."""
    settings = ModelSettings(model=str(tiny_model_dir("llama")), **SETTINGS)
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    texts = [(pair.prompt, side) for pair in pairs() for side in (pair.chosen, pair.rejected)]

    def one(name, rows):
        out = tmp_path_factory.mktemp(name)
        harvest(rows, tokenizer, subject, TinySAE(), out / "features", "f", settings)
        score_rows(rows, [Projection()], tokenizer, lambda: subject, out, "f", settings)
        likely_NS = log_probs(rows, tokenizer, subject, out / "likely", "f", settings)
        store = FeatureStore(out / "features")
        scores = read_scores(out / "direction", rows[0].sides)
        return Read(store, Pool.read(store, ["freq"], 0.01, residuals=True), scores, likely_NS)

    return SimpleNamespace(
        data=one("data", pairs()),
        single=one("single", [Response(number, *both) for number, both in enumerate(texts)]),
        double=one("double", [Pair(number, prompt, side, side) for number, (prompt, side) in enumerate(texts)]),
    )


def readouts(found: Read) -> list[Readout]:
    return [
        feature_readout(found.pool, np.ones(96, bool), "freq"),
        cluster_readout(found.pool, LABELS_F, "present"),
        concept_readout(["direction"], [found.scores.score_NS], [Cut(None, 2.0)], 2 * len(found.scores.score_NS)),
        concept_readout(["direction"], [found.scores.score_NS], [Cut(0.0, 1.0)], 2 * len(found.scores.score_NS)),
    ]


def test_what_is_stored_is_the_same_once(read):
    single, double = read.single, read.double
    assert single.store.sides == ("response",)
    assert (len(single.pool), single.pool.responses("freq").shape[0]) == (80, 80)
    assert (len(double.pool), double.pool.responses("freq").shape[0]) == (80, 160)
    for statistic in ("max", "freq", "at"):
        once, twice = single.store.matrix("response", statistic), double.store.matrix("rejected", statistic)
        np.testing.assert_array_equal(once.toarray(), twice.toarray())
        prompts = [store.matrix("prompt", statistic).toarray() for store in (single.store, double.store)]
        np.testing.assert_array_equal(*prompts)
    np.testing.assert_array_equal(single.store.activations("response"), double.store.activations("chosen"))
    np.testing.assert_array_equal(np.tile(single.scores.score_NS, 2), double.scores.score_NS)
    np.testing.assert_array_equal(np.tile(single.likely_NS, 2), double.likely_NS)
    np.testing.assert_array_equal(single.pool.fires_F, double.pool.fires_F)
    assert single.store.prompt_ids == double.store.prompt_ids
    assert set(single.store.row_ids).isdisjoint(double.store.row_ids)


@pytest.mark.parametrize("name", OVER_POOLS)
def test_predictions_are_equal(name, read):
    inside_N = np.arange(80) % 3 > 0
    found = []
    for own in (read.single, read.double):
        predictor = spec_of(name).build(PredictorInputs(0.1, base_log_probs=lambda own=own: own.likely_NS))
        predictor = predictor.fit(read.data.pool)
        parts = [predict(predictor, own.pool, readout, chosen) for readout in readouts(own)
                 for chosen in (inside_N, np.ones(80, bool))]  # fmt: skip
        if isinstance(predictor, Rewarding):
            value_J = readouts(own)[2].values_JM[:, 0]
            parts.append(predictor.contributions(read.data.pool, own.pool, value_J))
        found.append(np.concatenate(parts))
    assert np.abs(found[1]).max() > 1e-4
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6 * np.abs(found[1]).max())


def test_forecasts_are_equal(read):
    found = []
    for own in (read.single, read.double):
        tilt = spec_of("sgd").build(PredictorInputs(0.1))
        concept_J = readouts(own)[2].values_JM[:, 0]
        found.append(forecast(tilt, read.data.pool, own.pool, readouts(own)[1], concept_J))
    for once, twice in zip(*found, strict=True):
        np.testing.assert_allclose(once, twice, rtol=1e-6, atol=1e-6 * np.abs(twice).max())


def test_contexts_are_equal(read):
    """The norm below which a row is silent is that of pairs, so a single response counts for both sides."""
    label_N = 1 + np.arange(40) % 3
    label_N[read.data.store.tokens("chosen") + read.data.store.tokens("rejected") < 12] = 0
    clusters = Clusters(LABELS_F, LABELS_F, LABELS_F, label_N, np.ones(40, np.float32))
    rule = ContextRule.of(read.data.store, clusters, HypothesisSettings())
    labels = [rule.data_labels(own.store) for own in (read.single, read.double)]
    np.testing.assert_array_equal(*labels)
    assert len(set(labels[0])) > 2
    assert rule.silent_norm > 0
    np.testing.assert_array_equal(*(rule.prompt_members(own.store) for own in (read.single, read.double)))
