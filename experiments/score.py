"""Log-probabilities of held-out pairs under a model: a step of the studies, a process of its own.

Writes JSON: by prompt id, the summed log-probability (nats) of the chosen and of the rejected response.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from anatomy import artifacts
from anatomy.activations.spans import encode_row
from anatomy.data.pair_stream import read_pairs
from anatomy.rollouts.log_probs import summed
from anatomy.rollouts.trained_model import load_policy
from anatomy.settings import ModelSettings, RowSettings
from anatomy.types import SIDES, Pair


def margins_grown(before: Path, after: Path) -> dict[str, bool]:
    """By prompt id, whether the margin of its pair moved towards chosen between two files of scores."""
    start, end = artifacts.read_json(before), artifacts.read_json(after)
    return {prompt: bool(np.subtract(*end[prompt]) > np.subtract(*start[prompt])) for prompt in start}


def reward_accuracy(before: Path, after: Path) -> tuple[float, float, float, int]:
    """Share of pairs whose margin training moved towards chosen, its exact 95 % interval, and the number of pairs."""
    grown = margins_grown(before, after).values()
    interval = stats.binomtest(sum(grown), len(grown)).proportion_ci()
    return sum(grown) / len(grown), float(interval.low), float(interval.high), len(grown)


def main(words: Sequence[str] | None = None) -> int:
    """Score, unless ``--out`` is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="default: the laptop model")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--max-pairs", type=int, help="the first ones only")
    parser.add_argument("--device", default="auto")
    told = parser.parse_args(words)
    settings = ModelSettings(model=told.model, max_length=told.max_length, max_prompt_length=told.max_length // 2,
                             dtype="float32", device=told.device)  # fmt: skip
    artifacts.write_json(told.out, score(told.pairs, settings, told.max_pairs))
    return 0


def score(path: Path, settings: ModelSettings, most: int | None = None) -> dict[str, list[float]]:
    """By prompt id, the summed log-probabilities of chosen and rejected; pairs with an empty response are left out."""
    rows = [row for row in read_pairs(RowSettings(rows=str(path))) if isinstance(row, Pair)][:most]
    subject, tokenizer = load_policy(settings)
    encoded = {pair.prompt_id: [encode_row(pair, tokenizer, settings).sides[side] for side in SIDES] for pair in rows}
    kept = {prompt: sides for prompt, sides in encoded.items() if all(side.spans["response"].any() for side in sides)}
    sides = [side for both in kept.values() for side in both]
    counted = [side.spans["response"] for side in sides]
    sum_N2 = summed([side.ids for side in sides], counted, subject, settings.batch_tokens).reshape(-1, len(SIDES))
    return dict(zip(kept, sum_N2.tolist(), strict=True))


if __name__ == "__main__":
    main()
