"""Marks of chat templates inside texts: tokens that end a turn or a text, and marks that open one.

A response that spells out an end token tells a model when to stop by the text; a text with marks of turns has been
through a template already, and a second one makes it something that the model has never seen.
"""

from __future__ import annotations

import re

END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|eot|>",
    "<|return|>",
    "<end_of_turn>",
    "<turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "</s>",
    "<eos>",
)
"""Spellings of end tokens of common tokenizers; each begins with ``<``."""
TURN_OPENERS = {
    "<": (
        r"\|im_start\|>\s*(?:system|user|assistant|tool)",
        r"\|start_header_id\|>\w+<\|end_header_id\|>",
        r"\|(?:system|user|assistant|prompter|human|bot)\|>",
        r"start_of_turn>(?:user|model)",
        r"\|START_OF_TURN_TOKEN\|>",
        r"｜(?:User|Assistant)｜>",
        r"\|(?:begin_of_text|startoftext)\|>",
        r"</?SYS>>",
    ),
    r"\[": (r"/?INST\]",),
}
"""First character → what may follow it: a search for one character first is ten times as fast as for a choice."""
STARTS = ("<|", "<｜", "<start_of_turn>", "<end_of_turn>", "<turn|>", "<eos>", "<s>", "</s>", "<<", "[INST]", "[/INST]")
"""Texts of which every mark holds one."""
_END = re.compile("<(?:" + "|".join(re.escape(token.removeprefix("<")) for token in END_TOKENS) + ")")
_OPENERS = [re.compile(f"{first}(?:{'|'.join(rest)})") for first, rest in TURN_OPENERS.items()]


def has_end_token(text: str) -> bool:
    """Whether the text spells out an end token."""
    return _END.search(text) is not None


def has_turns(text: str) -> bool:
    """Whether the text holds a mark that opens a turn, as the output of a chat template does."""
    return text.startswith("<s>") or any(opener.search(text) for opener in _OPENERS)
