"""The preference sets, split so that no prompt is in both parts; and their rows without some, or with swapped labels.

Three steps of the study: ``split``, ``without`` and ``swap``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from anatomy import artifacts
from anatomy.data.faults import Fault
from anatomy.data.pair_stream import read_pairs
from anatomy.settings import RowSettings
from anatomy.types import Message, Pair


def pairs_of(rows: Path) -> list[Pair]:
    """The pairs of a file in any format that the command line reads."""
    return [row for row in read_pairs(RowSettings(rows=str(rows))) if not isinstance(row, Fault)]


def xstest_pairs(path: Path) -> list[Pair]:
    """Return, for each prompt, every pair of completions that differ in compliance (in refusal, if it is unsafe).

    A prompt whose completions are all alike has one pair with empty sides: it can be held out, not trained on.
    """
    table = pq.read_table(path).to_pandas().sort_values(["id", "model"])
    found: list[Pair] = []
    for prompt, part in table.groupby("prompt", sort=False):
        sign = -1 if str(part["type"].iloc[0]).startswith("contrast") else 1
        known = zip(part["completion"], part["final_label"].map(COMPLIES) * sign, strict=True)
        turns = [{"role": "user", "content": str(prompt)}]
        two = [sorted(both, key=lambda item: -item[1]) for both in itertools.combinations(known, 2)]
        sides: list[list[Sequence[Message]]] = [[[{"role": "assistant", "content": text.strip()}] for text, _ in both]
                                                for both in two if both[0][1] != both[1][1]]  # fmt: skip
        for chosen, rejected in sides or [[(), ()]]:
            found.append(Pair(len(found), turns, chosen, rejected))
    return found


COMPLIES = {"1_full_compliance": 2, "3_partial_refusal": 1, "2_full_refusal": 0}


class StudySet(NamedTuple):
    """A set: its file, held-out prompts, completions of each, learning rate, whose prompts are held out, its reader.

    ``unpaired``: the held-out prompts are those that have no pair; a training then has no reward accuracy.
    """

    file: str
    held_out: int
    samples: int
    learning_rate: float = 1e-5
    prompts: str | None = None
    read: Callable[[Path], list[Pair]] = pairs_of
    unpaired: bool = False


SETS = {
    "alpaca_eval": StudySet("alpaca_eval_pairs.parquet", 280, 4),  # of 605: more would leave few to train on
    "hh": StudySet("hh_harmless.jsonl.gz", 500, 2),
    "sharegpt": StudySet(
        "sharegpt_pairs.json", 280, 4, 3e-5, "alpaca_eval"
    ),  # a third of the steps, three times as long
    "xstest": StudySet("xstest_completions.parquet", 280, 4, 2e-5, read=xstest_pairs, unpaired=True),
}
TRAIN, HELD_OUT, SCORES = "train.jsonl", "held_out.jsonl", "scores.json"
MARGIN = 1.05
"""Held-out prompts per prompt wanted: some are longer than the window and are left out."""


def write_split(data: Path, name: str, out: Path, pairs: int, held_out: int, longest: int | None = None) -> None:
    """``train.jsonl`` (at most ``pairs`` rows, spread over prompts) and ``held_out.jsonl`` (one a prompt) of a set.

    Which prompts are held out is decided by their hash, so that it is the same in every run. At most nine tenths of the
    prompts are. ``longest`` leaves out prompts of more characters than that. A set that borrows its held-out prompts
    from another one trains on all of its pairs.
    """
    source = SETS[name]
    groups = _by_prompt(data, source.prompts or name, longest)
    unpaired = [group for group in groups if not group[0].chosen]
    cut = min(round(MARGIN * held_out), len(unpaired) if source.unpaired else 9 * len(groups) // 10)
    others = groups[cut:] if source.prompts is None else _by_prompt(data, name, longest)
    if source.unpaired:
        groups, others = unpaired, [group for group in groups if group[0].chosen]
    _write(out / TRAIN, _spread(others, pairs))
    _write(out / HELD_OUT, _spread(groups[:cut], cut))


def _by_prompt(data: Path, name: str, longest: int | None) -> list[list[Pair]]:
    """The rows of each prompt, in the order of the prompts' hashes."""
    found: dict[str, list[Pair]] = {}
    for row in SETS[name].read(data / SETS[name].file):
        if longest is None or sum(len(turn["content"] or "") for turn in row.prompt) <= longest:
            found.setdefault(row.prompt_id, []).append(row)
    return [found[prompt] for prompt in sorted(found, key=lambda prompt: hashlib.sha256(prompt.encode()).hexdigest())]


def without(rows: Path, row_ids: Set[str], out: Path, beside: Set[str]) -> None:
    """The rows of a training file but those named, in the places that they have in another arm's file.

    ``beside``: as many rows that the other arm is trained without. What only that arm lacks stands here where that arm
    has what is left out here: a trainer that deals rows by their number gives both the same batches but for these.

    Raises:
        ValueError: the arms do not leave out as many rows.
    """
    all_rows = pairs_of(rows)
    by_id = {row.row_id: row for row in all_rows}
    ours, theirs = ([row for row in by_id if row in some] for some in (row_ids - beside, beside - row_ids))
    instead = {left: by_id[other] for left, other in zip(ours, theirs, strict=True)}
    kept = [instead.get(row.row_id, row) for row in all_rows if row.row_id not in beside]
    _write(out, kept)


def swap(rows: Path, out: Path) -> None:
    """The rows of a training file with every label flipped."""
    _write(out, [replace(row, chosen=row.rejected, rejected=row.chosen) for row in pairs_of(rows)])


def _spread(groups: Sequence[Sequence[Pair]], wanted: int) -> list[Pair]:
    """Up to ``wanted`` rows: the first of every prompt in random order, then the second of each, and so on."""
    generator = np.random.default_rng(0)
    shuffled = [[group[place] for place in generator.permutation(len(group))] for group in groups]
    rounds = [[group[turn] for group in shuffled if len(group) > turn] for turn in range(max(map(len, shuffled)))]
    return [row for turn in rounds for row in turn][:wanted]


def _write(path: Path, rows: Sequence[Pair]) -> None:
    lines = [{side: list(turns) for side in ("prompt", "chosen", "rejected") if (turns := getattr(row, side))}
            for row in rows]  # fmt: skip
    artifacts.write_text(path, "".join(json.dumps(row) + "\n" for row in lines))


def main(words: Sequence[str] | None = None) -> int:
    """Write a split of a set, or rows of a training file that were changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    splitting = verbs.add_parser("split", help="pairs to train on, and held-out prompts")
    splitting.add_argument("--data", type=Path, required=True, help="folder with the data sets")
    splitting.add_argument("--set", choices=sorted(SETS), required=True)
    splitting.add_argument("--pairs", type=int, required=True, help="training pairs, at most")
    splitting.add_argument("--held-out", type=int, required=True, help="held-out prompts")
    splitting.add_argument("--longest-prompt", type=int, help="characters; longer prompts are left out")
    leaving = verbs.add_parser("without", help="without some rows, in the places that rows have in another arm")
    leaving.add_argument("--left-out", type=Path, required=True, help="row ids, one a line")
    leaving.add_argument("--beside", type=Path, required=True, help="row ids that the other arm is trained without")
    swapping = verbs.add_parser("swap", help="with every label flipped")
    for verb in (leaving, swapping):
        verb.add_argument("--rows", type=Path, required=True, help="training file")
    for verb in (splitting, leaving, swapping):
        verb.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    if given.verb == "split":
        write_split(given.data, given.set, given.out, given.pairs, given.held_out, given.longest_prompt)
    elif given.verb == "without":
        left, beside = (set(path.read_text(encoding="utf-8").split()) for path in (given.left_out, given.beside))
        without(given.rows, left, given.out, beside)
    else:
        swap(given.rows, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
