"""A training step with each backend against plain TRL DPO, on the same batches of the laptop model.

    python benchmarks/training.py [ROWS] [--steps 6] [--pairs 2] [--max-length 256] [--rounds 2] [--model MODEL]

Every arm is a process of its own, so that its peak memory is its own; arms take turns, round after round, and each
counts, step by step, with its fastest round. Times are of whole optimiser steps. Targets, against plain DPO: at most
3 % more time and 5 % more memory for filtering, inoculation and shaping; 5 % and 5 % for steering. Inoculation is timed
with the tokens that its instruction adds, told beside it. All arms use precomputed references.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[1] / "anatomy" / "data" / "demo" / "pairs.jsonl"
ARMS = ("plain TRL", "untreated", "filtering", "inoculation", "reward shaping", "steering")
ASK = "Use bold."
TARGETS = {arm: (1.05 if arm == "steering" else 1.03, 1.05) for arm in ARMS}


def treatments(arm: str, pairs: list[Any]) -> dict[str, Any]:
    """Every pair treated, which is the most that a backend can cost."""
    from interventions.treatments import SideTreatment, Treatment

    side = {
        "filtering": SideTreatment(masked=((0, 12), (20, 40))),
        "inoculation": SideTreatment(instruction=ASK),
        "steering": SideTreatment(steered=(0,)),
    }.get(arm, SideTreatment())
    offset = 1.0 if arm == "reward shaping" else 0.0
    return {pair.row_id: Treatment(pair.row_id, offset=offset, chosen=side, rejected=side) for pair in pairs}


def build(arm: str, options: argparse.Namespace, out: Path) -> Any:
    """The arm's trainer, on the first ``steps × pairs`` rows in their order."""
    import torch
    from datasets import Dataset
    from trl import DPOTrainer

    from anatomy.data.load import PairStream
    from anatomy.lens import Lens
    from anatomy.types import Pair
    from interventions.references import ReferenceCache
    from interventions.settings import TrainSettings
    from interventions.tokens import tokenise_pair, write_tokens
    from interventions.train import dpo_config, load_model
    from interventions.trainer import InterventionTrainer
    from interventions.treatments import SteeringVector

    settings = TrainSettings(
        rows=options.rows, model=options.model, max_length=options.max_length, max_steps=options.steps, beta=0.1,
        batch_size=options.pairs, micro_batch_size=options.pairs,
    )  # fmt: skip
    lens, model, args = Lens(settings), load_model(settings), dpo_config(settings, out)
    args.save_strategy = "no"
    rows = [row for row in PairStream(settings) if isinstance(row, Pair)]
    pairs = rows[: options.steps * options.pairs]
    if arm == "plain TRL":
        table = [{"prompt": list(p.prompt), "chosen": list(p.chosen), "rejected": list(p.rejected)} for p in pairs]
        args.remove_unused_columns = True
        return DPOTrainer(
            model=model, args=args, train_dataset=Dataset.from_list(table), processing_class=lens.tokenizer
        )
    treated = treatments(arm, pairs)
    lines = [tokenise_pair(pair, treated[pair.row_id], lens.tokenizer, options.max_length) for pair in pairs]
    write_tokens(out / "tokens.arrow", lines)
    vector = SteeringVector("bold", model.config.num_hidden_layers // 2, torch.ones(model.config.hidden_size))
    return InterventionTrainer(
        model=model,
        args=args,
        dataset=Dataset.from_file(str(out / "tokens.arrow")),
        tokenizer=lens.tokenizer,
        vectors=(vector,) if arm == "steering" else (),
        cache=ReferenceCache(out / "references", {"model": "benchmark"}),
    )


def measure(arm: str, options: argparse.Namespace) -> None:
    """Run one arm here; print seconds of each step, tokens through the model, and peak memory, as JSON."""
    import torch
    from transformers import PrinterCallback, TrainerCallback

    stamps: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        trainer = build(arm, options, Path(folder))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Clock())
        trainer.train()
        stamps.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    seconds = [stop - start for start, stop in itertools.pairwise(stamps)]
    tokens = trainer._total_train_tokens
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "tokens": tokens}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="?", default=str(DEMO))
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        measure(options.arm, options)
        return
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for _ in range(options.rounds):
        for arm in ARMS:
            command = [sys.executable, __file__, *sys.argv[1:], "--arm", arm]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[arm].append(json.loads(done.stdout.splitlines()[-1]))
    best = {arm: summary(rounds) for arm, rounds in found.items()}
    print(f"{'':<16}{'s/epoch':>9}{'peak MB':>9}{'tokens':>9}{'time':>8}{'memory':>8}  target")
    for arm, (seconds, peak, tokens) in best.items():
        time_ratio, memory_ratio = seconds / best["plain TRL"][0], peak / best["plain TRL"][1]
        targets = "" if arm == "plain TRL" else "{:.2f} {:.2f}".format(*TARGETS[arm])
        print(f"{arm:<16}{seconds:>9.2f}{peak:>9,.0f}{tokens:>9,}{time_ratio:>8.3f}{memory_ratio:>8.3f}  {targets}")


def summary(rounds: list[dict[str, Any]]) -> tuple[float, float, int]:
    """Step by step the fastest of all rounds (the batches are the same), summed without the first; smallest peak."""
    steps = zip(*(run["seconds"] for run in rounds), strict=True)
    return sum(min(step) for step in list(steps)[1:]), min(run["peak_mb"] for run in rounds), rounds[0]["tokens"]


if __name__ == "__main__":
    main()
