"""Speed of the analysis on synthetic sparse features, one core: CPU and wall seconds beside a named baseline.

    python -m benchmarks.analysis            # 20,000 pairs, 8,192 features, 146 non-zeros a span
    python -m benchmarks.analysis --growth   # and how each part grows with pairs and with features

A baseline is the straightforward loop over the same statistic with a library function, run on a part and scaled to
the whole (the share that was run is printed).
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from scipy import stats
from threadpoolctl import threadpool_limits

from anatomy.clusters.correlations import (
    Activity,
    blocks_of_prompts,
    chance_correlation,
    frequent_features,
    half_graphs,
    halves_of,
)
from anatomy.clusters.feature_clusters import shift_moments
from anatomy.clusters.response_clusters import communities, response_clusters
from anatomy.clusters.row_clusters import spherical_kmeans
from anatomy.hypotheses.contexts import data_contexts
from anatomy.hypotheses.signals import prompt_scores, response_signals, shift_signals, top_rows
from anatomy.hypotheses.views import Responses, default_top_rows, feature_view, prompt_view
from anatomy.report.markdown_table import markdown_table
from anatomy.settings import ResponseClusterSettings
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts

PAIRS, FEATURES, NONZEROS, SHARD = 20_000, 8_192, 146, 512
DATA_CLUSTERS, RESPONSE_CLUSTERS, PROMPT_CLUSTERS = 128, 400, 512

ResultT = TypeVar("ResultT")


@dataclass
class Shard:
    """Some rows of every span; one matrix serves as both statistics."""

    spans: dict[str, sp.csr_array]

    def matrix(self, span: str, statistic: str) -> sp.csr_array:
        return self.spans[span]


def synthetic_span(n: int, f: int, nonzeros: int, generator: np.random.Generator) -> sp.csr_array:
    """Half of a span's features come from five topics of twenty features, half from anywhere."""
    half = nonzeros // 2
    topics = generator.integers(0, f // 20, (n, 5))[:, np.arange(half) % 5]
    index = np.hstack(
        [20 * topics + generator.integers(0, 20, (n, half)), generator.integers(0, f, (n, nonzeros - half))]
    )
    values = np.asarray(generator.uniform(0.002, 0.2, index.shape), np.float32)
    pointers = np.arange(0, index.size + 1, nonzeros)
    matrix = sp.csr_array((values.ravel(), index.ravel().astype(np.int32), pointers), shape=(n, f))
    matrix.sum_duplicates()
    return matrix


def in_shards(spans: dict[str, sp.csr_array]) -> list[Shard]:
    n = spans["prompt"].shape[0]
    return [Shard({name: x[start : start + SHARD] for name, x in spans.items()}) for start in range(0, n, SHARD)]


def timed(name: str, work: Callable[[], ResultT], share: float = 1.0) -> tuple[ResultT, float]:
    """Run and print one line; seconds are divided by the share of the whole that was run."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = (time.perf_counter() - wall) / share, (time.process_time() - cpu) / share
    note = "" if share == 1 else f"  (scaled from {share:.2%} of it)"
    print(f"  {name:58} {cpu:9.2f} CPU s {wall:9.2f} wall s{note}", flush=True)
    return result, cpu


def groups_of_features(spans: dict[str, sp.csr_array], prompts: Prompts, baseline: bool) -> float:
    strength = sp.csr_array(sp.vstack([spans["chosen"], spans["rejected"]], format="csr"))
    activity, generator = Activity(strength, np.tile(prompts.code_N, 2)), np.random.default_rng(0)
    features, block = frequent_features(activity, 20), blocks_of_prompts(activity.prompt_S, generator)
    timed("chance", lambda: chance_correlation(activity, features, halves_of()[0][block], generator))
    graphs, _ = timed(
        "correlations on 20 halves", lambda: half_graphs(activity, features, block, halves_of(), 0.245, 0.01)
    )
    timed("Leiden on one half", lambda: communities(graphs[0], 0, 0.35))
    found, seconds = timed("all, with the consensus", lambda: response_clusters(
        activity, ResponseClusterSettings(resolution=0.35), 20, 0
    ))  # fmt: skip
    print(f"  {len(graphs[0].weight)} edges on a half, {len(found.stability_M)} clusters")
    if baseline:
        part = strength[:, : strength.shape[1] // 8]
        timed("baseline: numpy.corrcoef on each of the 20 halves", lambda: [
            np.corrcoef(part[inside[block]].toarray().T) for inside in halves_of()[:2]
        ], 2 / 20 / 64)  # fmt: skip
    return seconds


def feature_conditioned(shards: list[Shard], f: int, prompts: Prompts, baseline: bool) -> float:
    labels_F = np.arange(f) * RESPONSE_CLUSTERS // f + 1
    n = len(prompts.code_N)
    (activity, u), reading = timed("signals s and u", lambda: response_signals(shards, labels_F))
    label_N, _ = timed("spherical k-means", lambda: spherical_kmeans(activity, DATA_CLUSTERS, seed=0))
    tested, frame = Responses(u, [f"R{m}" for m in range(RESPONSE_CLUSTERS)]), RowFrame(prompts, np.zeros(n))
    _, testing = timed("every test", lambda: feature_view(tested, data_contexts([label_N]), label_N > 0, frame))
    if baseline:
        some = range(1, 9)
        timed("baseline: scipy ttest_ind by data cluster (Welch alone)", lambda: [
            stats.ttest_ind(u[label_N == k], u[label_N != k], equal_var=False) for k in some
        ], len(some) / DATA_CLUSTERS)  # fmt: skip
    return reading + testing


def prompt_conditioned(shards: list[Shard], f: int, prompts: Prompts, baseline: bool) -> float:
    labels_F = np.arange(f) * PROMPT_CLUSTERS // f + 1
    n = len(prompts.code_N)
    moments, reading = timed("moments of D", lambda: shift_moments(shards, "freq"))
    shift, scoring = timed("signals u", lambda: shift_signals(shards, labels_F, moments, "freq").shift_NM)
    score, ranking = timed("prompt scores", lambda: prompt_scores(shards, labels_F))
    tested = Responses(shift, [f"S{m}" for m in range(PROMPT_CLUSTERS)])
    n_top = default_top_rows(prompts, PROMPT_CLUSTERS, PROMPT_CLUSTERS)
    _, testing = timed(
        "every test",
        lambda: prompt_view(tested, top_rows(score, n_top, prompts.rank_N), RowFrame(prompts, np.zeros(n))),
    )
    if baseline:
        inside = top_rows(score[:, :8], n_top, prompts.rank_N).toarray()
        timed("baseline: scipy ttest_ind by prompt cluster (Welch alone)", lambda: [
            stats.ttest_ind(shift[rows], shift[~rows], equal_var=False) for rows in inside
        ], 8 / PROMPT_CLUSTERS)  # fmt: skip
    return reading + scoring + ranking + testing


def run(n: int, f: int, baseline: bool) -> tuple[float, float, float]:
    """Total CPU seconds of the three parts, from pooled features to numbers (k-means apart)."""
    generator = np.random.default_rng(0)
    spans = {name: synthetic_span(n, f, NONZEROS, generator) for name in ("prompt", "chosen", "rejected")}
    shards, prompts = in_shards(spans), Prompts.from_ids([str(i // 2) for i in range(n)])
    print(f"\n{n} pairs, {f} features, {NONZEROS} non-zeros a span, two pairs a prompt\nresponse clusters")
    graph = groups_of_features(spans, prompts, baseline)
    print(f"feature-conditioned, {DATA_CLUSTERS} data clusters × {RESPONSE_CLUSTERS} response clusters")
    feature = feature_conditioned(shards, f, prompts, baseline)
    print(f"prompt-conditioned, {PROMPT_CLUSTERS} × {PROMPT_CLUSTERS}")
    prompt = prompt_conditioned(shards, f, prompts, baseline)
    print(f"totals, CPU s: response clusters {graph:.2f}, feature {feature:.2f}, prompt {prompt:.2f}")
    return graph, feature, prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", action="store_true", help="also 5,000–40,000 pairs and 2,048–32,768 features")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, one thread")
    with threadpool_limits(1):
        sizes = {(PAIRS, FEATURES): run(PAIRS, FEATURES, baseline=True)}
        if arguments.growth:
            wanted = [(n, FEATURES) for n in (5_000, 10_000, 40_000)] + [(PAIRS, f) for f in (2_048, 32_768)]
            sizes |= {size: run(*size, baseline=False) for size in wanted}
    header = ("pairs", "features", "response clusters", "feature-conditioned", "prompt-conditioned")
    rows = [(*size, *(f"{value:.2f}" for value in seconds)) for size, seconds in sorted(sizes.items())]
    print(f"\n{markdown_table(header, rows)}")


if __name__ == "__main__":
    main()
