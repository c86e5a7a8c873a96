"""The contexts of a run, in its data and in rollouts on unseen prompts, by the run's own definitions (method.md §5–6).

A row of rollouts is a pair of completions of one prompt, after and before training, or a single one. It belongs to the
data cluster whose centroid is nearest to its *symmetric* activity (both completions together, so that the assignment
does not know which is which; a single completion counts twice), and to a prompt cluster's context when its prompt
scores at least as high as the lowest of the run's own rows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy.clusters.assignments import Clusters
from anatomy.clusters.row_clusters import centroids, nearest
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.signals import own_activity, prompt_scores, response_signals, top_rows
from anatomy.hypotheses.views import EVERYWHERE, default_top_rows
from anatomy.settings import HypothesisSettings
from anatomy.statistics.prompts import Prompts
from anatomy.types import SIDES


class Context(NamedTuple):
    """Rows of a pool inside a context, and the rows that it is held against."""

    name: str
    inside_N: Bool[np.ndarray, " N"]
    rest_N: Bool[np.ndarray, " N"]


def everywhere(n_rows: int) -> list[Context]:
    """The one context of the global view."""
    return [Context(EVERYWHERE, np.ones(n_rows, bool), np.zeros(n_rows, bool))]


@dataclass(frozen=True)
class ContextRule:
    """What decides the contexts of new rows: centroids, the norm below which a row is silent, lowest prompt scores."""

    clusters: Clusters
    settings: HypothesisSettings
    centre_KM: Float[np.ndarray, "K M"]
    silent_norm: float
    lowest_K: Float[np.ndarray, " K"]
    members_KN: Bool[np.ndarray, "K N"]

    @classmethod
    def of(cls, data: FeatureStore, clusters: Clusters, settings: HypothesisSettings) -> ContextRule:
        """From the data's features (in the window that is compared) and the run's clusters."""
        activity_NM = response_signals(data.shards(), clusters.response_F, settings.tau).activity_NM
        silent_N = clusters.data_N == 0
        norm_N = np.linalg.norm(activity_NM, axis=1)
        score_NK = prompt_scores(data.shards(), clusters.prompt_F, settings.prompt_statistic, settings.prompt_score)
        prompts = Prompts.from_ids(data.prompt_ids)
        wanted = settings.top_rows or default_top_rows(prompts, *clusters.prompt_view)
        member_KN = top_rows(score_NK, wanted, prompts.rank_N).toarray()
        lowest_K = np.where(member_KN, score_NK.T, np.inf).min(axis=1, initial=np.inf)
        return cls(
            clusters,
            settings,
            centroids(activity_NM, clusters.data_N),
            float(norm_N[silent_N].max(initial=0.0)),
            lowest_K,
            member_KN,
        )

    def data_labels(self, store: FeatureStore) -> Int[np.ndarray, " X"]:
        """Data cluster of each row of another store, of pairs or of single responses; 0: silent."""
        labels_F = self.clusters.response_F
        if store.sides == SIDES:
            activity_NM = response_signals(store.shards(), labels_F, self.settings.tau).activity_NM
        else:
            activity_NM = own_activity(store.shards(), labels_F)
        return nearest(activity_NM, self.centre_KM, self.silent_norm)

    def prompt_members(self, store: FeatureStore) -> Bool[np.ndarray, "K X"]:
        """Which rows of another store are in each prompt cluster's context."""
        settings = self.settings
        score = prompt_scores(store.shards(), self.clusters.prompt_F, settings.prompt_statistic, settings.prompt_score)
        return (score >= self.lowest_K).T

    def feature_contexts(self, label_X: Int[np.ndarray, " X"]) -> list[Context]:
        """The data clusters of all levels against the other active rows.

        ``label_X`` are clusters of the finest level; a coarser one holds the rows of the clusters that it holds.
        """
        number, first = np.unique(self.clusters.data_N, return_index=True)
        found = []
        for level_N in self.clusters.data_levels:
            held_K = np.zeros(len(self.centre_KM), np.int64)
            held_K[number] = level_N[first]
            level_X = held_K[label_X]
            found += [
                Context(f"D{k}", level_X == k, (level_X != k) & (level_X > 0)) for k in np.unique(held_K[held_K > 0])
            ]
        return found

    def prompt_contexts(self, member_KX: Bool[np.ndarray, "K X"]) -> list[Context]:
        """P1..PK against all other rows."""
        return [Context(f"P{k + 1}", inside_X, ~inside_X) for k, inside_X in enumerate(member_KX)]


def large_enough(
    data: Sequence[Context], rollouts: Sequence[Context], prompts: Prompts, min_rows: int, min_prompts: int
) -> list[tuple[Context, Context]]:
    """Contexts with ``min_rows`` rows of the data and ``min_prompts`` unseen prompts, in both pools."""
    kept = []
    for ours, theirs in zip(data, rollouts, strict=True):
        held_out = len(np.unique(prompts.code_N[theirs.inside_N]))
        if ours.inside_N.sum() >= min_rows and held_out >= min_prompts:
            kept.append((ours, theirs))
    return kept
