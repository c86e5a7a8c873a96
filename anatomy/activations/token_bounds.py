"""What the text of a row says of its tokens before it is tokenised, which takes most of the time of a check.

Byte-level tokenizers, and those that fall back to bytes, lose nothing but bytes that they do not know: a token stands
for at least one byte of the text, and the same tokens stand for the same text. The first n tokens of two responses
therefore differ if their texts differ within n bytes, and hold a visible character that stands within n bytes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

from anatomy.settings import ModelSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SLACK = 8
"""Bytes that a tokenizer may put before a text."""
BYTES_OF_SPACE = 3
"""Tokenizers that write a space as ``▁`` may need so many tokens for one."""
LOOKED_AT = (8, 64, 512, 4096)
"""Characters within which the responses are compared, one after the other."""
KEEPS_ALL: dict[str, set[str] | None] = {
    "ByteLevel": None,
    "Digits": None,
    "Metaspace": None,
    "Split": {"Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"},
}
"""Steps before the merges that take nothing away, and how they may treat what they split at."""
PLAIN_CHANGES = {"NFC", "Prepend", "Replace"}


class RenderedSide(NamedTuple):
    """One side through the chat template: its text and, in characters, where messages and the response stand."""

    text: str
    prompt_ranges: list[tuple[int, int]]
    start: int
    stop: int

    @property
    def head(self) -> str:
        """What precedes the response."""
        return self.text[: self.start]

    @property
    def response(self) -> str:
        """Content of the final response."""
        return self.text[self.start : self.stop]


class TokenBounds:
    """Says of rendered rows whether they are certain to be usable in the window, without tokenising them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> None:
        added = sorted((str(token) for token in tokenizer.get_added_vocab()), key=len, reverse=True)
        added += [token.content for token in tokenizer.added_tokens_decoder.values()]
        self._added = re.compile("|".join(map(re.escape, added)) or "(?!)")
        self._settings = settings
        self._lost = lost_bytes(json.loads(tokenizer.backend_tokenizer.to_str()))

    def certain(self, sides: dict[str, RenderedSide]) -> bool:
        """Whether responses differ and are visible inside the window, and no message spells out a token.

        False says nothing: such a row has to be tokenised.
        """
        first, *others = sides.values()
        if self._lost is None or any(side.head != first.head for side in others):
            return False
        spelt = [first.text[start:stop] for start, stop in first.prompt_ranges]
        responses = [side.response for side in sides.values()]
        if any(map(self._added.search, spelt + responses)):
            return False
        if not all(map(self._kept_whole, responses)):
            return False
        room = self._room(first.head)
        return any(self._differ_within(responses, length, room) for length in LOOKED_AT)

    def _kept_whole(self, text: str) -> bool:
        content = text.encode("utf-8", "surrogatepass")
        return len(content.translate(None, self._lost or b"")) == len(content) and unicodedata.is_normalized(
            "NFC", text
        )

    def _room(self, head: str) -> int:
        """The fewest tokens that the window leaves for a response."""
        prompt = min(self._settings.max_prompt_length, _most_tokens(head))
        room = self._settings.max_length - prompt
        return min(room, self._settings.max_response_length or room)

    @staticmethod
    def _differ_within(responses: list[str], length: int, room: int) -> bool:
        starts = [response[:length] for response in responses]
        return (
            len(set(starts)) == len(starts)
            and all(start.strip() for start in starts)
            and max(map(_most_tokens, starts)) < room
        )


def _most_tokens(text: str) -> int:
    size = len(text) if text.isascii() else 3 * len(text.encode("utf-8", "surrogatepass"))
    return size + (BYTES_OF_SPACE - 1) * text.count(" ") + SLACK


def lost_bytes(backend: dict[str, Any]) -> bytes | None:
    """Bytes that a tokenizer, as its ``tokenizer.json`` has it, leaves out of a text; None if others may go as well."""
    model, before, change = backend["model"], backend["pre_tokenizer"], backend["normalizer"]
    steps, changes = _steps(before, "pretokenizers"), _steps(change, "normalizers")
    by_bytes = any(step["type"] == "ByteLevel" for step in steps)
    keeps_all = (
        model["type"] == "BPE"
        and not model.get("dropout")
        and (by_bytes or model.get("byte_fallback") is True)
        and all(map(_keeps_all, steps))
        and all(step["type"] in PLAIN_CHANGES for step in changes)
        and all(step["pattern"] == {"String": " "} for step in changes if step["type"] == "Replace")
    )
    names = _byte_letters() if by_bytes else [f"<0x{byte:02X}>" for byte in range(256)]
    return bytes(byte for byte, name in enumerate(names) if name not in model["vocab"]) if keeps_all else None


def _steps(step: dict[str, Any] | None, kind: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return list(step[kind]) if step["type"] == "Sequence" else [step]


def _keeps_all(step: dict[str, Any]) -> bool:
    behaviours = KEEPS_ALL.get(step["type"], set())
    return behaviours is None or step.get("behavior") in behaviours


def _byte_letters() -> list[str]:
    """The character that a byte-level vocabulary writes for each byte: its own where that is visible."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in visible)
    letters = {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]
