"""Messages through a tokenizer's chat template, in a process of its own (``template_worker.py``).

The text is that of the tokenizer's ``apply_chat_template``. A row may bring values for the template's variables
(``chat_template_kwargs``), and nothing that decides how the template is applied.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from anatomy.errors import ModelError, one_line, shown
from anatomy.types import Message, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORKER = Path(__file__).with_name("template_worker.py")
MOST_CHARS = 4_000_000
"""Characters of one conversation. A tokenizer takes 160 bytes for each, and the largest window holds 65,535 tokens."""
MOST_TOGETHER = 100_000
"""Characters of a row that is rendered together with others."""
MOST_DEATHS = 3
"""So often in a row may the process die of a template; each death costs seconds."""


class TemplateError(ModelError):
    """The chat template cannot render a row's messages as they are; ``detail`` says why."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(f"row {index}: {detail}; remove the row, or use --chat-template FILE")
        self.detail = detail


class RowTooLong(ModelError):
    """A conversation of a row is too long to be tokenised; ``detail`` says what the limit is."""

    def __init__(self, index: int) -> None:
        self.detail = f"a conversation of more than {MOST_CHARS:,} characters"
        super().__init__(f"row {index}: {self.detail}; remove the row, or shorten it")


def apply_template(
    row: Row, conversations: Sequence[Sequence[Message]], tokenizer: PreTrainedTokenizerBase, opened: bool = False
) -> list[str]:
    """Each conversation through the chat template with the row's tools; ``opened`` adds the start of an answer.

    Raises:
        TemplateError: the template refuses them, takes too long or makes too much of them; or the row sets what it
            must not.
        RowTooLong: a conversation is too long to be tokenised.
        ModelError: the template passes its limits again and again.
    """
    try:
        return _RENDERER.render(*_asked(row, conversations, tokenizer, opened))
    except (_Refusal, TypeError, ValueError) as error:  # ValueError: no template for tools; TypeError: not JSON
        roles = ", ".join(shown(message.get("role"), 20).strip("'") for message in conversations[0][:20])
        detail = f"the chat template refuses turns ({roles}): {one_line(error)}"
        raise TemplateError(row.index, detail) from None


def apply_together(
    asked: Sequence[tuple[Row, Sequence[Sequence[Message]]]], tokenizer: PreTrainedTokenizerBase
) -> list[list[str] | None]:
    """What :func:`apply_template` returns for each row and its conversations, in a third of the time.

    Equal conversations are rendered once: with placeholders for their texts, those of most rows are. It is None where
    only :func:`apply_template` itself says what comes of a row: a refusal, or a very long text.
    """
    wanted: list[list[tuple[str, str]]] = [[] for _ in asked]
    for place, (row, conversations) in enumerate(asked):
        if sum(len(message.get("content") or "") for turns in conversations for message in turns) <= MOST_TOGETHER:
            with contextlib.suppress(ModelError, TypeError, ValueError):
                wanted[place] = [_asked(row, [turns], tokenizer, opened=False) for turns in conversations]
    by_template: dict[str, dict[str, None]] = {}
    for template, request in itertools.chain.from_iterable(wanted):
        by_template.setdefault(template, {})[request] = None
    texts = {
        (template, request): made[0]
        for template, requests in by_template.items()
        for request, made in zip(requests, _RENDERER.render_together(template, list(requests)), strict=True)
        if made is not None
    }
    return [[texts[one] for one in ours] if ours and texts.keys() >= set(ours) else None for ours in wanted]


def _asked(
    row: Row, conversations: Sequence[Sequence[Message]], tokenizer: PreTrainedTokenizerBase, opened: bool
) -> tuple[str, str]:
    """The template, and what it is asked to render as JSON; raises what :func:`apply_template` does."""
    if not all(conversations):
        raise TemplateError(row.index, "there is no turn to render")
    if any(sum(len(message.get("content") or "") for message in turns) > MOST_CHARS for turns in conversations):
        raise RowTooLong(row.index)
    variables = dict(row.chat_template_kwargs or {})
    kind: Any = type(tokenizer)
    if taken := sorted(_reserved(kind) & variables.keys()):
        names = ", ".join(f"`{name}`" for name in taken)
        raise TemplateError(row.index, f"`chat_template_kwargs` sets {names}, which decide how rows are rendered")
    tools: list[Any] | None = list(row.tools) if row.tools else None
    asked = {
        "conversations": [
            [{key: value for key, value in message.items() if value is not None} for message in conversation]
            for conversation in conversations
        ],
        "tools": tools,
        "opened": opened,
        "variables": {**tokenizer.special_tokens_map, **variables},
    }
    return str(tokenizer.get_chat_template(tools=tools)), json.dumps(asked)


@lru_cache(maxsize=8)
def _reserved(kind: type) -> frozenset[str]:
    """Names that a row may not set: arguments of the functions that apply a template, special tokens, functions."""
    from jinja2.defaults import DEFAULT_NAMESPACE
    from transformers import PreTrainedTokenizerBase
    from transformers.utils.chat_template_utils import render_jinja_template

    arguments = {*inspect.signature(kind.apply_chat_template).parameters}  # type: ignore[attr-defined]
    arguments |= {*inspect.signature(render_jinja_template).parameters, "messages", "raise_exception", "strftime_now"}
    special = {*PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES, "extra_special_tokens", "additional_special_tokens"}
    return frozenset(arguments | special | set(DEFAULT_NAMESPACE))


class _Refusal(Exception):
    """A template does not render a conversation."""


class _Renderer:
    """The process that renders, started when it is first asked for and again when a template killed it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner, self._cause = 0, ""
        self._known: dict[str, int] = {}
        self._deaths = 0

    def render(self, template: str, row: str) -> list[str]:
        """The texts that a row asks for.

        Raises:
            _Refusal: with the reason.
            ModelError: the process cannot be started, or the template kills it again and again.
        """
        with self._lock:
            answer = self._answer(template, row)
        if "texts" not in answer:
            raise _Refusal(answer["refused"])
        return list(answer["texts"])

    def render_together(self, template: str, rows: Sequence[str]) -> list[list[str] | None]:
        """The texts of each row, or None; for all rows if one of them kills the process."""
        with self._lock:
            answers = self._answers(template, rows)
        if len(answers) < len(rows):
            return [None] * len(rows)
        return [json.loads(answer).get("texts") for answer in answers]

    def _answer(self, template: str, row: str) -> dict[str, Any]:
        answers = self._answers(template, [row])
        if answers:
            self._deaths = 0
            return dict(json.loads(answers[0]))
        self._deaths += 1
        if self._deaths == MOST_DEATHS:
            self._deaths = 0
            raise ModelError(f"the chat template {self._cause} on {MOST_DEATHS} rows in turn; use --chat-template FILE")
        return {"refused": f"it {self._cause}"}

    def _answers(self, template: str, rows: Sequence[str]) -> list[bytes]:
        """An answer for each row; fewer if the process died of one, for which ``_cause`` then has the reason."""
        if self._process is None or self._owner != os.getpid():  # a forked process must not share the pipes
            self._start()
        assert self._process is not None
        head: dict[str, Any] = {} if template in self._known else {"template": template}
        head |= {"number": self._known.setdefault(template, len(self._known)), "rows": len(rows)}
        found = self._exchanged(self._process, [json.dumps(head), *rows])
        if len(found) < len(rows):
            self._cause = _cause(self._process.wait())
            self._process = None
        return found

    @staticmethod
    def _exchanged(process: subprocess.Popen[bytes], lines: Sequence[str]) -> list[bytes]:
        """The answers to all lines but the first, up to where the process died."""
        requests, answers = _pipes(process)
        try:
            requests.write("\n".join([*lines, ""]).encode())
            requests.flush()
        except BrokenPipeError:
            return []
        return [answer for _ in lines[1:] if (answer := answers.readline()).endswith(b"\n")]

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # an interrupt of the terminal is ours alone; the end of its input ends it
        )
        if _pipes(process)[1].readline() != b"ready\n":
            raise ModelError(f"the process that renders chat templates cannot be started ({process.wait()})")
        self._process, self._owner, self._known = process, os.getpid(), {}


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _cause(code: int) -> str:
    if code == -signal.SIGXCPU:
        return "takes seconds for one row"
    return f"ends the process that renders it (code {code})"


_RENDERER = _Renderer()
