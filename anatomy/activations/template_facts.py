"""What a chat template does to every conversation: whether texts start and end as the tokenizer means them to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anatomy.activations.chat_template import TemplateError, apply_template
from anatomy.data.health_parts import TemplateFacts
from anatomy.types import Message, Response

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION, ANSWER = "Which bird is this?", "It is a wren."
TURNS: list[Message] = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]


def template_facts(tokenizer: PreTrainedTokenizerBase) -> TemplateFacts | None:
    """Facts of the tokenizer's template, from one short conversation; None where it refuses that.

    ``bos`` is ``missing`` if the tokenizer starts each text with a token that the template does not write, and
    ``doubled`` if the template writes it twice; a trainer that tokenises rendered text with special tokens added
    doubles any that is written once (``added``).
    """
    try:
        (text,) = apply_template(Response(0, TURNS, ()), [TURNS], tokenizer)
    except TemplateError:
        return None
    if QUESTION not in text or ANSWER not in text:
        return None
    before, after = text[: text.index(QUESTION)], text[text.index(ANSWER) + len(ANSWER) :]
    bos, first = tokenizer.bos_token, tokenizer("x").input_ids[:1]
    adds = bool(bos) and first == [tokenizer.bos_token_id]
    written = before.startswith(bos) if bos else False
    specials = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    ends = {token for token in (*specials, tokenizer.eos_token) if token and token in after}
    return TemplateFacts(
        bos="doubled" if bos and before.startswith(bos * 2) else "missing" if adds and not written else "as it should",
        added=adds and written,
        ends=bool(ends),
        dated="strftime_now" in str(tokenizer.chat_template),
        own_system="system" in before.lower(),
    )
