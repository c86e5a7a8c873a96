"""Log-probabilities under a model, a step of the studies: of held-out pairs, or of completions.

``--pairs FILE`` writes JSON: by prompt id, the summed log-probability (nats) of the chosen and the rejected response.
``--rollouts DIR DIR`` writes the table of :func:`anatomy.rollouts.completion_log_probs.completion_log_probs`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from anatomy import artifacts
from anatomy.activations.spans import encode_row
from anatomy.data.pair_stream import read_pairs
from anatomy.rollouts.completion_log_probs import completion_log_probs
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


def score(path: Path, settings: ModelSettings, most: int | None = None) -> dict[str, list[float]]:
    """By prompt id, the summed log-probabilities of chosen and rejected; pairs with an empty response are left out."""
    rows = [row for row in read_pairs(RowSettings(rows=str(path))) if isinstance(row, Pair)][:most]
    subject, tokenizer = load_policy(settings)
    encoded = {pair.prompt_id: list(encode_row(pair, tokenizer, settings).sides.values()) for pair in rows}
    kept = {prompt: sides for prompt, sides in encoded.items() if all(side.spans["response"].any() for side in sides)}
    sides = [side for both in kept.values() for side in both]
    counted = [side.spans["response"] for side in sides]
    sum_N2 = summed([side.ids for side in sides], counted, subject, settings.batch_tokens).reshape(-1, len(SIDES))
    return dict(zip(kept, sum_N2.tolist(), strict=True))


def main(words: Sequence[str] | None = None) -> int:
    """Write the log-probabilities of what was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="default: the laptop model")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pairs", type=Path, help="preference rows")
    what.add_argument("--rollouts", type=Path, nargs="+", help="folders of completions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-length", type=int, default=2048, help="tokens of prompt and response (2048)")
    parser.add_argument("--max-pairs", type=int, help="the first ones only")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args(words)
    settings = ModelSettings(model=given.model, max_length=given.max_length, max_prompt_length=given.max_length // 2,
                             dtype=given.dtype, device=given.device)  # fmt: skip
    if given.pairs:
        artifacts.write_json(given.out, score(given.pairs, settings, given.max_pairs))
    else:
        artifacts.write_table(given.out, completion_log_probs(given.rollouts, settings))
        artifacts.record_outputs(given.out.parent, [given.out.name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
