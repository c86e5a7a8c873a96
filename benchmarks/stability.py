"""Whether response clusters come back: on the other half of the prompts, with another seed, without co-firing.

python -m benchmarks.stability RUN...     # harvested runs of one SAE, together the corpus
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from anatomy.clusters.clusterings import ResponseShard, read_activity
from anatomy.clusters.correlations import Activity, shuffled
from anatomy.clusters.response_clusters import StableClusters, response_clusters
from anatomy.report.markdown_table import markdown_table
from anatomy.runs.run import Run
from anatomy.settings import ResponseClusterSettings

PARTNER = 0.5
HEADER = ("", "clusters", "features in one", "ARI, in both", "ARI, all", "with a partner", "median stability")


def found(activity: Activity, seed: int = 0) -> StableClusters:
    return response_clusters(activity, ResponseClusterSettings(), 20, seed)


def half(activity: Activity, side: int, seed: int) -> Activity:
    """The responses to a random half of the prompts."""
    prompts, prompt_S = np.unique(activity.prompt_S, return_inverse=True)
    rows = np.flatnonzero((np.random.default_rng(seed).permutation(len(prompts)) % 2)[prompt_S] == side)
    return Activity(activity.strength_SF[rows], activity.prompt_S[rows])


def partners(first_F: np.ndarray, second_F: np.ndarray) -> float:
    """Share of the first's clusters of which the second has one with at least half of their union in common."""
    others = [set(np.flatnonzero(second_F == label)) for label in range(1, second_F.max() + 1)]
    best = []
    for label in range(1, first_F.max() + 1):
        mine = set(np.flatnonzero(first_F == label))
        best.append(max((len(mine & other) / len(mine | other) for other in others), default=0.0))
    return float(np.mean([value >= PARTNER for value in best])) if best else float("nan")


def compared(name: str, first: StableClusters, second: StableClusters) -> tuple[str, ...]:
    one_F, other_F = first.label_F, second.label_F
    both_F, either_F = (one_F > 0) & (other_F > 0), (one_F > 0) | (other_F > 0)
    ari = [adjusted_rand_score(one_F[mask], other_F[mask]) for mask in (both_F, either_F)]
    counts = (f"{one_F.max()}, {other_F.max()}", f"{(one_F > 0).sum():,}, {(other_F > 0).sum():,}")
    median = np.median(np.concatenate([first.stability_M, second.stability_M]))
    return name, *counts, f"{ari[0]:.2f}", f"{ari[1]:.2f}", f"{partners(one_F, other_F):.0%}", f"{median:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    runs = [Run.at(path) for path in arguments.runs]

    def shards() -> Iterator[ResponseShard]:
        return (shard for run in runs for shard in run.features.shards())

    activity = read_activity(shards, 100_000, np.random.default_rng(0))
    print(f"{len(activity.prompt_S):,} responses to {len(np.unique(activity.prompt_S)):,} prompts", flush=True)
    lines = [compared("seeds", found(activity), found(activity, 1))]
    for split in range(arguments.splits):
        sides = [found(half(activity, side, split)) for side in (0, 1)]
        lines.append(compared(f"halves of the prompts, split {split + 1}", *sides))
    nothing = found(shuffled(activity, np.random.default_rng(0)))
    lines.append(("shuffled firing", str(nothing.label_F.max()), f"{(nothing.label_F > 0).sum():,}", *[""] * 4))
    print(markdown_table(HEADER, lines))


if __name__ == "__main__":
    main()
