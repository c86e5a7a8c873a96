"""Domain nouns shared by every stage, and the two hashes by which everything is recognised.

Axis letters, used as suffixes of array names: ``N`` pairs, ``B`` batch, ``T`` tokens, ``D`` residual width,
``F`` SAE features, ``M`` response clusters, ``K`` data or prompt clusters, ``G`` distinct prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    @property
    def prompt_id(self) -> str:
        """Content hash of what precedes the responses; rows that share it are not independent."""
        return content_hash([list(self.prompt), self.tools, self.chat_template_kwargs])

    @property
    def row_id(self) -> str:
        """Content hash of the whole pair; every cache aligns by it."""
        context = [list(self.prompt), self.tools, self.chat_template_kwargs]
        return content_hash([*context, list(self.chosen), list(self.rejected)])

    def side(self, name: str) -> Sequence[Message]:
        """The messages of ``"chosen"`` or ``"rejected"``."""
        return {"chosen": self.chosen, "rejected": self.rejected}[name]
