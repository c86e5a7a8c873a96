"""The wire below the judge: one chat completion by HTTP; passing failures are tried again, lasting ones are not."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import httpx
import tenacity
from pydantic import BaseModel, Field, ValidationError

from anatomy.errors import JudgeError

if TYPE_CHECKING:
    from anatomy.judge.judge_settings import JudgeSettings

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LONGEST_RETRY_AFTER_S = 300.0
PASSING = {408, 409, 429}
REMEDIES = {
    401: "the key is missing or wrong; set the environment variable {variable}",
    403: "the key may not use this model; check {variable} and the model `{model}`",
    404: "no such address or model; check the address (most end in /v1) and the model `{model}`",
}


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
        limits = httpx.Limits(max_connections=settings.concurrency)
        self.client = httpx.Client(timeout=settings.timeout, limits=limits, headers=_headers(settings))
        self.retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(settings.retries + 1) | tenacity.stop_when_event_set(stop),
            wait=_pause,
            retry=tenacity.retry_if_exception(_passes),
            sleep=tenacity.sleep_using_event(stop),
            reraise=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

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
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise JudgeError(f"{self.url}: cannot connect; check the address and that the server is running") from None
        except httpx.TimeoutException:
            return Reply(None, "timeout")
        except httpx.HTTPError as error:
            return Reply(None, f"connection failed ({type(error).__name__})")

    def _send(self, content: bytes) -> bytes:
        """One try, within the time-out as a whole: httpx's own applies to each read."""
        deadline = time.monotonic() + self.settings.timeout
        received = bytearray()
        with self.client.stream("POST", self.url, content=content) as response:
            response.raise_for_status()
            for piece in response.iter_bytes():
                received += piece
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the whole answer took too long")
        return bytes(received)

    def _refused(self, status: int) -> Reply:
        if status not in REMEDIES:
            return Reply(None, f"HTTP {status}")
        remedy = REMEDIES[status].format(variable=self.settings.key_variable, model=self.settings.model)
        raise JudgeError(f"{self.url}: HTTP {status}: {remedy}") from None


def _headers(settings: JudgeSettings) -> dict[str, str]:
    key = os.environ.get(settings.key_variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise JudgeError(f"environment variable {settings.key_variable}: a key has printable ASCII characters only")
    return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})


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
    except ValueError:
        return None
