"""The wire below the judge: one chat completion by HTTP; passing failures are tried again, lasting ones are not.

What the endpoint may take is bounded: time for one try as a whole, bytes of an answer, and pauses between tries. No
redirect is followed, so that a key reaches the host that was named and no other.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import anyio
import anyio.from_thread
import httpx
import tenacity
from pydantic import BaseModel, Field, ValidationError

from anatomy.errors import JudgeError
from anatomy.progress import logger
from anatomy.text.redaction import redacted

if TYPE_CHECKING:
    from anatomy.judge.judge_settings import JudgeSettings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LONGEST_RETRY_AFTER_S = 60.0
LONGEST_SILENCE_S = 5.0
"""A longer pause is said in a message."""
LONGEST_ANSWER = 4 << 20
"""Bytes of one response, at most."""
PASSING = {408, 409, 429}
REMEDIES = {
    401: "the key is missing or wrong; set the environment variable {variable}",
    403: "the key may not use this model; check {variable} and the model `{model}`",
    404: "no such address or model; check the address (most end in /v1) and the model `{model}`",
}


class _AnswerTooLong(Exception):
    """The response has more bytes than any answer."""


class Reply(NamedTuple):
    """What the model wrote; or None, and why there is nothing."""

    content: str | None
    failure: str | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class Endpoint:
    """An open connection pool; a context manager. Once ``stop`` is set, nothing is tried again.

    The key is read when this is made and is kept in the pool's headers only; no message quotes headers.
    """

    def __init__(self, settings: JudgeSettings, stop: threading.Event) -> None:
        self.settings, self.url = settings, f"{settings.base_url}/chat/completions"
        self.shown = redacted(self.url)
        limits = httpx.Limits(max_connections=settings.concurrency)
        waits = httpx.Timeout(settings.timeout, connect=0.9 * settings.timeout)
        try:
            httpx.URL(self.url)
            self.client = httpx.AsyncClient(timeout=waits, limits=limits, headers=_headers(settings))
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            raise JudgeError(
                f"{self.shown}: the address, or a proxy of the environment, cannot be used ({error})"
            ) from None
        self._lock, self._said_until = threading.Lock(), 0.0
        self.retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.retries + 1) | tenacity.stop_when_event_set(stop),
            wait=_pause,
            retry=tenacity.retry_if_exception(_passes),
            sleep=tenacity.sleep_using_event(stop),
            before_sleep=self._say_pause,
            reraise=True,
        )

    def __enter__(self) -> Self:
        self._open = contextlib.ExitStack()
        self._loop = self._open.enter_context(anyio.from_thread.start_blocking_portal())
        self._open.callback(self._loop.call, self.client.aclose)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def post(self, body: Mapping[str, Any]) -> Reply:
        """Send one request and read the first choice.

        Raises:
            JudgeError: refused for good (401, 403, 404), or the endpoint cannot be reached.
        """
        content = json.dumps(body).encode()  # ASCII, so that lone surrogates in a text do no harm
        try:
            received = self.retry(self._send, content)
            return Reply(_Completion.model_validate_json(received).choices[0].message.content or None, "empty answer")
        except ValidationError:
            return Reply(None, "response is not a chat completion")
        except httpx.HTTPStatusError as error:
            return self._refused(error.response.status_code)
        except _AnswerTooLong:
            return Reply(None, "answer too long")
        except (httpx.ConnectError, httpx.ConnectTimeout, UnicodeError):  # UnicodeError: no name of a host
            raise JudgeError(
                f"{self.shown}: cannot connect; check the address and that the server is running"
            ) from None
        except httpx.TimeoutException:
            return Reply(None, "timeout")
        except httpx.HTTPError as error:
            return Reply(None, f"connection failed ({type(error).__name__})")

    def _send(self, content: bytes) -> bytes:
        return self._loop.call(self._exchange, content)

    async def _exchange(self, content: bytes) -> bytes:
        """One try, within the time-out as a whole: httpx's own applies to each read."""
        received = bytearray()
        try:
            with anyio.fail_after(self.settings.timeout):
                async with self.client.stream("POST", self.url, content=content) as response:
                    response.raise_for_status()
                    async for piece in response.aiter_raw():  # as it was sent: nothing is unpacked
                        received += piece
                        if len(received) > LONGEST_ANSWER:
                            raise _AnswerTooLong
        except TimeoutError:
            raise httpx.ReadTimeout("the whole answer took too long") from None
        return bytes(received)

    def _say_pause(self, state: tenacity.RetryCallState) -> None:
        """Say for what a long pause is; once for all requests that pause together."""
        seconds, now = state.upcoming_sleep, time.monotonic()
        with self._lock:
            if seconds <= LONGEST_SILENCE_S or now < self._said_until:
                return
            self._said_until = now + seconds
        error = state.outcome.exception() if state.outcome is not None else None
        status = (
            f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        )
        logger.info(f"judge: waits {seconds:.0f} s before it asks again ({status})")

    def _refused(self, status: int) -> Reply:
        if status not in REMEDIES:
            return Reply(None, f"HTTP {status}")
        remedy = REMEDIES[status].format(variable=self.settings.key_variable, model=self.settings.model)
        raise JudgeError(f"{self.shown}: HTTP {status}: {remedy}") from None


def _headers(settings: JudgeSettings) -> dict[str, str]:
    key = os.environ.get(settings.key_variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise JudgeError(f"environment variable {settings.key_variable}: a key has printable ASCII characters only")
    plain = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    return plain | ({"Authorization": f"Bearer {key}"} if key else {})


def _passes(error: BaseException) -> bool:
    """Whether the failure may be gone the next time."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in PASSING or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def _pause(state: tenacity.RetryCallState) -> float:
    """Seconds before the next try: what ``Retry-After`` says, or doubling pauses with a random part."""
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, httpx.HTTPStatusError):
        asked = _retry_after(error.response.headers.get("retry-after", ""))
        if asked is not None:
            return min(max(asked, 0.0), LONGEST_RETRY_AFTER_S)
    backoff = tenacity.wait_exponential_jitter(initial=FIRST_PAUSE_S, max=LONGEST_PAUSE_S, jitter=FIRST_PAUSE_S)
    return backoff(state)


def _retry_after(value: str) -> float | None:
    """Seconds, from a number of them or an HTTP date."""
    try:
        return float(value) if value.strip().isdigit() else parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
