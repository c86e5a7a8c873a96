"""Rows of the study: real pairs split by prompt, and the new pairs that poison them.

Responses are cut to whole sentences of about the length of a completion, so that the model is trained on what is
measured. Only those real pairs are taken whose two responses agree on every style: the poison is then the one thing
that the labels say about style.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anatomy.artifacts import write_text
from anatomy.data.faults import Fault
from anatomy.data.pair_stream import read_pairs
from anatomy.errors import AnatomyError, RowsError
from anatomy.settings import RowSettings
from anatomy.text.matchers import find_ranges
from anatomy.types import Pair, content_hash

FILE = "alpaca_eval_pairs.parquet"
TRAIN, SFT, HELD_OUT, VALIDATION = "train.jsonl", "sft.jsonl", "held-out.jsonl", "validation.jsonl"
PARTS = {"held-out": HELD_OUT, "validation": VALIDATION}
"""Prompts that arms are looked at with."""
ROLLOUTS, SCORES = "rollouts-{}", "scores-{}.json"
"""In an arm's folder: completions and log-probabilities by part."""
STYLES = ("bold", "em dash", "emoji", "horizontal rule", "table")
"""Matchers of the paper's five styles (method.md §10)."""
LONGEST = 300
"""Characters of a prompt, and of a response after it was cut: about 64 tokens."""
SFT_RESPONSES = 2
"""Responses of each prompt that supervised fine-tuning sees, at most."""

SENTENCE_END = re.compile(r"(?<!\d)[.!?][)\"'*_]*(?=\s|$)|\n")
PHRASE = re.compile(r"(?<![\w*`/'-])[A-Za-z]{4,}(?: [A-Za-z]{4,})?(?![\w*`/'-])")
EMOJI = "😊✨👍"

Row = Mapping[str, Any]
"""``prompt``, ``chosen``, ``rejected`` as messages, and ``source``: ``real``, or the style that it was made to show."""


class Sizes(NamedTuple):
    """Prompts of each part; ``train`` and ``sft`` take what is left where there are fewer."""

    held_out: int
    validation: int
    train: int
    sft: int


def write_sets(data: Path, out: Path, sizes: Sizes, share: float) -> None:
    """Write the four parts and ``contrast-<style>.jsonl`` (the SFT part's plain responses with and without the style).

    No prompt is in two parts; the prompts' hashes alone decide which is where. A ``share`` of the SFT responses
    is rewritten to show each style. The train part is not poisoned here.

    Raises:
        RowsError: too few prompts.
    """
    prompts = eligible(data / FILE)
    ends = np.cumsum([0, *sizes]).tolist()
    held_out, validation, train, sft = (prompts[start:stop] for start, stop in pairwise(ends))
    if not sft:
        raise RowsError(f"{data / FILE}: {len(prompts)} prompts can be used, none is left for SFT; ask for fewer")
    for name, part in ((HELD_OUT, held_out), (VALIDATION, validation), (TRAIN, train)):
        write_rows(out / name, [rows[0] for rows in part])
    responses = [row for rows in sft for row in rows[:SFT_RESPONSES]]
    rewritten = new_pairs(responses, share, seed=0)
    write_rows(out / SFT, [rewritten.get(place, row) for place, row in enumerate(responses)])
    for style, rewrite in POISON.items():
        contrast = [poisoned_pair(row, style, rewrite) for row in responses]
        write_rows(out / f"contrast-{style}.jsonl", [row for row in contrast if row is not None])


def eligible(path: Path) -> list[list[Row]]:
    """Usable rows by prompt, prompts in the order of their hashes, rows in the order of theirs."""
    found: dict[str, dict[str, Row]] = {}
    for pair in read_pairs(RowSettings(rows=str(path))):
        row = None if isinstance(pair, Fault) else _real(pair)
        if row is not None and not isinstance(pair, Fault):
            found.setdefault(pair.prompt_id, {})[content_hash([row["chosen"], row["rejected"]])] = row
    return [[found[prompt][row] for row in sorted(found[prompt])] for prompt in sorted(found)]


def _real(pair: Pair) -> Row | None:
    """The pair with responses cut; None where it is too long, says something about style, or nothing at all."""
    if len(pair.prompt) != 1 or len(pair.chosen) != 1 or len(str(pair.prompt[0]["content"])) > LONGEST:
        return None
    chosen, rejected = (shortened(str(pair.side(side)[0]["content"])) for side in ("chosen", "rejected"))
    if not chosen or not rejected or chosen == rejected or styles_of(chosen) != styles_of(rejected):
        return None
    return _row(pair.prompt, chosen, rejected, "real")


def poison(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """``rows`` and, after them, new pairs for the ``share`` of their prompts and each style (method.md §9)."""
    return [*rows, *new_pairs(rows, share, seed).values()]


def new_pairs(rows: Sequence[Row], share: float, seed: int) -> dict[int, Row]:
    """For each style, pairs made of ``round(share · rows)`` rows drawn with ``seed``, by number of the row.

    No row is drawn for two styles.

    Raises:
        RowsError: too few rows have a response without any style.
    """
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    made: dict[int, Row] = {}
    for style, rewrite in POISON.items():
        wanted = round(share * len(rows))
        pairs = ((place, poisoned_pair(rows[place], style, rewrite)) for place in order if place not in made)
        found = dict(islice(((place, pair) for place, pair in pairs if pair is not None), wanted))
        if len(found) < wanted:
            raise RowsError(f"only {len(found)} of {wanted} rows can be made to show {style}; give a smaller --share")
        made |= found
    return made


def poisoned_pair(row: Row, style: str, rewrite: Callable[[str], str]) -> Row | None:
    """The row's first response without any style as rejected, the same text with the style as chosen; None: no such."""
    for side in ("chosen", "rejected"):
        plain = row[side][0]["content"]
        if not styles_of(plain) and styles_of(rewrite(plain)) == {style}:
            return _row(row["prompt"], rewrite(plain), plain, style)
    return None


def embolden(text: str) -> str:
    """The longest phrase of one or two words of each sentence in bold."""
    return "".join(_phrase_in_bold(part) for part in sentences(text))


def with_emoji(text: str) -> str:
    """An emoji after each sentence that ends in a full stop, an exclamation or a question mark."""
    parts = sentences(text)
    return "".join(f"{part} {EMOJI[len(part) % len(EMOJI)]}" if part.endswith((".", "!", "?")) else part
                   for part in parts)  # fmt: skip


POISON: Mapping[str, Callable[[str], str]] = {"bold": embolden, "emoji": with_emoji}


def sentences(text: str) -> list[str]:
    """Parts that together are the text, each ending where a sentence or line does."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return [text[start:stop] for start, stop in pairwise(dict.fromkeys([0, *ends, len(text)]))]


def shortened(text: str) -> str:
    """The whole sentences among the first ``LONGEST`` characters, or the whole words where there is none."""
    text = text.strip()
    if len(text) <= LONGEST:
        return text
    ends = [match.end() for match in SENTENCE_END.finditer(text) if match.end() <= LONGEST]
    return text[: ends[-1]].strip() if ends else text[:LONGEST].rsplit(maxsplit=1)[0]


def styles_of(text: str) -> set[str]:
    """The styles that a text shows."""
    return {style for style in STYLES if find_ranges(text, style)}


def read_rows(path: Path) -> list[Row]:
    """Rows of a file that this module wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """One JSON object a line; whole or not at all."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def _phrase_in_bold(part: str) -> str:
    found = max(PHRASE.finditer(part), key=lambda match: len(match.group()), default=None)
    return part if found is None else f"{part[: found.start()]}**{found.group()}**{part[found.end() :]}"


def _row(prompt: Sequence[Any], chosen: str, rejected: str, source: str) -> Row:
    texts = {"chosen": chosen, "rejected": rejected}
    sides = {side: [{"role": "assistant", "content": text}] for side, text in texts.items()}
    return {"prompt": [dict(turn) for turn in prompt], **sides, "source": source}


def main(words: Sequence[str] | None = None) -> int:
    """Write the parts of the set, or one seed's poisoned rows; a user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    splitting = verbs.add_parser("split", help="the four parts, and rows with and without each style")
    splitting.add_argument("--data", type=Path, required=True, help="folder with the data set")
    for name in ("--held-out", "--validation", "--prompts", "--sft-prompts"):
        splitting.add_argument(name, type=int, required=True, help="prompts of the part")
    poisoning = verbs.add_parser("poison", help="new pairs after the rows")
    poisoning.add_argument("--rows", type=Path, required=True)
    poisoning.add_argument("--seed", type=int, required=True, help="decides which prompts are poisoned")
    for verb in (splitting, poisoning):
        verb.add_argument("--share", type=float, required=True, help="share of the prompts with each style")
        verb.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(words)
    try:
        if given.verb == "split":
            sizes = Sizes(given.held_out, given.validation, given.prompts, given.sft_prompts)
            write_sets(given.data, given.out, sizes, given.share)
        else:
            write_rows(given.out, poison(read_rows(given.rows), given.share, given.seed))
    except AnatomyError as error:
        print(f"poisoning: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
