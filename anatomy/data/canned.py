"""Canned texts: one response, or one opening, under many different prompts, and how often it is the chosen side.

What a text is worth is counted by distinct prompt, so an answer that many rows of one prompt share is not canned.
Memory is bounded: 40 bytes a row up to 2¹⁹ rows; beyond, only the rows of half of the prompts are kept, then of a
quarter and so on. The sample is by prompt, so win rates stay those of whole prompts, and intervals tell what is lost.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt64
from scipy import special

from anatomy.data.health_parts import CannedHealth, CannedText
from anatomy.types import Pair, bytes_digest, messages_digest

MOST_ROWS = 1 << 19
LEAST_LISTED = 5
"""Distinct prompts from which a text is listed."""
LEAST_TESTED = 10
MOST_TESTED = 1000
LEVEL = 0.05
LISTED = 10
"""Texts listed of each kind, and alarms at most."""
OPENING_WORDS, OPENING_CHARS = 8, 60
SHOWN_CHARS = 200
MOSTLY = 0.8
"""An opening of which this share belongs to one recurring response says no more than the response."""
SLOTS = 1 << 16
MOST_TEXTS = 1 << 13
Z = 1.959963984540054


class _SeenText(NamedTuple):
    sightings: int
    text: str
    row: int


class _TextMemory:
    """Texts by digest, of which only those are kept that came up under two prompts; bounded."""

    def __init__(self) -> None:
        self._last, self._prompts = [0] * SLOTS, [0] * SLOTS
        self.texts: dict[int, _SeenText] = {}

    def add(self, digest: int, prompt: int, text: str, row: int) -> None:
        """Take note of a text under a prompt."""
        slot = digest & (SLOTS - 1)
        if self._last[slot] != digest:
            self._last[slot], self._prompts[slot] = digest, prompt
        elif self._prompts[slot] != prompt:
            seen = self.texts.get(digest)
            if seen is None:
                seen = _SeenText(0, text[:SHOWN_CHARS], row)
                if len(self.texts) >= MOST_TEXTS:
                    self._forget()
            self.texts[digest] = seen._replace(sightings=seen.sightings + 1)
            self._prompts[slot] = prompt

    def _forget(self) -> None:
        most = sorted(self.texts.items(), key=lambda item: -item[1].sightings)
        self.texts = dict(most[: MOST_TEXTS // 2])


class CannedTexts:
    """Responses and openings of the rows seen so far; ``add`` one retained row after the other."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most = 5 * most_rows
        self._rows = array("Q")
        self._below = 1 << 64
        self._memory: dict[str, _TextMemory] = {"response": _TextMemory(), "opening": _TextMemory()}

    def add(self, pair: Pair) -> None:
        """Take one row into account."""
        digests = pair.digests
        prompt = digests.prompt
        if prompt >= self._below:
            return
        row, responses, openings = pair.source_rows[0], self._memory["response"], self._memory["opening"]
        keys = [prompt]
        for messages, whole in ((pair.chosen, digests.chosen), (pair.rejected, digests.rejected)):
            text = messages[-1]["content"]
            response = whole if len(messages) == 1 else messages_digest(messages[-1:])
            start = opening(text)
            key = bytes_digest(start.lower().encode("utf-8", "surrogatepass"))
            responses.add(response, prompt, text, row)
            openings.add(key, prompt, start, row)
            keys += (response, key)
        self._rows.extend(keys)
        if len(self._rows) >= self._most:
            self._halve()

    def _halve(self) -> None:
        self._below >>= 1
        rows = np.frombuffer(self._rows, np.uint64).reshape(-1, 5)
        self._rows = array("Q", rows[rows[:, 0] < self._below].tobytes())

    def found(self) -> CannedHealth | None:
        """What recurs; None where no text stands under five prompts."""
        rows = np.frombuffer(self._rows, np.uint64).reshape(-1, 5)
        prompt_E = np.concatenate([rows[:, 0]] * 2)
        chosen_E = np.arange(len(prompt_E)) < len(rows)
        response_E, opening_E = np.concatenate(rows[:, [1, 3]].T), np.concatenate(rows[:, [2, 4]].T)
        responses = _recurring(response_E, prompt_E, chosen_E)
        openings = _recurring(opening_E, prompt_E, chosen_E)
        openings = openings.take(~_of_one_response(openings.key_K, opening_E, response_E, responses.key_K))
        counted: list[tuple[Literal["response", "opening"], _Counted]] = [
            *(("response", text) for text in responses.counts()),
            *(("opening", text) for text in openings.counts()),
        ]
        counted.sort(key=lambda item: -item[1].prompts)
        if not counted:
            return None
        tested = [item for item in counted if item[1].prompts >= LEAST_TESTED][:MOST_TESTED]
        limit = LEVEL / max(1, len(tested))
        alarms = sorted((item for item in tested if item[1].p <= limit), key=lambda item: (item[1].p, -item[1].prompts))
        loud = {(kind, text.key) for kind, text in alarms}
        shown = alarms[:LISTED]
        for kind in ("response", "opening"):
            ours = [item for item in counted if item[0] == kind]
            shown += [item for item in ours[:LISTED] if item not in shown]
        return CannedHealth(
            prompts=len(np.unique(rows[:, 0])),
            sampled=self._below / (1 << 64),
            recurring=len(counted),
            tested=len(tested),
            alarms=len(alarms),
            texts=[self._described(kind, text, (kind, text.key) in loud) for kind, text in shown],
        )

    def _described(self, kind: Literal["response", "opening"], text: _Counted, alarm: bool) -> CannedText:
        seen = self._memory[kind].texts.get(text.key, _SeenText(0, "", -1))
        low, high = wilson(text.rate, text.prompts)
        return CannedText(
            kind=kind, text=seen.text, index=seen.row, prompts=text.prompts, chosen=text.chosen,
            rejected=text.rejected, both=text.prompts - text.chosen - text.rejected, win_rate=round(text.rate, 4),
            low=round(low, 4), high=round(high, 4), p=text.p, alarm=alarm,
        )  # fmt: skip


def opening(text: str) -> str:
    """The first eight words of a text, at most 60 characters of them."""
    return " ".join(text[: 3 * OPENING_CHARS].split(None, OPENING_WORDS)[:OPENING_WORDS])[:OPENING_CHARS]


def wilson(rate: float, number: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate over ``number`` independent trials."""
    spread = Z * Z / number
    middle = (rate + spread / 2) / (1 + spread)
    width = Z * math.sqrt(rate * (1 - rate) / number + spread / number / 4) / (1 + spread)
    return max(0.0, middle - width), min(1.0, middle + width)


@dataclass(frozen=True)
class _Counted:
    """Prompts of one text: on the chosen side alone, on the rejected side alone, and in all."""

    key: int
    prompts: int
    chosen: int
    rejected: int

    @property
    def rate(self) -> float:
        return (self.chosen + (self.prompts - self.chosen - self.rejected) / 2) / self.prompts

    @property
    def p(self) -> float:
        """Exact two-sided binomial test of one half over the prompts that have the text on one side alone."""
        decided = self.chosen + self.rejected
        return float(min(1.0, 2 * special.bdtr(min(self.chosen, self.rejected), decided, 0.5))) if decided else 1.0


@dataclass(frozen=True)
class _Recurring:
    """Texts (K) under at least five prompts."""

    key_K: UInt64[np.ndarray, " K"]
    prompts_K: Int64[np.ndarray, " K"]
    chosen_K: Int64[np.ndarray, " K"]
    rejected_K: Int64[np.ndarray, " K"]

    def take(self, kept_K: Bool[np.ndarray, " K"]) -> _Recurring:
        return _Recurring(self.key_K[kept_K], self.prompts_K[kept_K], self.chosen_K[kept_K], self.rejected_K[kept_K])

    def counts(self) -> list[_Counted]:
        columns = (self.key_K, self.prompts_K, self.chosen_K, self.rejected_K)
        return [_Counted(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _recurring(
    key_E: UInt64[np.ndarray, " E"], prompt_E: UInt64[np.ndarray, " E"], chosen_E: Bool[np.ndarray, " E"]
) -> _Recurring:
    """Texts under at least five distinct prompts, from the texts, prompts and sides of all responses (E)."""
    keys, place_E, number = np.unique(key_E, return_inverse=True, return_counts=True)
    often_E = number[place_E] >= LEAST_LISTED
    key_E, prompt_E, chosen_E = key_E[often_E], prompt_E[often_E], chosen_E[often_E]
    order = np.lexsort((prompt_E, key_E))
    key_E, prompt_E, chosen_E = key_E[order], prompt_E[order], chosen_E[order]
    first = np.flatnonzero(np.r_[True, (np.diff(key_E) != 0) | (np.diff(prompt_E) != 0)][: len(key_E)])
    if not len(first):
        return _Recurring(keys[:0], *[np.empty(0, np.int64)] * 3)
    sides = np.add.reduceat(chosen_E.astype(np.int64), first), np.add.reduceat((~chosen_E).astype(np.int64), first)
    keys, place, prompts_K = np.unique(key_E[first], return_inverse=True, return_counts=True)
    wins, losses = ((ours > 0) & (theirs == 0) for ours, theirs in (sides, sides[::-1]))
    chosen_K, rejected_K = (np.bincount(place, one, len(keys)).astype(np.int64) for one in (wins, losses))
    return _Recurring(keys, prompts_K, chosen_K, rejected_K).take(prompts_K >= LEAST_LISTED)


def _of_one_response(
    key_K: UInt64[np.ndarray, " K"],
    opening_E: UInt64[np.ndarray, " E"],
    response_E: UInt64[np.ndarray, " E"],
    recurring: UInt64[np.ndarray, " R"],
) -> Bool[np.ndarray, " K"]:
    """Which of the openings ``key_K`` belong mostly to one recurring response."""
    kept_E = np.isin(opening_E, key_K)
    opening_E, response_E = opening_E[kept_E], response_E[kept_E]
    if not len(opening_E):
        return np.zeros(len(key_K), bool)
    order = np.lexsort((response_E, opening_E))
    opening_E, response_E = opening_E[order], response_E[order]
    first = np.flatnonzero(np.r_[True, (np.diff(opening_E) != 0) | (np.diff(response_E) != 0)])
    number = np.diff(first, append=len(order)) * np.isin(response_E[first], recurring)
    most_K = np.zeros(len(key_K), np.int64)
    np.maximum.at(most_K, np.searchsorted(key_K, opening_E[first]), number)
    return most_K >= MOSTLY * np.bincount(np.searchsorted(key_K, opening_E), minlength=len(key_K))
