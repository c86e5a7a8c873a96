"""Health of completions from their text alone: what breaks first when a training goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

NGRAM = 4


def length(text: str) -> float:
    """Words, as spaces divide them."""
    return float(len(text.split()))


def is_empty(text: str) -> float:
    """1 where there is nothing but space."""
    return float(not text.strip())


def repetition(text: str) -> float:
    """Share of the 4-grams of words that occurred before in the same text; 0 for fewer than five words."""
    words = text.split()
    grams = list(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


HEALTH = {"words": length, "empty": is_empty, "repeated": repetition}


def health(texts: Mapping[tuple[str, int], str], prompts: Sequence[str]) -> Float[np.ndarray, "G 3"]:
    """Means over each prompt's completions, in the order of ``HEALTH``; every prompt has at least one."""
    measured: dict[str, list[list[float]]] = {prompt: [] for prompt in prompts}
    for (prompt, _), text in texts.items():
        if prompt in measured:
            measured[prompt].append([measure(text) for measure in HEALTH.values()])
    return np.array([np.mean(measured[prompt], axis=0) for prompt in prompts]).reshape(len(prompts), len(HEALTH))
