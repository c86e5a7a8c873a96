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
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

Message = Mapping[str, Any]
"""A chat message: ``role`` and ``content`` (strings), and optionally ``tool_calls``, ``name``, ``tool_call_id``."""

_UTF8 = ("utf-8", "surrogatepass")
SIDES = ("chosen", "rejected")
SPANS = ("prompt", *SIDES)


def content_hash(value: object) -> str:
    """SHA-256 of ``value`` as canonical JSON (sorted keys), cut to 32 hexadecimal digits (128 bits)."""
    return hashlib.sha256(_canonical(value)).hexdigest()[:32]


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


class Digests(NamedTuple):
    """64-bit digests of a pair's context (prompt, tools, template variables) and sides; equal where these are equal.

    They cost a tenth of the ids, and are for counting within a process: what is kept on disk goes by the ids.
    """

    prompt: int
    chosen: int
    rejected: int


@dataclass(frozen=True)
class Pair:
    """One preference row in explicit conversational form.

    ``prompt`` holds the messages that both sides share; ``chosen`` and ``rejected`` what follows, each ending in an
    assistant message. ``index`` is the pair's own place in the stream; ``source_rows`` are the rows of the source, from
    0, that it was made of (``index`` alone unless they are given), and ``metadata`` their other columns. The weights of
    the pairs that were made of one ranking sum to 1.
    """

    index: int
    prompt: Sequence[Message]
    chosen: Sequence[Message]
    rejected: Sequence[Message]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Mapping[str, Any]] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    source_rows: tuple[int, ...] = ()
    weight: float = 1.0
    sides: ClassVar[tuple[str, ...]] = SIDES

    def __post_init__(self) -> None:
        """Name the source row of a pair that is made of one."""
        if not self.source_rows:
            object.__setattr__(self, "source_rows", (self.index,))

    @cached_property
    def prompt_id(self) -> str:
        """Content hash of what precedes the responses; rows that share it are not independent."""
        return content_hash(_context(self))

    @cached_property
    def row_id(self) -> str:
        """Content hash of the whole pair; every cache aligns by it."""
        return content_hash([*_context(self), list(self.chosen), list(self.rejected)])

    @cached_property
    def digests(self) -> Digests:
        """Digests of the context and of the sides, computed once."""
        plain = self.tools is None and self.chat_template_kwargs is None
        apart = b"" if plain else _canonical([self.tools, self.chat_template_kwargs])
        return Digests(
            messages_digest(self.prompt, apart), messages_digest(self.chosen), messages_digest(self.rejected)
        )

    @cached_property
    def digest(self) -> int:
        """Digest of the whole pair; that of the pair with the labels swapped differs in the last bit alone."""
        prompt, *sides = self.digests
        joint = hash((prompt, *sorted(sides)))  # of integers: the same in every process
        return joint % (1 << 64) & ~1 | (sides[0] < sides[1])

    def side(self, name: str) -> Sequence[Message]:
        """The messages of ``"chosen"`` or ``"rejected"``."""
        if name == "chosen":
            return self.chosen
        return {"rejected": self.rejected}[name]


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


def messages_digest(messages: Sequence[Message], apart: bytes = b"") -> int:
    """64-bit digest of messages and of what stands beside them; every part goes in with its kind and length."""
    parts = [apart]
    for message in messages:
        if len(message) == 2 and "content" in message and "role" in message:
            role, content = message["role"].encode(*_UTF8), message["content"].encode(*_UTF8)
            parts += b"t%d:%d:%b" % (len(role), len(content), role), content
        else:
            content = _canonical(message)
            parts += b"j%d:" % len(content), content
    return bytes_digest(b"".join(parts))


def bytes_digest(content: bytes) -> int:
    """64-bit digest of bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
