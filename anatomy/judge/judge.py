"""A judge: any OpenAI-compatible chat endpoint that scores untrusted texts by a rubric and quotes its evidence.

It can be asked anything that reads its own answer (:class:`Item`); a :class:`Question` is the usual case.

Texts are fenced by lines with a code that is a hash of the whole question, so that a text cannot contain the code of
its own fence. What the judge says counts only with a verbatim quote from the text that it judged. Everything else is an
abstention with a reason, never a zero. Good answers are kept on disk; a second run asks nothing again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anatomy.judge.answer_cache import AnswerCache
from anatomy.judge.judge_settings import JudgeSettings
from anatomy.judge.requests import MATERIAL, AnswerT, Item, fenced_chat, json_object
from anatomy.text.redaction import redacted
from anatomy.types import content_hash

if TYPE_CHECKING:
    from anatomy.judge.endpoint import Endpoint

CHARACTERS_PER_TOKEN = 4
RULES = (
    "Score the text named `{name}` from 0 (not at all) to 100 (as strongly as a text can).\n\n"
    + MATERIAL
    + 'Answer with one JSON object and nothing else: {"evidence": "...", "score": ...}. `evidence` is the passage of '
    "`{name}` that supports your score best, copied word for word; `score` is a number."
)


@dataclass(frozen=True)
class Question:
    """A trusted ``rubric`` and untrusted ``texts`` by name. The last text is judged and quoted; others are context."""

    rubric: str
    texts: Mapping[str, str]

    @property
    def judged(self) -> str:
        """The text that the score is about."""
        return list(self.texts.values())[-1]

    def messages(self) -> list[dict[str, str]]:
        """System message (rubric and rules) and user message (fenced texts)."""
        return fenced_chat(self.rubric, RULES.replace("{name}", list(self.texts)[-1]), self.texts)

    def read(self, content: str) -> Verdict:
        """See :func:`read_answer`."""
        return read_answer(content, self.judged)

    def abstain(self, reason: str) -> Verdict:
        """No score."""
        return Verdict(None, reason=reason)

    def blank(self) -> bool:
        """Whether the judged text is empty."""
        return not self.judged.strip()


@dataclass(frozen=True)
class Verdict:
    """A score of 0–100 with its quoted evidence; or None, and the reason why the judge abstained."""

    score: float | None
    evidence: str = ""
    reason: str | None = None


@dataclass(frozen=True)
class Estimate:
    """What :meth:`Judge.ask` is about to cost. Output tokens and money are upper bounds, retries left out."""

    requests: int
    cached: int
    input_tokens: int
    output_tokens: int
    money: float | None

    def __str__(self) -> str:
        price = "" if self.money is None else f", {self.money:.2f} at the prices given"
        return (
            f"judge: {self.requests:,} requests ({self.cached:,} answers in the cache), about {self.input_tokens:,} "
            f"input and at most {self.output_tokens:,} output tokens{price}"
        )


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)
    score: float = Field(ge=0, le=100, allow_inf_nan=False)
    evidence: str


def read_answer(content: str, judged: str) -> Verdict:
    """Check what the model wrote: one JSON object (thoughts and code fences around it left out), and its quote.

    The quote must occur in ``judged``; runs of white space count as one space.
    """
    try:
        answer = _Answer.model_validate_json(json_object(content))
    except ValidationError as error:
        outside = {item["type"] for item in error.errors()} <= {"greater_than_equal", "less_than_equal"}
        return Verdict(None, reason="score out of range" if outside else "answer is not the JSON asked for")
    quote = " ".join(answer.evidence.split())
    if not quote or quote not in " ".join(judged.split()):
        return Verdict(None, answer.evidence, "evidence is not in the text")
    return Verdict(answer.score, answer.evidence)


class Judge:
    """Asks the endpoint of ``settings``; good answers are kept in the file ``cache``. May be used from any thread."""

    def __init__(self, settings: JudgeSettings, cache: Path) -> None:
        self.settings = settings
        self.cache = AnswerCache(cache)

    def ask(self, items: Sequence[Item[AnswerT]], progress: Callable[[int], object] | None = None) -> list[AnswerT]:
        """One answer for each item, in their order; equal items are asked once.

        Args:
            progress: called with the number of items just settled.

        Raises:
            JudgeError: the endpoint refuses key, model or address, or cannot be reached. What was answered is kept.
        """
        bodies = {self._key(item): item for item in items}
        copies = Counter(self._key(item) for item in items)
        verdicts: dict[str, AnswerT] = {}

        def settle(key: str, verdict: AnswerT) -> None:
            verdicts[key] = verdict
            if progress is not None:
                progress(copies[key])

        for key, item in bodies.items():
            known = self._known(key, item)
            if known is not None:
                settle(key, known)
        missing = {key: item for key, item in bodies.items() if key not in verdicts}
        if missing:
            self._ask_endpoint(missing, settle)
        return [verdicts[self._key(item)] for item in items]

    def estimate(self, items: Sequence[Item[Any]]) -> Estimate:
        """Requests that are not in the cache, and what they cost at about four characters a token."""
        settings = self.settings
        unique = {self._key(item): item for item in items}
        known = {key: self._known(key, item) for key, item in unique.items()}
        missing = [item for key, item in unique.items() if known[key] is None]
        cached = sum(verdict is not None and verdict.reason is None for verdict in known.values())
        characters = sum(len(message["content"]) for item in missing for message in item.messages())
        tokens_in, tokens_out = characters // CHARACTERS_PER_TOKEN, len(missing) * settings.max_tokens
        money = None
        if settings.input_price is not None and settings.output_price is not None:
            money = (tokens_in * settings.input_price + tokens_out * settings.output_price) / 1e6
        return Estimate(len(missing), cached, tokens_in, tokens_out, money)

    def _body(self, item: Item[Any]) -> dict[str, Any]:
        shared = {"model": self.settings.model, "temperature": 0, "max_tokens": self.settings.max_tokens}
        return {**shared, "messages": item.messages()}

    def _key(self, item: Item[Any]) -> str:
        return content_hash([redacted(self.settings.base_url), self._body(item)])

    def _known(self, key: str, item: Item[AnswerT]) -> AnswerT | None:
        """The answer to an item that need not be asked."""
        if item.blank():
            return item.abstain("empty text")
        found = self.cache.get(key)
        verdict = None if found is None else item.read(found)
        return None if verdict is None or verdict.reason is not None else verdict

    def _ask_endpoint(self, items: Mapping[str, Item[AnswerT]], settle: Callable[[str, AnswerT], None]) -> None:
        from anatomy.judge.endpoint import Endpoint

        stop = threading.Event()
        with Endpoint(self.settings, stop) as endpoint, ThreadPoolExecutor(self.settings.concurrency) as pool:
            futures = {pool.submit(self._ask_one, endpoint, key, item): key for key, item in items.items()}
            try:
                for future in as_completed(futures):
                    settle(futures[future], future.result())
            except BaseException:
                stop.set()  # else requests that wait to be tried again would continue
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask_one(self, endpoint: Endpoint, key: str, item: Item[AnswerT]) -> AnswerT:
        reply = endpoint.post(self._body(item))
        if reply.content is None:
            return item.abstain(reply.failure or "no answer")
        verdict = item.read(reply.content)
        if verdict.reason is None:
            self.cache.put(key, reply.content)
        return verdict
