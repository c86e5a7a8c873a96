"""What a study will cost on two CPU cores, told before it starts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from anatomy import artifacts
from experiments.poisoning.poisoned_sets import PARTS, SCORES, SFT, TRAIN, Row, read_rows

TRAINING, SAMPLING, READING = 140, 170, 500
"""Tokens a second of the laptop model on two CPU cores: in training, in completions, in a forward pass."""
START = 30
"""Seconds that a process takes to load and to save."""
TEMPLATE = 30
CHARACTERS = 4.5
"""Tokens of a template, and characters of a token."""


def announce(out: Path, arms: Sequence[str], seeds: Sequence[int], part: str, sampled: int) -> float:
    """Print what is still to be done and how long it takes; returns seconds.

    Args:
        sampled: tokens of completions of one prompt.
    """
    held_out = read_rows(out / PARTS[part])
    look = len(held_out) * sampled / SAMPLING + tokens(held_out) / READING + 2 * START
    total = 0.0 if (out / "sft" / artifacts.TRAINED).is_file() else tokens(read_rows(out / SFT)) / 2 / TRAINING + START
    for seed in seeds:
        for arm in ["before", *arms]:
            folder = out / f"seed-{seed}" / arm
            seconds = 0.0 if (folder / SCORES.format(part)).is_file() else look
            if arm != "before" and not (folder / artifacts.TRAINED).is_file():
                seconds += training(arm, out, seed)
            print(f"seed {seed}, {arm}: {seconds / 60:.0f} min", file=sys.stderr)
            total += seconds
    print(f"in all about {total / 3600:.1f} hours; --arms and --seeds run a part of it", file=sys.stderr)
    return total


def training(arm: str, out: Path, seed: int) -> float:
    """Seconds of one training: steps, the reference where no other arm had the rows, and scores of a detector."""
    read = tokens(read_rows(out / (TRAIN if arm == "clean" else f"poisoned-{seed}.jsonl")))
    forward = {"poisoned": 1, "steering": 1}.get(arm.split(".")[0], 0)
    return read / TRAINING + forward * read / READING + START


def tokens(rows: Sequence[Row]) -> float:
    """Tokens of both sides with their prompts, about."""
    texts = [(row["prompt"], row[side]) for row in rows for side in ("chosen", "rejected")]
    return sum(TEMPLATE + sum(len(turn["content"]) for part in text for turn in part) / CHARACTERS for text in texts)
