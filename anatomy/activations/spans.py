"""Which tokens of a row belong to the prompt and to each response (method.md §2).

The chat template is rendered twice, once with a placeholder for each message's content: the text between placeholders
is the template's own and belongs to no span, so a default system message is never mistaken for the user's words.
The text before the final response and the response's content are tokenised apart, as in generation: all sides have
the same prompt ids and no token mixes header and response. What follows the content (EOT) cannot change what precedes
it in a causal model and is left out. Special tokens that a message's own text spells out stay in the sequence, as in
training, and belong to no span.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64

from anatomy.activations.chat_template import TemplateError, apply_template
from anatomy.activations.token_bounds import RenderedSide
from anatomy.data.faults import EMPTY_RESPONSE, IDENTICAL_AFTER_TRUNCATION, PROMPT_FILLS_WINDOW
from anatomy.settings import ModelSettings
from anatomy.types import Message, Response, Row, content_hash

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_SEARCHED = 1 << 30
MOST_KEPT_CHARS = 20_000
PLACEHOLDER = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True)
class EncodedSide:
    """Token ids of prompt and response, and masks over them: ``spans["prompt"]`` and ``spans["response"]``.

    ``text`` is the response's whole text, ``offsets_R2`` the characters ``[start, stop)`` of its span's tokens.
    """

    ids: Int32[np.ndarray, " T"]
    spans: dict[str, Bool[np.ndarray, " T"]]
    text: str
    offsets_R2: Int64[np.ndarray, "R 2"]

    def key(self) -> bytes:
        """The same for sides that are read and pooled alike."""
        return self.ids.tobytes() + self.spans["response"].tobytes() + self.spans["prompt"].tobytes()


@dataclass(frozen=True)
class EncodedRow:
    """Each side as token ids. ``lengths`` counts tokens before truncation (the prompt's with its template).

    ``prompt_ids`` is what precedes the first side's response, after truncation; it is the same on the other side unless
    the sides hold turns of their own before the final one. ``special_in_text`` counts special tokens that messages
    spell out. ``fault`` says why the row cannot be used, None where it can.
    """

    prompt_ids: Int32[np.ndarray, " T"]
    sides: dict[str, EncodedSide]
    lengths: dict[str, int]
    truncated: dict[str, bool]
    special_in_text: int
    fault: str | None

    def span(self, name: str) -> tuple[EncodedSide, str]:
        """A side and the kind of its span that ``name`` is: ``prompt`` (of the first side), or a side's response."""
        return (next(iter(self.sides.values())), "prompt") if name == "prompt" else (self.sides[name], "response")


class _Tokens(NamedTuple):
    text: str
    ids: Int32[np.ndarray, " T"]
    offsets: Int64[np.ndarray, "T 2"]
    content: Bool[np.ndarray, " T"]
    special: Bool[np.ndarray, " T"]
    special_in_text: int


class Window(NamedTuple):
    """Tokens kept of prompt and response together, of the prompt (its end), and of the response (its start)."""

    length: int
    prompt: int
    response: int | None = None

    @classmethod
    def of(cls, settings: ModelSettings) -> Window:
        """The window in which the model reads rows."""
        return cls(settings.max_length, settings.max_prompt_length, settings.max_response_length)

    def room(self, prompt: int) -> int:
        """The tokens that a prompt of so many leaves for a response."""
        left = max(0, self.length - min(prompt, self.prompt))
        return left if self.response is None else min(left, self.response)


TokenisedSides = dict[str, tuple[_Tokens, _Tokens]]
"""Each side's text before its final response, and the response, as tokens."""


def template_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Content hash of the chat template."""
    return content_hash(tokenizer.chat_template)


def encode_row(row: Row, tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> EncodedRow:
    """Tokenise each side, cut them to the window, and mark the spans.

    The prompt keeps its first token where that is special, and its end; the response keeps its start.

    Raises:
        TemplateError: the chat template refuses the messages or changes their text.
        RowTooLong: a conversation is too long to be tokenised.
    """
    return fit_window(tokenised_sides(rendered_sides(row, tokenizer), tokenizer), Window.of(settings))


def rendered_sides(
    row: Row, tokenizer: PreTrainedTokenizerBase, ready: Mapping[str, list[str] | None] | None = None
) -> dict[str, RenderedSide]:
    """The sides through the chat template, where ``ready`` may hold what it makes of them."""
    sides = {}
    for name in row.sides:
        text, ranges = render(row, name, tokenizer, (ready or {}).get(name))
        start, stop = ranges.get(len(row.prompt) + len(row.side(name)) - 1) or _calls_range(row, name, tokenizer, text)
        sides[name] = RenderedSide(
            text, [place for number, place in ranges.items() if number < len(row.prompt)], start, stop
        )
    return sides


def _calls_range(row: Row, side: str, tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, int]:
    """The place of a final turn without text, as the template writes its tool calls; else the end of ``text``.

    It is what follows the opening of an answer, less what the template puts after any answer.
    """
    turns = [*row.prompt, *row.side(side)]
    nothing = (len(text), len(text))
    if len(turns) < 2 or not turns[-1].get("tool_calls"):
        return nothing
    before: list[Message] = [{**turn, "content": turn.get("content") or ""} for turn in turns[:-1]]
    hole = "\ue000"
    (opened,) = apply_template(row, [before], tokenizer, opened=True)
    (plain,) = apply_template(row, [[*before, {"role": turns[-1]["role"], "content": hole}]], tokenizer)
    after = plain[plain.rindex(hole) + 1 :] if hole in plain else ""
    if not text.startswith(opened) or not text.endswith(after):
        return nothing
    start, stop = len(opened), len(text) - len(after)
    return (start, stop) if text[start:stop].strip() else nothing


def tokenised_sides(rendered: dict[str, RenderedSide], tokenizer: PreTrainedTokenizerBase) -> TokenisedSides:
    """The sides as tokens: what precedes the final response, and the response."""
    return {
        name: (
            _tokens(side.head, tuple(side.prompt_ranges), tokenizer),
            _tokens(side.response, ((0, side.stop - side.start),), tokenizer),
        )
        for name, side in rendered.items()
    }


def _tokens(text: str, ranges: tuple[tuple[int, int], ...], tokenizer: PreTrainedTokenizerBase) -> _Tokens:
    """As :func:`tokenise`; the prompt of a row's sides, and what comes again soon, is tokenised once."""
    return (_kept_tokens if len(text) < MOST_KEPT_CHARS else tokenise)(text, ranges, tokenizer)


@lru_cache(maxsize=512)
def _kept_tokens(text: str, ranges: tuple[tuple[int, int], ...], tokenizer: PreTrainedTokenizerBase) -> _Tokens:
    return tokenise(text, ranges, tokenizer)


def encode_prompt(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, settings: ModelSettings
) -> Int32[np.ndarray, " T"]:
    """Token ids of a conversation up to where the model would start to answer; its end is kept.

    The last token is the template's: the place from which a refusal direction is read (method.md §8).

    Raises:
        TemplateError: the chat template refuses the messages.
    """
    (text,) = apply_template(Response(0, messages, ()), [messages], tokenizer, opened=True)
    return _keep_end(tokenise(text, [], tokenizer), settings.max_prompt_length).ids


def span_tokens(encoded: EncodedRow, span: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Text of each token of ``"prompt"`` or of a side's response; position ``at`` of a shard counts in it.

    A character that several tokens share is shown as replacement marks.
    """
    return [str(tokenizer.decode([token])) for token in _span_ids(encoded, span)]


def span_text(encoded: EncodedRow, span: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Text of the tokens of ``"prompt"`` or of a side's response: what the model saw of it."""
    return str(tokenizer.decode(_span_ids(encoded, span)))


def _span_ids(encoded: EncodedRow, span: str) -> list[int]:
    side, kind = encoded.span(span)
    return [int(token) for token in side.ids[side.spans[kind]]]


def fit_window(sides: TokenisedSides, window: Window) -> EncodedRow:
    """Cut prompt and response to the window, and name the fault if nothing useful is left."""
    first = next(iter(sides))
    lengths = {"prompt": len(sides[first][0].ids)} | {name: len(response.ids) for name, (_, response) in sides.items()}
    prompts = {name: _keep_end(prompt, window.prompt) for name, (prompt, _) in sides.items()}
    room = {name: window.room(len(prompt.ids)) for name, prompt in prompts.items()}
    encoded = {name: _join(prompts[name], response, room[name]) for name, (_, response) in sides.items()}
    fault, distinct = None, {side.ids.tobytes() for side in encoded.values()}
    if not all(response.content.any() for _, response in sides.values()):
        fault = EMPTY_RESPONSE
    elif not all(side.spans["response"].any() for side in encoded.values()):
        fault = PROMPT_FILLS_WINDOW
    elif len(distinct) < len(encoded):
        fault = IDENTICAL_AFTER_TRUNCATION
    return EncodedRow(
        prompt_ids=prompts[first].ids,
        sides=encoded,
        lengths=lengths,
        truncated={"prompt": lengths["prompt"] > len(prompts[first].ids)}
        | {name: lengths[name] > room[name] for name in sides},
        special_in_text=sides[first][0].special_in_text + sum(text.special_in_text for _, text in sides.values()),
        fault=fault,
    )


def _keep_end(tokens: _Tokens, limit: int) -> _Tokens:
    """The last ``limit`` tokens; the first of them gives way to the sequence's own first where that is special."""
    if len(tokens.ids) <= limit:
        return tokens
    kept = np.arange(len(tokens.ids) - limit, len(tokens.ids))
    if tokens.special[0]:
        kept[0] = 0  # BOS
    return tokens._replace(
        ids=tokens.ids[kept], offsets=tokens.offsets[kept], content=tokens.content[kept], special=tokens.special[kept]
    )


def _join(prompt: _Tokens, response: _Tokens, room: int) -> EncodedSide:
    ids = np.concatenate([prompt.ids, response.ids[:room]])
    spans = {"prompt": np.zeros(len(ids), dtype=bool), "response": np.zeros(len(ids), dtype=bool)}
    spans["prompt"][: len(prompt.ids)] = prompt.content
    spans["response"][len(prompt.ids) :] = response.content[:room]
    return EncodedSide(ids, spans, response.text, response.offsets[:room][response.content[:room]])


def tokenise(text: str, ranges: Sequence[tuple[int, int]], tokenizer: PreTrainedTokenizerBase) -> _Tokens:
    """Tokenise ``text`` and mark the tokens of its character ``ranges``, special tokens left out."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = np.asarray(encoded["input_ids"], dtype=np.int32)
    offsets = np.asarray(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    inside = np.zeros(len(ids), dtype=bool)
    in_order = bool((np.diff(offsets, axis=0) >= 0).all())
    for start, stop in ranges:
        near = _near(offsets, start, stop) if in_order else slice(None)
        inside[near] |= _overlap(text, offsets[near], start, stop)
    special = np.isin(ids, _special_ids(tokenizer))
    return _Tokens(text, ids, offsets, inside & ~special, special, int((inside & special).sum()))


def _near(offsets: Int64[np.ndarray, "T 2"], start: int, stop: int) -> slice:
    """The tokens that end after ``start`` and begin before ``stop``, of tokens in the order of the text."""
    first, last = np.searchsorted(offsets[:, 1], start, "right"), np.searchsorted(offsets[:, 0], stop, "left")
    return slice(int(first), max(int(first), int(last)))


def _overlap(text: str, offsets: Int64[np.ndarray, "T 2"], start: int, stop: int) -> Bool[np.ndarray, " T"]:
    """Tokens inside ``[start, stop)``; one that straddles an end counts if it holds visible text of the range."""
    first, last = np.maximum(offsets[:, 0], start), np.minimum(offsets[:, 1], stop)
    overlaps = first < last
    straddles = overlaps & ((offsets[:, 0] < start) | (offsets[:, 1] > stop))
    for token in np.flatnonzero(straddles):
        overlaps[token] = bool(text[first[token] : last[token]].strip())
    return np.asarray(overlaps)


@lru_cache(maxsize=8)
def _special_ids(tokenizer: PreTrainedTokenizerBase) -> Int64[np.ndarray, " S"]:
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return np.array(sorted(added | set(tokenizer.all_special_ids)), dtype=np.int64)


def with_holes(row: Row, side: str) -> tuple[list[Message], list[Message]]:
    """The conversation of a side, and the same with a placeholder for each text."""
    messages: list[Message] = [
        {**message, "content": message.get("content") or ""} for message in [*row.prompt, *row.side(side)]
    ]
    holes: list[Message] = [
        {**message, "content": f"\ue000{number}\ue001"} if message["content"] else message
        for number, message in enumerate(messages)
    ]
    return messages, holes


def render(
    row: Row, side: str, tokenizer: PreTrainedTokenizerBase, ready: list[str] | None = None
) -> tuple[str, dict[int, tuple[int, int]]]:
    """One side through the chat template, and the character range of each message that has text and is shown.

    ``ready`` is what the template makes of the conversation and of the one with placeholders, if that is known.
    """
    messages, holes = with_holes(row, side)
    with_text = [number for number, message in enumerate(messages) if message["content"]]
    text, hollow = ready or apply_template(row, [messages, holes], tokenizer)
    literals = PLACEHOLDER.split(hollow)  # template, number, template, number, ...
    shown = [int(number) for number in literals[1::2]]
    ranges: list[tuple[int, int]] | None = None
    if shown == sorted(set(shown)):
        ranges = _fill(text, literals[::2], [messages[number]["content"] for number in shown])
    if ranges is None:  # a template that treats some text specially, as those that move <think> blocks
        shown = with_text
        ranges = _search(text, [messages[number]["content"] for number in shown])
    if ranges is None or set(with_text) - set(shown) & {len(messages) - 1}:
        raise TemplateError(row.index, "the chat template changes the text of a message")
    return text, dict(zip(shown, ranges, strict=True))


def _fill(text: str, literals: Sequence[str], contents: Sequence[str]) -> list[tuple[int, int]] | None:
    """Places of the contents if ``text`` is literals and contents in turn; templates may strip the contents."""
    ranges, position = [], len(literals[0])
    if not text.startswith(literals[0]):
        return None
    for content, following in zip(contents, literals[1:], strict=True):
        for form in (content, content.strip(), content.lstrip(), content.rstrip()):
            if text.startswith(form + following, position):
                break
        else:
            return None
        ranges.append((position, position + len(form)))
        position += len(form) + len(following)
    return ranges if position == len(text) else None


def _search(text: str, contents: Sequence[str]) -> list[tuple[int, int]] | None:
    """Places of the contents if every one is found once after the one before; None rather than a guess.

    None as well where so many contents of so long a text are to be looked for that it would take seconds.
    """
    if len(contents) * len(text) > MOST_SEARCHED:
        return None
    ranges, position = [], 0
    for content in contents:
        form = content if content in text else content.strip()
        if not form or text.count(form, position) != 1:
            return None
        position = text.index(form, position)
        ranges.append((position, position + len(form)))
        position += len(form)
    return ranges
