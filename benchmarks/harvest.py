"""Harvest against a bare forward pass of the Hugging Face model to the same layer, on the same padded batches.

    python -m benchmarks.harvest [ROWS] [--pairs 48] [--repeats 2] [--sae SAE | --random-sae] [--model MODEL]

The harvest counts everything from messages to Parquet: template, tokens, forward pass, SAE, pooling, health, writing.
Both are run in turn in one process, best of ``repeats``; the target is a ratio of tokens/s ≥ 0.85 with ≤ 10 % padding.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from anatomy.activations.batches import Batch
from anatomy.activations.forward import residuals
from anatomy.activations.model import Subject, load_subject, load_tokenizer, locate_model
from anatomy.activations.spans import encode_row
from anatomy.data.pair_stream import PairStream
from anatomy.errors import SAEError
from anatomy.features import harvesting
from anatomy.features.pooling import Encoder
from anatomy.settings import HarvestSettings
from anatomy.types import Pair

DEMO = Path(__file__).parents[1] / "anatomy" / "data" / "demo" / "pairs.jsonl"


class Stop(Exception):
    """Ends the bare forward pass before the block that is not wanted."""


class Cost(NamedTuple):
    wall: float
    cpu: float


class RandomSAE:
    """Weights at random, about 40 of 4,096 features on at a time: costs what a trained SAE costs."""

    n_features, layer = 4096, 20

    def __init__(self, subject: Subject) -> None:
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(subject.width, self.n_features, generator=generator)
        self.W_DF = (weights / weights.norm(dim=0)).to(subject.device)

    def encode(self, x_BD: Tensor) -> Tensor:
        a_BF = x_BD @ self.W_DF
        found_BF: Tensor = torch.where(a_BF > 2.33 * a_BF.std(1, keepdim=True), a_BF, 0.0)
        return found_BF

    def decode(self, a_BF: Tensor) -> Tensor:
        x_BD: Tensor = a_BF @ self.W_DF.T
        return x_BD


def timed(work: Callable[[], object]) -> Cost:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


@contextlib.contextmanager
def recorded_batches() -> Iterator[list[Batch]]:
    """The batches that the harvest runs, as it runs them."""
    batches: list[Batch] = []

    def record(subject: Subject, batch: Batch, layer: int) -> Tensor:
        batches.append(batch)
        return residuals(subject, batch, layer)

    with mock.patch.object(harvesting, "residuals", record):
        yield batches


@torch.inference_mode()
def bare_forward(model: Any, batches: list[Batch], layer: int) -> None:
    """HF's own forward pass up to the end of block ``layer``, outputs thrown away."""

    def stop(*_: object) -> None:
        raise Stop

    blocks = model.model.layers
    handle = blocks[layer + 1].register_forward_pre_hook(stop) if layer + 1 < len(blocks) else None
    try:
        for batch in batches:
            with contextlib.suppress(Stop):
                model.model(torch.from_numpy(batch.ids_BT).long().to(model.device), use_cache=False)
    finally:
        if handle is not None:
            handle.remove()


def find_sae(settings: HarvestSettings, subject: Subject, random: bool) -> tuple[Encoder, str]:
    from anatomy.sae.load_sae import load_sae

    if not random:
        try:
            sae = load_sae(settings, subject)
            return sae, sae.name
        except SAEError as error:
            print(f"{error}; random weights instead")
    return RandomSAE(subject), "random weights"


def report(name: str, cost: Cost, tokens: int) -> None:
    print(f"{name:<28}{tokens / cost.wall:>12,.0f}{cost.wall:>10.1f}{cost.cpu:>10.1f}")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rows", nargs="?", default=str(DEMO))
    parser.add_argument("--pairs", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--random-sae", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--sae")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    options = parser.parse_args(words)
    settings = HarvestSettings(
        rows=options.rows, limit=options.pairs, model=options.model, sae=options.sae, batch_tokens=options.batch_tokens
    )
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    source = locate_model(settings)
    bare: Any = AutoModelForCausalLM.from_pretrained(source.path, dtype=subject.dtype, **source.arguments)
    bare = bare.to(subject.device).eval()
    sae, sae_name = find_sae(settings, subject, options.random_sae)
    pairs = [row for row in PairStream(settings) if isinstance(row, Pair)]
    pairs = [pair for pair in pairs if encode_row(pair, tokenizer, settings).fault is None]
    with tempfile.TemporaryDirectory() as folder:
        runs = iter(range(10_000))

        def harvest() -> None:
            out = Path(folder) / str(next(runs))
            harvesting.harvest(pairs, tokenizer, subject, sae, out, "benchmark", settings)

        with recorded_batches() as batches:
            harvest()  # warms up, too
        bare_forward(bare, batches, sae.layer)
        costs: dict[str, list[Cost]] = {"bare": [], "harvest": []}
        for _ in range(options.repeats):
            costs["bare"].append(timed(lambda: bare_forward(bare, batches, sae.layer)))
            costs["harvest"].append(timed(harvest))
        disk = sum(path.stat().st_size for path in (Path(folder) / "0").iterdir())
    tokens = sum(int(batch.lengths_B.sum()) for batch in batches)
    padded = sum(batch.ids_BT.size for batch in batches)
    best = {name: Cost(min(c.wall for c in found), min(c.cpu for c in found)) for name, found in costs.items()}
    print(f"{subject.name}, block {sae.layer}, {subject.dtype}, {subject.device}, {torch.get_num_threads()} threads")
    print(
        f"SAE: {sae_name}, {sae.n_features} features; {len(pairs)} pairs, {tokens:,} tokens in {len(batches)} batches"
    )
    print(f"{'':<28}{'tokens/s':>12}{'wall s':>10}{'CPU s':>10}")
    report("bare forward pass", best["bare"], tokens)
    report("harvest", best["harvest"], tokens)
    ratios = [best["bare"].wall / best["harvest"].wall, best["bare"].cpu / best["harvest"].cpu]
    print(f"harvest / bare: {ratios[0]:.2f} by wall time, {ratios[1]:.2f} by CPU time (target 0.85)")
    print(
        f"padding: {1 - tokens / padded:.1%} of tokens (target 10 %); {disk / len(pairs) / 1024:.1f} KiB a pair on disk"
    )


if __name__ == "__main__":
    main()
