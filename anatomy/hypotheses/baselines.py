"""What a trivial rule would have predicted of the labels: longer wins, more Markdown wins, refusal words win."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from anatomy.statistics.effects import mean_effects
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.shares import unanimous_ends
from anatomy.text.text_counts import TEXT_COUNTS, markdown_marks

RULES: dict[str, Callable[[str], float]] = {
    "longer": lambda text: float(len(text)),
    "more_markdown": markdown_marks,
    "refusal_words": TEXT_COUNTS["refusal"],
}
"""Rule → score of a response; the response with the higher score is predicted to be the chosen one."""


class Baseline(NamedTuple):
    """How often a rule picks the chosen response."""

    rule: str
    accuracy: float  # share of rows; a tie counts as half
    low: float  # 95 % interval, clustered by prompt
    high: float
    decided: float  # share of rows that are no tie


def trivial_baselines(responses: Iterable[tuple[str, str]], prompts: Prompts) -> list[Baseline]:
    """Accuracy of each rule on (chosen, rejected) texts, in the order of ``prompts``; texts are read once."""
    sign_NM = np.array(
        [[np.sign(score(chosen) - score(rejected)) for score in RULES.values()] for chosen, rejected in responses]
    )
    effects = mean_effects(sign_NM / 2, RowFrame(prompts, np.zeros(len(sign_NM))))
    decided_M = (sign_NM != 0).mean(axis=0)
    accuracy_M, low_M, high_M = (np.clip(0.5 + part, 0, 1) for part in (effects.effect, effects.low, effects.high))
    alike = unanimous_ends(accuracy_M, decided_M > 0, prompts)
    low_M, high_M = (np.where(np.isnan(ends), exact, ends) for ends, exact in zip((low_M, high_M), alike, strict=True))
    columns = zip(RULES, accuracy_M, low_M, high_M, decided_M, strict=True)
    return [
        Baseline(rule, float(accuracy), float(low), float(high), float(decided))
        for rule, accuracy, low, high, decided in columns
    ]
