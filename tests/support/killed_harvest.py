"""Harvest made-up pairs with a tiny model; kill this process for real at the given point.

Usage: killed_harvest.py MODEL OUT POINT, POINT being encode (amid the third shard) or write (before its rename).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.data import shard_cache
from anatomy.features.harvesting import harvest
from anatomy.settings import ModelSettings
from anatomy.types import Pair
from support.tiny import TinySAE

SETTINGS = {"device": "cpu", "dtype": "float32", "batch_tokens": 256, "max_length": 60, "max_prompt_length": 30}
SHARD_ROWS = 6
PAIRS = 40


def pairs() -> list[Pair]:
    """Pairs of several lengths, among them repeated prompts and repeated responses."""

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    return [
        Pair(
            number,
            turn("user", f"Why is the dog {number // 3} good?"),
            turn("assistant", f"Because {'it is so good ' * (number % 7)}{number}."),
            turn("assistant", "I am fine." if number % 2 else f"No {number}"),
        )
        for number in range(PAIRS)
    ]


def main(model: str, out: str, point: str) -> None:
    settings = ModelSettings(model=model, **SETTINGS)
    tokenizer = load_tokenizer(settings)
    subject, sae = load_subject(settings, tokenizer), TinySAE()
    shard_cache.SHARD_ROWS = SHARD_ROWS
    done = [0]

    def die(*_: object) -> None:
        if done[0] >= 2 * SHARD_ROWS:
            os.kill(os.getpid(), signal.SIGKILL)

    if point == "encode":
        encode = sae.encode
        sae.encode = lambda x_BD: die() or encode(x_BD)
    if point == "write":
        replace = os.replace
        os.replace = lambda source, target: die() or replace(source, target)
    harvest(pairs(), tokenizer, subject, sae, Path(out), "f", settings, lambda n: done.__setitem__(0, done[0] + n))


if __name__ == "__main__":
    main(*sys.argv[1:])
