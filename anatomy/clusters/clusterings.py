"""All clusterings of a run, from its pooled features: response, data, prompt and shift clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from anatomy.clusters.feature_clusters import (
    Moments,
    Shard,
    default_feature_clusters,
    default_min_fires,
    feature_clusters,
    keep_prompt_features,
    keep_shift_features,
    prompt_moments,
    prompt_values,
    shift_moments,
    shift_values,
)
from anatomy.clusters.response_clusters import cofiring_graph, leiden_communities, scaled_resolution
from anatomy.clusters.row_clusters import centroids, silent_rows, spherical_kmeans, unit
from anatomy.clusters.row_tree import coarser, enlarged
from anatomy.settings import ClusterSettings
from anatomy.statistics.power import LEVELS, context_count, context_size
from anatomy.statistics.prompts import Prompts
from anatomy.types import SIDES

Shards = Callable[[], Iterable[Shard]]
"""Gives a fresh pass over the feature store."""


class FeatureClusters(NamedTuple):
    """Labels of features, 0 for none; ``resolved`` holds the settings that were scaled with the data."""

    response_F: Int[np.ndarray, " F"]
    prompt_F: Int[np.ndarray, " F"]
    shift_F: Int[np.ndarray, " F"]
    resolved: dict[str, float]


class DataClusters(NamedTuple):
    """Label of each row (0: silent bucket), those of coarser levels, and the cosine to its cluster's mean direction.

    ``context_prompts`` are the prompts that each cluster was to have.
    """

    label_N: Int[np.ndarray, " N"]
    coarser_LN: Int[np.ndarray, "L N"]
    cosine_N: Float[np.ndarray, " N"]
    context_prompts: int


def cluster_features(
    shards: Shards, n_rows: int, settings: ClusterSettings, statistic: str, seed: int
) -> FeatureClusters:
    """Response clusters by co-firing (method.md §4), prompt and shift clusters by embedding (method.md §6)."""
    generator = np.random.default_rng(seed)
    fires_SF = _sampled(shards, generator, n_rows, settings.graph_samples // 2, _fires)
    graph = cofiring_graph(fires_SF, settings.edge_fraction)
    resolution = settings.resolution or scaled_resolution(graph, seed, settings.min_community)
    min_fires = settings.min_fires or default_min_fires(n_rows)
    resolved: dict[str, float] = {
        "resolution": resolution,
        "min_fires": min_fires,
        "graph_edges": len(graph.source),
        "graph_samples": fires_SF.shape[0],
    }

    def embedded(moments: Moments, kept_F: np.ndarray, wanted: int | None, values: str) -> np.ndarray:
        k = wanted or default_feature_clusters(int(kept_F.sum()), n_rows)
        resolved[f"{values}_features_kept"], resolved[f"{values}_clusters"] = int(kept_F.sum()), k
        read = {"prompt": prompt_values, "shift": shift_values}[values]
        sample = _sampled(shards, generator, n_rows, settings.embedding_rows, lambda shard: [read(shard, statistic)])
        return feature_clusters(sample, moments, kept_F, k, settings.embedding_dim, seed)

    prompt, shift = prompt_moments(shards(), statistic), shift_moments(shards(), statistic)
    return FeatureClusters(
        leiden_communities(graph, seed, settings.min_community, resolution),
        embedded(prompt, keep_prompt_features(prompt, min_fires), settings.prompt_clusters, "prompt"),
        embedded(shift, keep_shift_features(shift, min_fires), settings.shift_clusters, "shift"),
        resolved,
    )


def cluster_rows(
    s_NM: Float[np.ndarray, "N M"], prompts: Prompts, settings: ClusterSettings, seed: int
) -> DataClusters:
    """Data clusters by spherical k-means on the symmetric activity of response clusters (method.md §5).

    Without a wanted number, each has as many prompts as a standard effect needs (``power.py``). Two coarser levels hold
    a quarter and a sixteenth of the clusters.
    """
    silent_N = silent_rows(s_NM, settings.silent_fraction)
    n_prompts = len(np.unique(prompts.code_N[~silent_N]))
    size = context_size(n_prompts, s_NM.shape[1])
    label_N = spherical_kmeans(s_NM, settings.data_clusters or context_count(n_prompts, size), seed, silent_N)
    if settings.data_clusters is None:
        label_N = enlarged(s_NM, label_N, 1 / prompts.size_G[prompts.code_N], size)
    k = int(label_N.max(initial=0))
    cosine_N = np.einsum("nm,nm->n", unit(s_NM), centroids(s_NM, label_N)[label_N])
    return DataClusters(label_N, coarser(s_NM, label_N, [k // level for level in LEVELS[1:]]), cosine_N, size)


def _fires(shard: Shard) -> list[sp.csr_array]:
    return [shard.matrix(side, "fires") for side in SIDES]


def _sampled(
    shards: Shards,
    generator: np.random.Generator,
    n_rows: int,
    wanted: int,
    read: Callable[[Shard], list[sp.csr_array]],
) -> sp.csr_array:
    """The matrices that ``read`` gives for a uniform sample of at most ``wanted`` rows, stacked."""
    rows = np.sort(generator.choice(n_rows, min(wanted, n_rows), replace=False))
    parts, start = [], 0
    for shard in shards():
        for matrix in read(shard):
            stop = start + matrix.shape[0]
            inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
            parts.append(matrix[inside])
        start = stop
    return sp.csr_array(sp.vstack(parts, format="csr"))
