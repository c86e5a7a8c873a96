"""The two preference sets, split so that no prompt is in both parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anatomy.data.faults import Fault
from anatomy.data.load import read_pairs
from anatomy.settings import RowSettings
from anatomy.types import Pair

FILES = {"alpaca_eval": "alpaca_eval_pairs.parquet", "hh": "hh_harmless.jsonl.gz"}
HELD_OUT_OF = {"alpaca_eval": (280, 4), "hh": (500, 2)}
"""Prompts held out of a set, and completions of each. AlpacaEval has 605 prompts: more would leave few to train on."""
TRAIN, HELD_OUT, SCORES = "train.jsonl", "held_out.jsonl", "scores.json"
MARGIN = 1.05
"""Held-out prompts per prompt wanted: some are longer than the window and are left out."""


def write_split(data: Path, name: str, out: Path, pairs: int, held_out: int, longest: int | None = None) -> None:
    """``train.jsonl`` (at most ``pairs`` rows, spread over prompts) and ``held_out.jsonl`` (one a prompt) of a set.

    Which prompts are held out is decided by their hash, so that it is the same in every run. At most nine tenths of the
    prompts are. ``longest`` leaves out prompts of more characters than that.
    """
    rows = _pairs(data / FILES[name])
    by_prompt: dict[str, list[Pair]] = {}
    for row in rows:
        if longest is not None and sum(len(turn["content"] or "") for turn in row.prompt) > longest:
            continue
        by_prompt.setdefault(row.prompt_id, []).append(row)
    order = sorted(by_prompt, key=lambda prompt: hashlib.sha256(prompt.encode()).hexdigest())
    cut = min(round(MARGIN * held_out), 9 * len(order) // 10)
    kept = _spread([by_prompt[prompt] for prompt in order[cut:]], pairs)
    _write(out / TRAIN, kept)
    _write(out / HELD_OUT, _spread([by_prompt[prompt] for prompt in order[:cut]], cut))


def without(rows: Path, row_ids: set[str], out: Path) -> None:
    """The rows of a training file but those named."""
    _write(out, [row for row in _pairs(rows) if row.row_id not in row_ids])


def _pairs(rows: Path) -> list[Pair]:
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
