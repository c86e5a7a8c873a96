"""Response-feature clusters that stay: groups of features that are strong on the same responses (method.md §4).

Features are clustered on ten pairs of halves of the prompts (:mod:`anatomy.clusters.correlations`), each half with a
seed of its own. Final clusters are groups of features that most halves put together; features that nothing stays
together with are in no cluster. The *stability* of a cluster is the share of its pairs of features, found together on
one half, that the other half, which shares no prompt with it, finds together too:

    Σ 2·[together on both halves] / Σ ([on the first] + [on the second]), over pairs of features and of halves.

A pair counts as an edge only above the correlation that one pair in 10,000 has by chance. Communities maximise the
constant Potts model, which has no resolution limit: they hold features whose mean correlation is above ``resolution``.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from anatomy.clusters.correlations import (
    Activity,
    Graph,
    blocks_of_prompts,
    chance_correlation,
    frequent_features,
    half_graphs,
    halves_of,
)
from anatomy.clusters.label_ids import LEAST_STABILITY, by_size, membership, pair_stability, sizes
from anatomy.settings import ResponseClusterSettings

RESOLUTION = 0.35
EDGE = 0.7
"""An edge is a correlation above this share of the resolution."""
TOGETHER = 0.5
"""Features of a cluster are together on at least this share of the halves, on average."""
_SEEDS = 1009


class StableClusters(NamedTuple):
    """Label of each feature, 1..M by decreasing size, 0 for none; the stability of each cluster, 0 to 1.

    ``resolution`` is the one that was used, ``chance`` the correlation by chance on a half, ``features`` the
    number of features that fire often enough, ``unstable`` the number of clusters that were left out.
    """

    label_F: Int[np.ndarray, " F"]
    stability_M: Float[np.ndarray, " M"]
    resolution: float
    chance: float
    features: int
    unstable: int


def response_clusters(
    activity: Activity, settings: ResponseClusterSettings, min_prompts: int, seed: int
) -> StableClusters:
    """The clusters of the features that fire under at least ``min_prompts`` prompts.

    Nothing of the labels of rows is used. Equal arguments give equal clusters.
    """
    generator = np.random.default_rng(seed)
    features = frequent_features(activity, min_prompts)
    block_S, halves_HK = blocks_of_prompts(activity.prompt_S, generator), halves_of()
    chance = chance_correlation(activity, features, halves_HK[0][block_S], generator)
    resolution = max(settings.resolution or RESOLUTION, chance)
    least = max(EDGE * resolution, chance)
    graphs = half_graphs(activity, features, block_S, halves_HK, least, settings.edge_fraction)
    members = [communities(graph, _SEEDS * seed + place, resolution) for place, graph in enumerate(graphs)]
    raw_F = consensus(together_on_halves(members), seed, settings.min_community)
    stable_F = np.append(0.0, pair_stability(raw_F, members))[raw_F] >= LEAST_STABILITY
    label_F = by_size(np.where(stable_F, raw_F, -1))
    return StableClusters(
        label_F,
        pair_stability(label_F, members),
        resolution,
        chance,
        len(features),
        int(raw_F.max(initial=0) - label_F.max(initial=0)),
    )


def communities(graph: Graph, seed: int, resolution: float) -> Int[np.ndarray, " F"]:
    """Leiden communities by the constant Potts model: labels 1..M by decreasing size, 0 for features alone."""
    import igraph

    network = igraph.Graph(n=graph.n_features, edges=np.column_stack([graph.source, graph.target]))
    igraph.set_random_number_generator(random.Random(seed))
    partition = network.community_leiden("CPM", weights=graph.weight.tolist(), resolution=resolution, n_iterations=4)
    return by_size(np.asarray(partition.membership, dtype=np.int64), min_size=2)


def together_on_halves(members: list[Int[np.ndarray, " F"]]) -> sp.csr_array:
    """[F, F]: the share of the halves on which two different features are together."""
    total_FF = sp.csr_array((len(members[0]),) * 2, dtype=np.float32)
    for label_F in members:
        total_FF = total_FF + _pairs(label_F)
    return sp.csr_array(total_FF / len(members))


def consensus(together_FF: sp.csr_array, seed: int, min_community: int) -> Int[np.ndarray, " F"]:
    """Groups of features that most halves put together: labels 1..M by decreasing size, 0 for none."""
    graph = sp.coo_array(together_FF)
    upper = (graph.row < graph.col) & (graph.data > TOGETHER / 2)
    found = Graph(graph.row[upper], graph.col[upper], graph.data[upper], graph.shape[0])
    label_F = communities(found, seed, TOGETHER)
    while label_F.any():
        mean_F = _mean_with_own(together_FF, label_F)
        kept_F = by_size(np.where((label_F > 0) & (mean_F >= TOGETHER), label_F, -1), min_community)
        if (kept_F > 0).sum() == (label_F > 0).sum():
            return kept_F
        label_F = kept_F
    return label_F


def _pairs(label_F: np.ndarray) -> sp.csr_array:
    """1 where two different features have the same label above 0."""
    inside_FM = membership(label_F)
    pairs_FF = sp.csr_array(inside_FM @ inside_FM.T)
    pairs_FF.setdiag(0)
    pairs_FF.eliminate_zeros()
    return pairs_FF


def _mean_with_own(matrix_FF: sp.csr_array, label_F: np.ndarray) -> np.ndarray:
    """For each feature, the mean of the matrix over the other members of its cluster."""
    entries = sp.coo_array(matrix_FF)
    same = label_F[entries.row] == label_F[entries.col]
    total_F = np.bincount(entries.row[same], entries.data[same].astype(np.float64), len(label_F))
    others_F = np.append(0, sizes(label_F))[label_F] - 1
    return np.asarray(total_F / np.maximum(others_F, 1))
