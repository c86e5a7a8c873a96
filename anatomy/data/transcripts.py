"""Conversations that are written out as one text, with a mark before each turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from anatomy.types import Message

ROLE = {
    **dict.fromkeys(("human", "user", "prompter", "instruction", "input", "[inst]"), "user"),
    **dict.fromkeys(("assistant", "response", "bot", "gpt", "model", "[/inst]"), "assistant"),
    **dict.fromkeys(("system",), "system"),
    **dict.fromkeys(("tool", "ipython"), "tool"),
}


class Style(NamedTuple):
    """How turns are marked: what opens one, what may end one, and whether text may stand before the first."""

    name: str
    mark: re.Pattern[str]
    end: re.Pattern[str] | None = None
    preamble: bool = False


STYLES = (
    Style("`Human:`/`Assistant:`", re.compile(r"(?:\A\s*|\n\n)(Human|Assistant|System):")),
    Style("`Human:`/`Assistant:` on lines", re.compile(r"(?:\A\s*|\n)(Human|Assistant|System):")),
    Style(
        "`### Human:`", re.compile(r"###\s*(Human|User|Assistant|System|Instruction|Input|Response):"), preamble=True
    ),
    Style(
        "`<|im_start|>`",
        re.compile(r"<\|im_start\|>\s*(system|user|assistant|tool)\s*?\n"),
        re.compile(r"<\|im_end\|>\s*"),
    ),
    Style(
        "`<|start_header_id|>`",
        re.compile(r"(?:<\|begin_of_text\|>)?<\|start_header_id\|>(system|user|assistant|ipython)<\|end_header_id\|>"),
        re.compile(r"<\|eot_id\|>\s*"),
    ),
    Style(
        "`<|user|>`",
        re.compile(r"<\|(prompter|user|human|assistant|system|bot)\|>"),
        re.compile(r"(?:<\|endoftext\|>|</s>|<\|end\|>)\s*"),
    ),
    Style("`[INST]`", re.compile(r"(?:<s>\s*)?(\[/?INST\])"), re.compile(r"</s>\s*")),
    Style(
        "`USER:`/`ASSISTANT:`",
        re.compile(r"(?:\A|(?<=\s)|(?<=</s>))(USER|ASSISTANT|SYSTEM):"),
        re.compile(r"</s>\s*"),
        True,
    ),
    Style("`User:`/`Assistant:`", re.compile(r"(?:\A\s*|\n)(User|Assistant|System|Bot):")),
)
"""Ways to mark turns, the most telling first."""
HH = STYLES[0]


def style_of(text: str, fits: Callable[[str, Style], bool] | None = None) -> Style | None:
    """The style of a whole transcript: it opens with a mark, or has a preamble before a user turn, and an answer."""
    fits = fits or is_in
    return next((style for style in STYLES if fits(text, style) and _roles(text, style)[0] != "assistant"), None)


def asks(text: str, style: Style) -> bool:
    """Whether a text is marked up as in this style, and has nothing but turns before the answer."""
    return style.end is not None and not style.preamble and bool(_roles(text, style)) and _opens(text, style)


def is_in(text: str, style: Style) -> bool:
    """Whether a text is a transcript of this style, if need be one with single line breaks."""
    return "assistant" in _roles(text, style) and _opens(text, style)


def _opens(text: str, style: Style) -> bool:
    first = style.mark.search(text)
    return first is not None and (not text[: first.start()].strip() or style.preamble)


def _roles(text: str, style: Style) -> list[str]:
    return [ROLE[mark[1].lower()] for mark in style.mark.finditer(text)]


def turns_of(text: str, style: Style) -> list[Message]:
    """The turns of a transcript, stripped of the space around them; empty where it does not open with a mark.

    A preamble before the first mark (``A chat between … USER: …``) is a system turn.
    """
    if style is HH and not HH.mark.search(text, 1) and is_in(text, STYLES[1]):
        style = STYLES[1]
    before, *parts = style.mark.split(text)
    if not parts or (before.strip() and not style.preamble):
        return []
    turns: list[Message] = [{"role": "system", "content": before.strip()}] if before.strip() else []
    for mark, content in zip(parts[::2], parts[1::2], strict=True):
        plain = style.end.sub("", content) if style.end else content
        if mark == "Input" and turns:
            turns[-1] = {**turns[-1], "content": f"{turns[-1]['content']}\n{plain.strip()}"}
        else:
            turns.append({"role": ROLE[mark.lower()], "content": plain.strip()})
    return turns
