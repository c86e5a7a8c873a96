"""Domain nouns shared by every stage, and the two hashes that recognise content.

Axis letters, used as suffixes of array names: ``N`` rows, ``S`` sides of a row, ``J`` responses (the first side of
every row, then the second), ``B`` batch, ``T`` tokens, ``D`` residual width, ``F`` SAE features, ``M`` response
clusters, ``K`` data or prompt clusters, ``G`` distinct prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

Message = Mapping[str, Any]
"""A chat message: ``role`` and ``content`` (strings), and optionally ``tool_calls``, ``name``, ``tool_call_id``."""

SIDES = ("chosen", "rejected")
SPANS = ("prompt", *SIDES)


def content_hash(value: object) -> str:
    """SHA-256 of ``value`` as canonical JSON (sorted keys), cut to 32 hexadecimal digits (128 bits)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Pair:
    """One preference row in explicit conversational form.

    ``prompt`` holds the messages that both sides share; ``chosen`` and ``rejected`` what follows, each ending in an
    assistant message. ``index`` is the row's position in the source; ``metadata`` its other columns.
    """

    index: int
    prompt: Sequence[Message]
    chosen: Sequence[Message]
    rejected: Sequence[Message]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    sides: ClassVar[tuple[str, ...]] = SIDES

    @property
    def prompt_id(self) -> str:
        """Content hash of what precedes the responses; rows that share it are not independent."""
        return content_hash(_context(self))

    @property
    def row_id(self) -> str:
        """Content hash of the whole pair; every cache aligns by it."""
        return content_hash([*_context(self), list(self.chosen), list(self.rejected)])

    def side(self, name: str) -> Sequence[Message]:
        """The messages of ``"chosen"`` or ``"rejected"``."""
        return {"chosen": self.chosen, "rejected": self.rejected}[name]


@dataclass(frozen=True)
class Response:
    """A prompt and one response to it, as a completion of the model: a row with one side.

    ``response`` holds what follows the prompt and ends in an assistant message; ``index`` is the row's position.
    """

    index: int
    prompt: Sequence[Message]
    response: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    sides: ClassVar[tuple[str, ...]] = ("response",)

    @property
    def prompt_id(self) -> str:
        """Content hash of what precedes the response; equal to that of a pair with the same prompt."""
        return content_hash(_context(self))

    @property
    def row_id(self) -> str:
        """Content hash of prompt and response; every cache aligns by it."""
        return content_hash([*_context(self), list(self.response)])

    def side(self, name: str) -> Sequence[Message]:
        """The messages of ``"response"``."""
        return {"response": self.response}[name]


Row = Pair | Response
"""What is encoded, harvested and scored: a prompt and its responses, one a side."""


def _context(row: Row) -> list[Any]:
    return [list(row.prompt), row.tools, row.chat_template_kwargs]
