"""All clusterings of a run, from its pooled features: response, data, prompt and shift clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import methodcaller
from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from anatomy.clusters.correlations import Activity
from anatomy.clusters.feature_clusters import (
    Moments,
    Shard,
    default_feature_clusters,
    default_min_fires,
    embedded_clusters,
    keep_prompt_features,
    keep_shift_features,
    of_rows,
    prompt_moments,
    prompt_values,
    shift_moments,
    shift_values,
)
from anatomy.clusters.response_clusters import StableClusters, response_clusters
from anatomy.clusters.row_clusters import centroids, silent_rows, spherical_kmeans, unit
from anatomy.clusters.row_tree import coarser, enlarged
from anatomy.clusters.stored_clusters import ClusterOrigin
from anatomy.settings import ClusterSettings, ResponseClusterSettings
from anatomy.statistics.power import LEVELS, context_count, context_size
from anatomy.statistics.prompts import Prompts
from anatomy.types import SIDES


class ResponseShard(Shard, Protocol):
    """Pooled features of consecutive rows, with the prompt of each row."""

    @property
    def prompt_ids(self) -> list[str]:
        """Prompt id of each row."""


Shards = Callable[[], Iterable[ResponseShard]]
"""Gives a fresh pass over the feature store."""


Stable = tuple[Int[np.ndarray, " F"], Float[np.ndarray, " M"]]
"""Label of each feature, and the stability of each cluster."""


class FeatureClusters(NamedTuple):
    """Prompt and shift clusters: labels of features, 0 for none, and the stability of each cluster.

    ``resolved`` holds the settings that were scaled with the data.
    """

    prompt_F: Int[np.ndarray, " F"]
    shift_F: Int[np.ndarray, " F"]
    prompt_stability_K: Float[np.ndarray, " K"]
    shift_stability_M: Float[np.ndarray, " M"]
    resolved: dict[str, int]


class DataClusters(NamedTuple):
    """Label of each row (0: silent bucket), those of coarser levels, and the cosine to its cluster's mean direction.

    ``context_prompts`` are the prompts that each cluster was to have.
    """

    label_N: Int[np.ndarray, " N"]
    coarser_LN: Int[np.ndarray, "L N"]
    cosine_N: Float[np.ndarray, " N"]
    context_prompts: int


def cluster_responses(
    shards: Shards, settings: ResponseClusterSettings, min_prompts: int, seed: int, sources: Sequence[str]
) -> tuple[StableClusters, ClusterOrigin]:
    """Response clusters by co-firing (method.md §4), and what they were made from."""
    activity = read_activity(shards, settings.graph_samples, np.random.default_rng(seed))
    found = response_clusters(activity, settings, min_prompts, seed)
    origin = ClusterOrigin(
        sources=tuple(sources),
        responses=len(activity.prompt_S),
        prompts=len(np.unique(activity.prompt_S)),
        min_prompts=min_prompts,
        resolution=found.resolution,
        chance=found.chance,
        features=found.features,
        clustered=int((found.label_F > 0).sum()),
        unstable=found.unstable,
    )
    return found, origin


def read_activity(shards: Shards, most: int, generator: np.random.Generator) -> Activity:
    """The strength of every feature on the responses of a uniform sample of rows; at most ``most`` responses."""
    prompts = [prompt for shard in shards() for prompt in shard.prompt_ids]
    rows = np.sort(generator.choice(len(prompts), min(max(1, most // len(SIDES)), len(prompts)), replace=False))
    by_side = [of_rows(shards(), rows, methodcaller("matrix", side, "max")) for side in SIDES]
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    prompt_N = np.array([places[prompts[row]] for row in rows], np.int64)
    return Activity(sp.csr_array(sp.vstack(by_side, format="csr")), np.tile(prompt_N, len(SIDES)))


def cluster_features(
    shards: Shards, n_rows: int, settings: ClusterSettings, statistic: str, seed: int
) -> FeatureClusters:
    """Prompt and shift clusters by embedding (method.md §6)."""
    generator = np.random.default_rng(seed)
    min_fires = settings.min_fires or default_min_fires(n_rows)
    resolved: dict[str, int] = {"min_fires": min_fires}
    prompts = [prompt for shard in shards() for prompt in shard.prompt_ids]

    def embedded(
        moments: Moments, kept_F: np.ndarray, wanted: int | None, values: str
    ) -> tuple[np.ndarray, np.ndarray]:
        k = wanted or default_feature_clusters(int(kept_F.sum()), n_rows)
        resolved[f"{values}_features_kept"], resolved[f"{values}_clusters"] = int(kept_F.sum()), k
        read = {"prompt": prompt_values, "shift": shift_values}[values]
        rows = np.sort(generator.choice(n_rows, min(settings.embedding_rows, n_rows), replace=False))
        sample_BF = of_rows(shards(), rows, lambda shard: read(shard, statistic))
        _, prompt_B = np.unique([prompts[row] for row in rows], return_inverse=True)
        return embedded_clusters(sample_BF, prompt_B, moments, kept_F, k, settings.embedding_dim, seed)

    prompt, shift = prompt_moments(shards(), statistic), shift_moments(shards(), statistic)
    prompt_F, prompt_stability_K = embedded(
        prompt, keep_prompt_features(prompt, min_fires), settings.prompt_clusters, "prompt"
    )
    shift_F, shift_stability_M = embedded(
        shift, keep_shift_features(shift, min_fires), settings.shift_clusters, "shift"
    )
    return FeatureClusters(prompt_F, shift_F, prompt_stability_K, shift_stability_M, resolved)


def cluster_rows(
    s_NM: Float[np.ndarray, "N M"], prompts: Prompts, settings: ClusterSettings, seed: int
) -> DataClusters:
    """Data clusters by spherical k-means on the symmetric activity of response clusters (method.md §5).

    Without a wanted number, each has as many prompts as a standard effect needs (``power.py``): clusters of half that
    size on average are merged until they have. Two coarser levels hold a quarter and a sixteenth of the clusters.
    """
    silent_N = silent_rows(s_NM, settings.silent_fraction)
    n_prompts = len(np.unique(prompts.code_N[~silent_N]))
    size = context_size(n_prompts, s_NM.shape[1])
    label_N = spherical_kmeans(s_NM, settings.data_clusters or context_count(n_prompts, size // 2), seed, silent_N)
    if settings.data_clusters is None:
        label_N = enlarged(s_NM, label_N, 1 / prompts.size_G[prompts.code_N], size)
    k = int(label_N.max(initial=0))
    cosine_N = np.einsum("nm,nm->n", unit(s_NM), centroids(s_NM, label_N)[label_N])
    return DataClusters(label_N, coarser(s_NM, label_N, [k // level for level in LEVELS[1:]]), cosine_N, size)
