"""What responses hold, on a random sample of the retained rows: concepts of the library, and languages.

The rules read all of a text and are slower than everything else that is checked, so they run on a sample: one pass
keeps the rows with the largest of as many random numbers, which is uniform without knowing how many rows come, and the
same for the same rows and seed. It holds at most 3,000 rows, of a text the first 8,000 characters and the last 2,000.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from anatomy.data.health_parts import (
    ContentCheck,
    ContentHealth,
    LanguageHealth,
    NotedRow,
    NotedRows,
    ShareEstimate,
    SideExample,
)
from anatomy.statistics.shares import clustered_difference, clustered_share
from anatomy.text.languages import UNDETERMINED, language_of
from anatomy.text.markdown_spans import Range
from anatomy.text.matchers import find_ranges
from anatomy.text.personal_data import masked
from anatomy.types import SIDES, Pair

SAMPLED_ROWS = 3_000
FIRST_CHARS, LAST_CHARS = 8_000, 2_000
EXAMPLES_A_SIDE = 2
BEFORE_CHARS, SHOWN_CHARS = 30, 110
CONTENT_CHECKS = {
    "maker-identity": "maker identity",
    "cut-off-date": "cut-off date",
    "loop": "loop",
    "foreign-tail": "foreign tail",
    "refusal": "refusal",
    "canned-opening": "canned opening",
    "hyperlinks": "link",
    "benchmark-wording": "benchmark wording",
    "placeholder": "placeholder",
    "e-mail-address": "e-mail",
    "phone-number": "phone number",
    "secret-key": "secret key",
}
"""Id of a concept of the library → its text matcher."""


class SampledPair(NamedTuple):
    """A row of the sample; rows are ordered by ``draw``, a random number, and then by their place."""

    draw: float
    place: int
    row: int
    prompt: int
    chosen: str
    rejected: str


class ContentSample:
    """A uniform sample of the rows added so far, and what its responses hold."""

    def __init__(self, seed: int = 0, size: int = SAMPLED_ROWS) -> None:
        self._random, self._size = random.Random(seed), size
        self._rows: list[SampledPair] = []

    def add(self, pair: Pair) -> None:
        """Take a retained row into account."""
        draw = self._random.random()
        if len(self._rows) == self._size and draw <= self._rows[0].draw:
            return
        texts = (_ends(pair.side(side)[-1]["content"] or "") for side in SIDES)
        row = SampledPair(draw, pair.index, pair.source_rows[0], pair.digests.prompt, *texts)
        if len(self._rows) < self._size:
            heapq.heappush(self._rows, row)
        else:
            heapq.heapreplace(self._rows, row)

    def sampled(self) -> list[SampledPair]:
        """The rows of the sample, in the order of the source."""
        return sorted(self._rows, key=lambda row: row.place)

    def found(self) -> tuple[ContentHealth, LanguageHealth]:
        """What the responses of the sample hold, and their languages."""
        rows = self.sampled()
        prompt_N = np.unique([row.prompt for row in rows], return_inverse=True)[1]
        checks = {name: _checked(rows, prompt_N, matcher) for name, matcher in CONTENT_CHECKS.items()}
        return (
            ContentHealth(
                sampled=len(rows),
                checks={name: check for name, check in checks.items() if check is not None},
                absent=[name for name, check in checks.items() if check is None],
            ),
            _languages(rows),
        )


def _ends(text: str) -> str:
    return text if len(text) <= FIRST_CHARS + LAST_CHARS else f"{text[:FIRST_CHARS]}\n{text[-LAST_CHARS:]}"


def _checked(rows: list[SampledPair], prompt_N: np.ndarray, matcher: str) -> ContentCheck | None:
    """The check by one matcher; None where no response has what it finds."""
    has_N2 = np.zeros((len(rows), 2), dtype=bool)
    examples: dict[str, list[SideExample]] = {side: [] for side in SIDES}
    found = lru_cache(None)(lambda text: find_ranges(text, matcher))  # one response may answer many prompts
    for number, row in enumerate(rows):
        for column, side in enumerate(SIDES):
            text = row.chosen if side == "chosen" else row.rejected
            ranges = found(text)
            has_N2[number, column] = bool(ranges)
            if ranges and len(examples[side]) < EXAMPLES_A_SIDE:
                examples[side].append(SideExample(index=row.row, side=side, excerpt=_excerpt(text, ranges[0])))
    if not has_N2.any():
        return None
    chosen_N, rejected_N = has_N2.T
    counted = (chosen_N, rejected_N, chosen_N & ~rejected_N, rejected_N & ~chosen_N)
    chosen_G, rejected_G, only_chosen_G, only_rejected_G = (np.bincount(prompt_N, rows_N) for rows_N in counted)
    size_G = np.bincount(prompt_N)
    return ContentCheck(
        chosen=ShareEstimate.of(clustered_share(chosen_G, size_G)),
        rejected=ShareEstimate.of(clustered_share(rejected_G, size_G)),
        difference=ShareEstimate.of(clustered_difference(only_chosen_G, only_rejected_G, size_G)),
        wins=ShareEstimate.of(clustered_share(only_chosen_G, only_chosen_G + only_rejected_G)),
        examples=[example for side in SIDES for example in examples[side]],
    )


def _excerpt(text: str, place: Range) -> str:
    """The text around a place, on one line, without personal data."""
    start = max(0, place[0] - BEFORE_CHARS)
    line = " ".join(masked(text, start, start + 4 * SHOWN_CHARS).split())
    return ("…" if start else "") + (line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…")


def _languages(rows: list[SampledPair]) -> LanguageHealth:
    counts = {side: Counter[str]() for side in SIDES}
    mixed: list[NotedRow] = []
    number = 0
    language = lru_cache(None)(language_of)
    for row in rows:
        chosen, rejected = language(row.chosen), language(row.rejected)
        counts["chosen"][chosen] += 1
        counts["rejected"][rejected] += 1
        if chosen != rejected and UNDETERMINED not in (chosen, rejected):
            number += 1
            if len(mixed) <= EXAMPLES_A_SIDE:
                shown = [_excerpt(text, (0, 0))[: SHOWN_CHARS // 2] for text in (row.chosen, row.rejected)]
                mixed.append(NotedRow(index=row.row, excerpt=f"{chosen}: {shown[0]} | {rejected}: {shown[1]}"))
    sides = {side: dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))) for side, found in counts.items()}
    return LanguageHealth(sampled=len(rows), **sides, mixed=NotedRows(count=number, examples=mixed))
