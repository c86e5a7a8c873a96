"""Labelled sequences from the sources that concepts have, and their residuals at several layers in one pass."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int

from anatomy.activations.hidden import WantedTokens, read_hidden
from anatomy.activations.model import Subject
from anatomy.activations.spans import EncodedSide, encode_prompt, encode_row
from anatomy.data.groups import groups_of
from anatomy.data.readers import Record
from anatomy.errors import ProbeError
from anatomy.settings import ModelSettings, RowSettings
from anatomy.text.matchers import find_ranges
from anatomy.types import SIDES, Message, Pair, Response, content_hash
from probes.examples import Examples

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

POSITIVE = {"1", "1.0", "true", "yes", "positive", "harmful", "unsafe"}
NEGATIVE = {"0", "0.0", "false", "no", "negative", "harmless", "safe"}
_COLUMNS = RowSettings(rows="-", group_by=("model", "safe"))
"""Columns that divide examples, beside those that :mod:`anatomy.data.groups` knows by their names."""


@dataclass(frozen=True)
class Labelled:
    """One sequence with its label: ``wanted`` tokens of ``ids`` are read; ``prompt`` groups what is not independent.

    ``token_labels`` are those of the wanted tokens. ``pair`` is the same for the two sides of a contrastive pair.
    ``asked`` is the text of the prompt, ``columns`` what its row says of model, type and the like.
    """

    ids: Int[np.ndarray, " T"]
    wanted: np.ndarray
    text: str
    offsets_R2: np.ndarray
    label: int
    prompt: str
    pair: int = -1
    token_labels: Int[np.ndarray, " R"] | None = None
    asked: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def from_pairs(pairs: Iterable[Pair], tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> list[Labelled]:
    """Contrastive pairs: chosen responses are positives, rejected ones negatives."""
    found = []
    for number, pair in enumerate(pairs):
        encoded = encode_row(pair, tokenizer, settings)
        if encoded.fault is None:
            for side in SIDES:
                item = response(encoded.sides[side], int(side == "chosen"), pair.prompt_id, number)
                found.append(_of_pair(item, pair, side))
    return found


def from_heuristic(
    pairs: Iterable[Pair],
    matcher: str,
    wanted: int,
    seed: int,
    tokenizer: PreTrainedTokenizerBase,
    settings: ModelSettings,
    hard: str | None = None,
) -> list[Labelled]:
    """Distinct responses of a preference set, half of them with a match; tokens that overlap a match are positive.

    With ``hard``, the name of another matcher, half of the responses without a match are ones that it finds (as far
    as there are such): hard negatives, which a detector of any formatting at all would flag.
    """
    found: dict[str, list[tuple[str, Pair, str]]] = {"match": [], "hard": [], "plain": []}
    seen: set[str] = set()
    for pair in pairs:
        for side in SIDES:
            text = str(pair.side(side)[-1]["content"])
            key = content_hash([seed, pair.prompt_id, text])
            if key not in seen:
                seen.add(key)
                kind = (
                    "match" if find_ranges(text, matcher) else "hard" if hard and find_ranges(text, hard) else "plain"
                )
                found[kind].append((key, pair, side))
    chosen = [*_first(found["match"], wanted // 2), *_first(found["hard"], wanted // 4)]
    chosen += _first(found["plain"], wanted - wanted // 2 - min(len(found["hard"]), wanted // 4))
    items = []
    for _, pair, side in sorted(chosen, key=lambda item: item[0]):
        encoded = encode_row(pair, tokenizer, settings)
        if encoded.fault is None:
            part = encoded.sides[side]
            labels = overlaps(part.offsets_R2, find_ranges(part.text, matcher))
            item = response(part, int(labels.any()), pair.prompt_id, token_labels=labels)
            items.append(_of_pair(item, pair, side))
    return items


def _first(found: list[tuple[str, Pair, str]], wanted: int) -> list[tuple[str, Pair, str]]:
    """A sample that the seed decides: the first by hash."""
    return sorted(found, key=lambda item: item[0])[:wanted]


def from_prompts(
    records: Iterable[Record], tokenizer: PreTrainedTokenizerBase, settings: ModelSettings
) -> list[Labelled]:
    """Labelled prompts (columns ``prompt``, ``label``), read at the last token before the answer (method.md §8).

    With a column ``completion`` the label is that of the answer, and the answer is read.

    Raises:
        ProbeError: a column is missing, or a label is neither positive (harmful, 1 …) nor negative (harmless, 0 …).
    """
    found = []
    for record in records:
        prompt = text_column(record, "prompt")
        label = str(record.values.get("label")).strip().lower()
        if label not in POSITIVE | NEGATIVE:
            raise ProbeError(f"{record.place}: label {label!r}; use harmful or harmless, positive or negative, 1 or 0")
        if "completion" in record.values:
            item = _answer(prompt, text_column(record, "completion"), int(label in POSITIVE), tokenizer, settings)
        else:
            item = last_token_of(prompt, int(label in POSITIVE), tokenizer, settings)
        if item.wanted.any():
            found.append(replace(item, asked=prompt, columns=groups_of(record.values, _COLUMNS)))
    return found


def last_token_of(prompt: str, label: int, tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> Labelled:
    """The token of a prompt's template from which the model would start to answer."""
    messages: list[Message] = [{"role": "user", "content": prompt}]
    ids = encode_prompt(messages, tokenizer, settings)
    wanted = np.zeros(len(ids), bool)
    wanted[-1] = True
    return Labelled(ids, wanted, "", np.zeros((1, 2), np.int64), label, content_hash(prompt))


def from_answers(
    answers: Iterable[tuple[str, str, int]], tokenizer: PreTrainedTokenizerBase, settings: ModelSettings
) -> list[Labelled]:
    """Self-generated answers with labels, read after the plain question, without the system prompt that was used.

    A detector will meet responses without such a prompt; with it, the direction would say what was asked for.
    """
    found = []
    for question, answer, label in answers:
        item = _answer(question, answer, label, tokenizer, settings)
        if item.wanted.any():
            found.append(replace(item, asked=question))
    return found


def _answer(
    question: str, answer: str, label: int, tokenizer: PreTrainedTokenizerBase, settings: ModelSettings
) -> Labelled:
    prompt: list[Message] = [{"role": "user", "content": question}]
    reply: list[Message] = [{"role": "assistant", "content": answer}]
    side = encode_row(Response(0, prompt, reply), tokenizer, settings).sides["response"]
    return response(side, label, content_hash(question))


def _of_pair(item: Labelled, pair: Pair, side: str) -> Labelled:
    """The item with the text of its prompt, and what the columns of its row say."""
    columns = groups_of(pair.metadata, _COLUMNS)
    if writer := pair.metadata.get(f"{side}_model"):
        columns["model"] = str(writer)
    return replace(item, asked=str(pair.prompt[-1]["content"]) if pair.prompt else "", columns=columns)


def text_column(record: Record, name: str) -> str:
    """A text of a plain table.

    Raises:
        ProbeError: the row cannot be read, or the column is missing or holds something else.
    """
    if record.fault:
        raise ProbeError(f"{record.place}: {record.fault}")
    value = record.values.get(name)
    if not isinstance(value, str):
        columns = ", ".join(map(str, record.values))
        raise ProbeError(f"{record.place}: no text in column `{name}` (columns: {columns}); rename or fill it")
    return value


def overlaps(offsets_R2: Int[np.ndarray, "R 2"], ranges: Sequence[tuple[int, int]]) -> Int[np.ndarray, " R"]:
    """1 for each token that shares a character with one of the ranges, else 0."""
    inside_R = np.zeros(len(offsets_R2), np.int64)
    for start, stop in ranges:
        inside_R |= (offsets_R2[:, 0] < stop) & (offsets_R2[:, 1] > start)
    return inside_R


def read_examples(
    items: Sequence[Labelled], subject: Subject, layers: Sequence[int], settings: ModelSettings, progress: Any = None
) -> dict[int, Examples]:
    """Residuals of all items at every layer, one pass; memory is tokens × width × layers in float32."""
    readings = [WantedTokens(item.ids, item.wanted) for item in items]
    parts: dict[int, list[torch.Tensor | None]] = {layer: [None] * len(items) for layer in layers}
    for position, hidden in read_hidden(subject, readings, layers, settings.batch_tokens):
        for layer, x_RD in hidden.items():
            parts[layer][position] = x_RD
        if progress is not None:
            progress(1)
    return {layer: _examples(items, [x for x in found if x is not None]) for layer, found in parts.items()}


def pick(items: Sequence[Labelled], wanted: int | None, seed: int) -> list[Labelled]:
    """At most ``wanted`` items, whole pairs together, a seeded sample in the order given."""
    if wanted is None or len(items) <= wanted:
        return list(items)
    pairs = sorted({item.pair for item in items if item.pair >= 0})
    rng = random.Random(seed)
    if pairs:
        kept = set(rng.sample(pairs, wanted // 2))
        return [item for item in items if item.pair in kept]
    numbers = set(rng.sample(range(len(items)), wanted))
    return [item for number, item in enumerate(items) if number in numbers]


def response(
    side: EncodedSide, label: int, prompt: str, pair: int = -1, token_labels: np.ndarray | None = None
) -> Labelled:
    """A response with its label."""
    return Labelled(side.ids, side.spans["response"], side.text, side.offsets_R2, label, prompt, pair, token_labels)


def _examples(items: Sequence[Labelled], parts: Sequence[torch.Tensor]) -> Examples:
    labels = [item.token_labels for item in items if item.token_labels is not None]
    return Examples(
        x_ND=torch.cat(list(parts)),
        starts_S1=np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64),
        y_S=np.array([item.label for item in items]),
        group_S=np.unique([item.prompt for item in items], return_inverse=True)[1],
        pair_S=np.array([item.pair for item in items]),
        y_N=np.concatenate(labels) if len(labels) == len(items) else None,
    )
