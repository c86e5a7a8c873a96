"""A run read in the window of some rollouts: the same model, SAE, clusters and detectors on every pool of responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anatomy.concepts.scorer import Scorer
from anatomy.concepts.scores import read_scores, score_rows
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.readouts import Cut, concept_readout
from anatomy.prediction.response_pool import Pool
from anatomy.progress import logger, progress_bar
from anatomy.runs.reopened import ReopenedBundle
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle, TokenSettings
from anatomy.settings import AuditSettings, ReaderSettings
from anatomy.types import Pair, Row, content_hash
from anatomy.validation.context_rule import ContextRule
from anatomy.validation.shift_comparison import PoolInContexts


class ReadWith(NamedTuple):
    """What decides features and scores, but for the rows: tokens, and fingerprints of model and SAE."""

    tokens: TokenSettings
    model: str
    sae: str


class RunInWindow(NamedTuple):
    """A run read in the window of the rollouts: its settings and bundle so changed, and where results go."""

    run: Run
    settings: AuditSettings
    bundle: ModelBundle
    out: Path
    read_with: ReadWith

    def rows(self) -> Iterable[Pair]:
        """The run's retained rows."""
        return (stored.pair for stored in self.run.rows())

    def mark(self) -> str:
        """Hash of what decides features and scores, but for the rows."""
        return content_hash(self.read_with._asdict())


def run_in_window(run: Run, window: int, out: Path, asked: ReaderSettings) -> RunInWindow:
    """The run with responses cut to ``window`` tokens, read with what ``asked`` names.

    Raises:
        SettingsError: the run names a model or an SAE that ``asked`` does not.
        ModelError: model or SAE are not those of the run.
    """
    run.require("cluster")
    bundle = ReopenedBundle(run, asked, window)
    read_with = ReadWith(bundle.token_settings(), bundle.subject.fingerprint, bundle.sae.fingerprint)
    return RunInWindow(run, bundle.audited, bundle, out, read_with)


def encoded(audited_run: RunInWindow, rows: Iterable[Row], count: int, name: str) -> FeatureStore:
    """Pooled features of rows under ``out/name``, through the run's model and SAE; resumes by shard."""
    from anatomy.features.harvesting import harvest

    bundle, folder = audited_run.bundle, audited_run.out / f"{name}-features"
    logger.info(f"{name}: {count:,} rows through the model")
    with progress_bar(name, "row", count) as bar:
        harvest(
            rows, bundle.tokenizer, bundle.subject, bundle.sae, folder, audited_run.mark(), bundle.settings, bar.update
        )
    return FeatureStore(folder)


class RolloutReader:
    """Reads any pool as the run reads its own: contexts, features, concepts with the data's thresholds and spreads."""

    def __init__(
        self, audited_run: RunInWindow, rule: ContextRule, scorers: Sequence[Scorer], residuals: bool = False
    ) -> None:
        self.audited_run, self.rule, self.scorers, self.residuals = audited_run, rule, scorers, residuals
        self.cuts: list[Cut] = []

    def data(self, store: FeatureStore) -> PoolInContexts:
        """The run's rows, in their own clusters."""
        scores = self._scores(self.audited_run.rows(), "data", store.sides)
        pairs = zip(self.scorers, scores, strict=True)
        self.cuts = [Cut(scorer.threshold, float(score.std()) or 1.0) for scorer, score in pairs]
        return self._in_contexts(store, scores, self.rule.clusters.data_N, self.rule.members_KN)

    def other(self, store: FeatureStore, rows: Sequence[Row], name: str) -> PoolInContexts:
        """Rollouts, in the clusters that the rule gives them."""
        scores = self._scores(rows, name, store.sides)
        return self._in_contexts(store, scores, self.rule.data_labels(store), self.rule.prompt_members(store))

    def _in_contexts(
        self, store: FeatureStore, scores: Sequence[np.ndarray], label_N: np.ndarray, member_KN: np.ndarray
    ) -> PoolInContexts:
        settings = self.audited_run.settings
        pool = Pool.read(store, sorted({"freq", settings.prompt_statistic}), settings.tau, self.residuals)
        names = [scorer.concept for scorer in self.scorers]
        concepts = concept_readout(names, scores, self.cuts, len(pool) * len(pool.sides))
        return PoolInContexts(pool, self.rule.feature_contexts(label_N), self.rule.prompt_contexts(member_KN), concepts)

    def _scores(self, rows: Iterable[Row], name: str, sides: Sequence[str]) -> list[np.ndarray]:
        bundle, folder = self.audited_run.bundle, self.audited_run.out / f"{name}-scores"
        if self.scorers:
            mark = self.audited_run.mark()
            score_rows(rows, self.scorers, bundle.tokenizer, lambda: bundle.subject, folder, mark, bundle.settings)
        return [read_scores(folder / scorer.concept, sides).score_NS for scorer in self.scorers]
