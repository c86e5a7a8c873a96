"""Names by a language model, and the blind test of a name.

A name is drawn from texts in which a cluster is active and texts in which it is not. It is tested on texts of other
prompts: a request shows title, description and a shuffled mix of held-out texts of both sorts, and the model says which
fit. Neither request holds an example of an answer, which models echo. All texts, names included, are untrusted.

The score is balanced accuracy, ``(hit rate + 1 − false-alarm rate) / 2``: 0.5 is chance, whatever share the model calls
fitting. Its 95 % interval is Newcombe's for a difference of two rates (hybrid of Wilson's intervals, 1998, method 10).
Within a request of m texts the answers depend on each other; labels are shuffled there, so that at chance the variance
is the hypergeometric one, ``m/(m−1)`` times that of independent answers: widths are stretched by its root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy import stats

from anatomy.judge.requests import MATERIAL, fenced_chat, json_object
from anatomy.text.visible import visible

TITLE_CHARS, DESCRIPTION_CHARS = 80, 300
PER_REQUEST = 10
"""Held-out texts shown in one request."""
NOT_JSON = "answer is not the JSON asked for"
WHAT = {
    "R": "responses of an assistant", "S": "responses of an assistant", "P": "prompts to an assistant",
    "D": "prompts to an assistant",
}  # fmt: skip
NAME_TASK = (
    "Say what sets the texts named `with` apart from the texts named `without`. All are parts of {what}. Something "
    "that a program measured is strong in the texts `with`, most of all at the tokens listed below some of them, and "
    "weak in the texts `without`."
)
NAME_RULES = (
    MATERIAL + "Answer with one JSON object and nothing else. It has two strings: `title`, at most six words, and "
    "`description`, one sentence that lets somebody who sees a single new text say whether it belongs to the texts "
    "`with`. Name what the texts share in content, form or tone, not these texts. Leave both strings empty if you find "
    "nothing that sets them apart."
)
TEST_TASK = (
    "Say which of the numbered texts fit a description. All are parts of {what}. Any number of them may fit: all, some "
    "or none."
)
TEST_RULES = (
    MATERIAL + "Answer with one JSON object and nothing else. It has two lists of numbers: `fits`, the texts that the "
    "description fits, and `unsure`, those of which you cannot tell."
)


@dataclass(frozen=True)
class Name:
    """A title and one sentence; or empty, and why."""

    title: str = ""
    description: str = ""
    reason: str | None = None


class _NameAnswer(BaseModel):
    model_config = ConfigDict(strict=True)
    title: str
    description: str


@dataclass(frozen=True)
class NameItem:
    """Asks for a name; ``strong`` and ``quiet`` are texts, ``kind`` the cluster's letter."""

    kind: str
    strong: tuple[str, ...]
    quiet: tuple[str, ...]

    def messages(self) -> list[dict[str, str]]:
        """Task and rules; fenced texts of both sorts."""
        texts = {f"with {number}": text for number, text in enumerate(self.strong, start=1)}
        texts |= {f"without {number}": text for number, text in enumerate(self.quiet, start=1)}
        return fenced_chat(NAME_TASK.format(what=WHAT[self.kind]), NAME_RULES, texts)

    def read(self, content: str) -> Name:
        """The name, on one line each and cut to what a report can show."""
        try:
            answer = _NameAnswer.model_validate_json(json_object(content))
        except ValidationError:
            return self.abstain(NOT_JSON)
        title, description = (_short(text, most) for text, most in
                              ((answer.title, TITLE_CHARS), (answer.description, DESCRIPTION_CHARS)))  # fmt: skip
        if not title or not description:
            return self.abstain("nothing found that sets the texts apart")
        return Name(title, description)

    def abstain(self, reason: str) -> Name:
        """No name."""
        return Name(reason=reason)

    def blank(self) -> bool:
        """Never: there are texts."""
        return False


def _short(text: str, most: int) -> str:
    shown = visible(" ".join(text.split()))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


@dataclass(frozen=True)
class Calls:
    """For each text of a request: fits, does not, or no answer (None)."""

    fits: tuple[bool | None, ...]
    reason: str | None = None


class _CallsAnswer(BaseModel):
    model_config = ConfigDict(strict=True)
    fits: list[int]
    unsure: list[int]


@dataclass(frozen=True)
class TestItem:
    """Asks which texts fit a name; it does not know which should."""

    __test__ = False  # no test, in spite of its name

    kind: str
    name: Name
    texts: tuple[str, ...]

    def messages(self) -> list[dict[str, str]]:
        """Task and rules; the fenced name and the fenced texts."""
        texts = {"description": f"{self.name.title}: {self.name.description}"}
        texts |= {f"text {number}": text for number, text in enumerate(self.texts, start=1)}
        return fenced_chat(TEST_TASK.format(what=WHAT[self.kind]), TEST_RULES, texts)

    def read(self, content: str) -> Calls:
        """Numbers in neither list do not fit; a number in both, or of no text, spoils the answer."""
        try:
            answer = _CallsAnswer.model_validate_json(json_object(content))
        except ValidationError:
            return self.abstain(NOT_JSON)
        fits, unsure, known = set(answer.fits), set(answer.unsure), range(1, len(self.texts) + 1)
        if fits & unsure or not fits | unsure <= set(known):
            return self.abstain("answer names texts that there are not, or one text twice")
        return Calls(tuple(None if number in unsure else number in fits for number in known))

    def abstain(self, reason: str) -> Calls:
        """No text is called."""
        return Calls((None,) * len(self.texts), reason)

    def blank(self) -> bool:
        """Never: there are texts."""
        return False


class Tested(NamedTuple):
    """What the blind test of a name came to; NaN where one sort of text got no answer."""

    score: float
    low: float
    high: float
    hits: int
    strong: int  # answered
    false_alarms: int
    quiet: int  # answered
    abstained: int

    @property
    def verified(self) -> bool:
        """The interval lies above chance, and at least half of the texts got an answer."""
        return bool(self.low > 0.5 and self.abstained <= self.strong + self.quiet)


def balanced_accuracy(calls: Sequence[bool | None], truth: Sequence[bool], per_request: int = PER_REQUEST) -> Tested:
    """Score of the calls on texts that were asked about ``per_request`` at a time, shuffled within each request."""
    answered = [(call, fits) for call, fits in zip(calls, truth, strict=True) if call is not None]
    hits, strong = sum(call for call, fits in answered if fits), sum(fits for _, fits in answered)
    false_alarms, quiet = sum(call for call, fits in answered if not fits), sum(not fits for _, fits in answered)
    counts = (hits, strong, false_alarms, quiet, len(calls) - len(answered))
    if not strong or not quiet:
        return Tested(np.nan, np.nan, np.nan, *counts)
    stretch = np.sqrt(per_request / (per_request - 1))
    hit, alarm = hits / strong, false_alarms / quiet
    (hit_low, hit_high), (alarm_low, alarm_high) = _wilson(hits, strong), _wilson(false_alarms, quiet)
    down = stretch * np.hypot(hit - hit_low, alarm_high - alarm)
    up = stretch * np.hypot(hit_high - hit, alarm - alarm_low)
    low, high = max(-1.0, hit - alarm - down), min(1.0, hit - alarm + up)
    return Tested((1 + hit - alarm) / 2, (1 + low) / 2, (1 + high) / 2, *counts)


def _wilson(successes: int, total: int) -> tuple[float, float]:
    interval = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
