"""A training step with each backend against plain TRL DPO, on the same batches of the laptop model.

    OMP_NUM_THREADS=1 python -m benchmarks.training [ROWS] [--steps 33] [--pairs 2] [--max-length 128] [--arms ARM ...]

Each arm runs beside plain TRL, both in processes of their own (so that peak memory is each one's own), and the two
take turns step by step on the same batches: what else the machine does hits both. Reported is the ratio of their times
(geometric mean over whole optimiser steps, batch loading included) with its 95 % interval (Student's t over steps).
glibc keeps freed memory: a fifth of a step is otherwise spent on fetching it again, now more, now less.
Targets, against plain DPO: at most 3 % more time and 5 % more memory for filtering, inoculation and shaping; 5 % and 5
% for steering. Inoculation is timed with the tokens that its instruction adds; the ratio of tokens stands next to it.
All arms use precomputed references.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scipy import stats

DEMO = Path(__file__).parents[1] / "anatomy" / "data" / "demo" / "pairs.jsonl"
BATCHES = 8
"""Different batches, of which steps make several rounds: the references of plain TRL take as long as a step."""
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34), "MALLOC_TOP_PAD_": str(2**26)}
ARMS = ("unedited", "filtering", "inoculation", "reward shaping", "steering")
ASK = "Use bold."
TARGETS = {arm: (1.05 if arm == "steering" else 1.03, 1.05) for arm in ARMS}


def edits(arm: str, pairs: list[Any]) -> dict[str, Any]:
    """Every pair edited, which is the most that a backend can cost."""
    from interventions.backends.pair_edits import PairEdit, SideEdit

    side = {
        "filtering": SideEdit(masked=((0, 12), (20, 40))),
        "inoculation": SideEdit(instruction=ASK),
        "steering": SideEdit(steered=(0,)),
    }.get(arm, SideEdit())
    offset = 1.0 if arm == "reward shaping" else 0.0
    return {pair.row_id: PairEdit(pair.row_id, offset=offset, chosen=side, rejected=side) for pair in pairs}


def build(arm: str, options: argparse.Namespace, out: Path) -> Any:
    """The arm's trainer, on the first ``BATCHES × pairs`` rows."""
    import torch
    from datasets import Dataset
    from trl.trainer.dpo_trainer import DPOTrainer

    from anatomy.data.pair_stream import PairStream
    from anatomy.sae.model_bundle import ModelBundle
    from anatomy.types import Pair
    from interventions.backends.pair_edits import SteeringVector
    from interventions.training.dpo_trainer import InterventionTrainer
    from interventions.training.reference_cache import ReferenceCache
    from interventions.training.run_training import dpo_config, load_model
    from interventions.training.token_rows import tokenise_pair, write_tokens
    from interventions.training.train_settings import TrainSettings

    settings = TrainSettings(
        rows=options.rows, model=options.model, max_length=options.max_length, max_steps=options.steps, beta=0.1,
        batch_size=options.pairs, micro_batch_size=options.pairs,
    )  # fmt: skip
    bundle, model, args = ModelBundle(settings), load_model(settings), dpo_config(settings, out)
    args.save_strategy = "no"
    rows = [row for row in PairStream(settings) if isinstance(row, Pair)]
    pairs = rows[: min(options.steps, BATCHES) * options.pairs]
    if arm == "plain TRL":
        table = [{"prompt": list(p.prompt), "chosen": list(p.chosen), "rejected": list(p.rejected)} for p in pairs]
        args.remove_unused_columns = True
        return DPOTrainer(
            model=model, args=args, train_dataset=Dataset.from_list(table), processing_class=bundle.tokenizer
        )
    edited = edits(arm, pairs)
    lines = [tokenise_pair(pair, edited[pair.row_id], bundle.tokenizer, options.max_length) for pair in pairs]
    write_tokens(out / "tokens.arrow", lines)
    vector = SteeringVector("bold", model.config.num_hidden_layers // 2, torch.ones(model.config.hidden_size))
    return InterventionTrainer(
        model=model,
        args=args,
        dataset=Dataset.from_file(str(out / "tokens.arrow")),
        tokenizer=bundle.tokenizer,
        vectors=(vector,) if arm == "steering" else (),
        cache=ReferenceCache(out / "references", {"model": "benchmark"}),
    )


def measure(arm: str, options: argparse.Namespace) -> None:
    """Run one arm here, a step whenever a line comes in; says the seconds of each step, at last tokens and memory."""
    import torch
    from transformers import PrinterCallback, TrainerCallback

    class Turns(TrainerCallback):
        """A step, with the loading of its batch, lasts from the line that asks for it to its end."""

        def __init__(self) -> None:
            self.start = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.wait()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            print(json.dumps(time.perf_counter() - self.start), flush=True)
            self.wait()

        def wait(self) -> None:
            sys.stdin.readline()
            self.start = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        trainer = build(arm, options, Path(folder))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Turns())
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"peak_mb": peak, "tokens": trainer._total_train_tokens}), flush=True)


class Child:
    """An arm in a process of its own, which steps on request."""

    def __init__(self, arm: str, words: list[str]) -> None:
        command = [sys.executable, "-m", "benchmarks.training", *words, "--arm", arm]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **KEEP_MEMORY})  # fmt: skip

    def ask(self) -> Any:
        """One step, or the last word; what the trainer prints itself is passed over."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                return json.loads(line)
        raise SystemExit("an arm ended early; its message is above")


def compare(arm: str, options: argparse.Namespace, words: list[str]) -> tuple[list[float], list[float], dict[str, Any]]:
    """Log ratio of each step's seconds to plain TRL's on the same batch, plain TRL's seconds, and the peaks of both.

    The two take turns step by step, who is first changes, and the first step, which warms up, is left out.
    """
    plain, other = Child("plain TRL", words), Child(arm, words)
    ratios, seconds = [], []
    for step in range(options.steps):
        order = (plain, other) if step % 2 else (other, plain)
        took = {child: child.ask() for child in order}
        ratios.append(math.log(took[other] / took[plain]))
        seconds.append(took[plain])
    last = {"plain": plain.ask(), "arm": other.ask()}
    return ratios[1:], seconds[1:], last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="?", default=str(DEMO))
    parser.add_argument("--steps", type=int, default=33)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--model")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS, help="some of them")
    parser.add_argument("--arm", choices=["plain TRL", *ARMS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        measure(options.arm, options)
        return
    print(f"{'':<16}{'plain s':>9}{'time':>8}{'95 %':>16}{'plain MB':>10}{'memory':>8}{'tokens':>8}  target")
    for arm in options.arms:
        ratios, seconds, last = compare(arm, options, sys.argv[1:])
        error = stats.sem(ratios) * stats.t.ppf(0.975, len(ratios) - 1)
        low, middle, high = (math.exp(statistics.mean(ratios) + side * error) for side in (-1, 0, 1))
        memory = last["arm"]["peak_mb"] / last["plain"]["peak_mb"]
        more = last["arm"]["tokens"] / last["plain"]["tokens"]
        print(f"{arm:<16}{statistics.median(seconds):>9.2f}{middle:>8.3f}{f'{low:.3f} to {high:.3f}':>16}"
              f"{last['plain']['peak_mb']:>10,.0f}{memory:>8.3f}{more:>8.3f}"
              f"  {' '.join(f'{target:.2f}' for target in TARGETS[arm])}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
