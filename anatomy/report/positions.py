"""Places of clusters on a map: clusters are near each other when their signals move together over the rows."""

from __future__ import annotations

import random

import numpy as np
from jaxtyping import Float, Num

SAMPLE = 20_000
NEIGHBOURS = 4
"""Each cluster is drawn to this many others, those of highest correlation."""


def map_positions(signal_NM: Num[np.ndarray, "N M"], seed: int) -> Float[np.ndarray, "M 2"]:
    """Coordinates in [0, 1]: springs between most correlated columns (Fruchterman–Reingold) from a seeded start.

    Correlations are over at most 20,000 rows. Distances on the map are not to be measured: it shows neighbours.
    """
    import igraph

    n_rows, n_clusters = signal_NM.shape
    generator = np.random.default_rng(seed)
    correlation_MM = _correlations(signal_NM[generator.choice(n_rows, min(n_rows, SAMPLE), replace=False)])
    np.fill_diagonal(correlation_MM, -np.inf)
    near_MK = np.argsort(-correlation_MM, axis=1, kind="stable")[:, : min(NEIGHBOURS, n_clusters - 1)]
    edges = sorted({(min(m, int(k)), max(m, int(k))) for m, near_K in enumerate(near_MK) for k in near_K})
    weights = [1 + max(float(correlation_MM[edge]), 0.0) for edge in edges]
    start_M2 = generator.uniform(-1, 1, (n_clusters, 2))
    igraph.set_random_number_generator(random.Random(seed))
    graph = igraph.Graph(n_clusters, edges)
    layout = graph.layout_fruchterman_reingold(
        weights=weights or None, seed=start_M2.tolist(), niter=1000, grid="nogrid"
    )
    place_M2 = np.array(layout.coords, dtype=np.float64).reshape(n_clusters, 2)
    return _even(place_M2)


def _correlations(signal_NM: np.ndarray) -> Float[np.ndarray, "M M"]:
    centred_NM = signal_NM.astype(np.float64)
    centred_NM -= centred_NM.mean(0)
    centred_NM /= np.maximum(np.linalg.norm(centred_NM, axis=0), 1e-12)
    return np.asarray(centred_NM.T @ centred_NM)


def _even(place_M2: np.ndarray) -> Float[np.ndarray, "M 2"]:
    """Halfway between the places and their ranks, on each axis: crowds open, neighbours stay."""
    low_2, high_2 = place_M2.min(0), place_M2.max(0)
    scaled_M2 = (place_M2 - low_2) / np.maximum(high_2 - low_2, 1e-12)
    rank_M2 = np.argsort(np.argsort(place_M2, axis=0, kind="stable"), axis=0) / max(len(place_M2) - 1, 1)
    return np.asarray(0.5 * scaled_M2 + 0.5 * rank_M2)
