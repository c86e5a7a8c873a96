"""Scoring by detectors against the harvest of the same pairs, in turn in one process.

    python -m benchmarks.scores [ROWS] [--pairs 48] [--repeats 2] [--model MODEL]

Detectors have random weights, which cost what fitted ones cost, and read the harvest's block. Several share one pass.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from anatomy.activations.model import Subject, load_subject, load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.concepts.scores import score_rows
from anatomy.data.pair_stream import PairStream
from anatomy.features import harvesting
from anatomy.settings import HarvestSettings
from anatomy.types import Pair
from benchmarks.harvest import DEMO, Cost, find_sae, report, timed
from probes.attention_probe import AttentionProbe
from probes.detector import Detector, Estimator, Provenance
from probes.difference_of_means import DifferenceOfMeans
from probes.examples import Examples
from probes.linear_probe import LinearProbe


def detectors(subject: Subject, layer: int) -> list[Detector]:
    """A difference of means, a linear and an attention probe, fitted to noise."""
    number = np.arange(32)
    noise = Examples(
        torch.randn(128, subject.width), np.arange(0, 129, 4), number % 2, number, np.full(32, -1), np.arange(128) % 2
    )
    made = Provenance(model=subject.name, model_fingerprint=subject.fingerprint)
    estimators: dict[str, Estimator] = {
        "means": DifferenceOfMeans().fit(noise),
        "linear": LinearProbe().fit(noise),
        "attention": AttentionProbe().fit(noise),
    }
    return [Detector(found, name, layer, "max", 0.0, made) for name, found in estimators.items()]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rows", nargs="?", default=str(DEMO))
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--model")
    parser.add_argument("--sae")
    options = parser.parse_args(words)
    settings = HarvestSettings(rows=options.rows, limit=options.pairs, model=options.model, sae=options.sae)
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    sae, _ = find_sae(settings, subject, random=False)
    found = [row for row in PairStream(settings) if isinstance(row, Pair)]
    encoded = [encode_row(pair, tokenizer, settings) for pair in found]
    pairs = [pair for pair, parts in zip(found, encoded, strict=True) if parts.fault is None]
    tokens = sum(
        len(parts.sides[side].ids) for parts in encoded if parts.fault is None for side in ("chosen", "rejected")
    )
    scorers = detectors(subject, sae.layer)
    with tempfile.TemporaryDirectory() as folder:
        runs = iter(range(10_000))

        def harvest() -> None:
            out = Path(folder) / str(next(runs))
            harvesting.harvest(pairs, tokenizer, subject, sae, out, "benchmark", settings)

        def score(wanted: list[Detector]) -> Callable[[], None]:
            def work() -> None:
                out = Path(folder) / str(next(runs))
                score_rows(pairs, wanted, tokenizer, lambda: subject, out, "benchmark", settings)

            return work

        works = {"harvest": harvest, "scores, 1 detector": score(scorers[:1]), "scores, 3 detectors": score(scorers)}
        harvest()  # warms up
        costs: dict[str, list[Cost]] = {name: [] for name in works}
        for _ in range(options.repeats):
            for name, work in works.items():
                costs[name].append(timed(work))
    best = {name: Cost(min(c.wall for c in found), min(c.cpu for c in found)) for name, found in costs.items()}
    print(f"{subject.name}, block {sae.layer}, {subject.dtype}, {subject.device}, {torch.get_num_threads()} threads")
    print(f"{len(pairs)} pairs, {tokens:,} tokens before equal sequences are shared")
    print(f"{'':<28}{'tokens/s':>12}{'wall s':>10}{'CPU s':>10}")
    for name, cost in best.items():
        report(name, cost, tokens)


if __name__ == "__main__":
    main()
