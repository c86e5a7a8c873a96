"""The preference sets, split so that no prompt is in both parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from anatomy.data.faults import Fault
from anatomy.data.load import read_pairs
from anatomy.settings import RowSettings
from anatomy.types import Pair


class Source(NamedTuple):
    """A set: its file, held-out prompts, completions of each, learning rate, and whose prompts are held out."""

    file: str
    held_out: int
    samples: int
    learning_rate: float = 1e-5
    prompts: str | None = None


SETS = {
    "alpaca_eval": Source("alpaca_eval_pairs.parquet", 280, 4),  # of 605: more would leave few to train on
    "hh": Source("hh_harmless.jsonl.gz", 500, 2),
    "sharegpt": Source("sharegpt_pairs.json", 280, 4, 3e-5, "alpaca_eval"),  # a third of the steps, three times as long
}
TRAIN, HELD_OUT, SCORES = "train.jsonl", "held_out.jsonl", "scores.json"
MARGIN = 1.05
"""Held-out prompts per prompt wanted: some are longer than the window and are left out."""


def write_split(data: Path, name: str, out: Path, pairs: int, held_out: int, longest: int | None = None) -> None:
    """``train.jsonl`` (at most ``pairs`` rows, spread over prompts) and ``held_out.jsonl`` (one a prompt) of a set.

    Which prompts are held out is decided by their hash, so that it is the same in every run. At most nine tenths of the
    prompts are. ``longest`` leaves out prompts of more characters than that. Of a set whose held-out prompts are
    another one's, all pairs are trained on.
    """
    groups = _by_prompt(data, SETS[name].prompts or name, longest)
    cut = min(round(MARGIN * held_out), 9 * len(groups) // 10)
    others = groups[cut:] if SETS[name].prompts is None else _by_prompt(data, name, longest)
    _write(out / TRAIN, _spread(others, pairs))
    _write(out / HELD_OUT, _spread(groups[:cut], cut))


def _by_prompt(data: Path, name: str, longest: int | None) -> list[list[Pair]]:
    """The rows of each prompt, in the order of the prompts' hashes."""
    found: dict[str, list[Pair]] = {}
    for row in pairs_of(data / SETS[name].file):
        if longest is None or sum(len(turn["content"] or "") for turn in row.prompt) <= longest:
            found.setdefault(row.prompt_id, []).append(row)
    return [found[prompt] for prompt in sorted(found, key=lambda prompt: hashlib.sha256(prompt.encode()).hexdigest())]


def without(rows: Path, row_ids: set[str], out: Path) -> None:
    """The rows of a training file but those named."""
    _write(out, [row for row in pairs_of(rows) if row.row_id not in row_ids])


def swap(rows: Path, out: Path) -> None:
    """The rows of a training file with every label turned round."""
    _write(out, [replace(row, chosen=row.rejected, rejected=row.chosen) for row in pairs_of(rows)])


def pairs_of(rows: Path) -> list[Pair]:
    return [row for row in read_pairs(RowSettings(rows=str(rows))) if not isinstance(row, Fault)]


def _spread(groups: Sequence[Sequence[Pair]], wanted: int) -> list[Pair]:
    """Up to ``wanted`` rows: the first of every prompt in random order, then the second of each, and so on."""
    generator = np.random.default_rng(0)
    shuffled = [[group[place] for place in generator.permutation(len(group))] for group in groups]
    rounds = [[group[turn] for group in shuffled if len(group) > turn] for turn in range(max(map(len, shuffled)))]
    return [row for turn in rounds for row in turn][:wanted]


def _write(path: Path, rows: Sequence[Pair]) -> None:
    told = [{side: list(getattr(row, side)) for side in ("prompt", "chosen", "rejected")} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
