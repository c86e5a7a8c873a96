"""Completions of the subject model: left-padded batches through Hugging Face's ``generate``, resumable on disk.

A sample is drawn at uniform numbers that come from the item's key alone (conversation, settings, model, template,
sample number), so that it does not depend on its neighbours in the batch. Like a greedy completion, it is the same in
every call up to the rounding of padded arithmetic; in the same call it is the same to the bit.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from anatomy.activations.chat_template import apply_template
from anatomy.activations.spans import template_hash
from anatomy.artifacts import write_bytes
from anatomy.errors import ModelError, RunError
from anatomy.types import Message, Response, content_hash

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

    from anatomy.activations.generate_settings import GenerateSettings
from anatomy.activations.model import Subject

Progress = Callable[[int], object]


class Completion(NamedTuple):
    """A completion's text without special tokens, and the tokens drawn, the one that ended it included.

    A text is often read as other tokens than it was made of; only these have the probability of the draw.
    """

    text: str
    tokens: list[int]


@dataclass(frozen=True)
class _Completing:
    key: str
    ids: Int32[np.ndarray, " T"]


def generate(
    path: Path,
    subject: Subject,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
    settings: GenerateSettings,
    progress: Progress | None = None,
) -> list[Completion]:
    """One completion for each conversation, in their order, without special tokens.

    A conversation that occurs several times gets as many samples (all the same where greedy). A completion ends at the
    model's or the tokenizer's end of text, at the end of turn of the chat template, or after ``max_new_tokens``.

    Args:
        path: JSONL file (``key``, ``text``, ``tokens``, ``checksum``) that keeps them a batch at a time, the longest
            prompts first; after a kill or damage, the same call makes the batches that are missing and ends with the
            same file.
        progress: called with the number of completions just done, those that were there already included.

    Raises:
        ModelError: the template refuses a conversation, or prompt and completion exceed the model's window.
        RunError: ``path`` holds completions of other conversations, settings or another model.
    """
    items = _items(subject, tokenizer, conversations, settings)
    batches = _batches(items, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    known, done = _resume(path, [[items[position].key for position in batch] for batch in batches])
    with path.open("ab") as stream:
        for number, batch in enumerate(batches):
            wanted = [items[position] for position in batch]
            if wanted[0].key not in known:
                found = _complete(subject, tokenizer, wanted, settings)
                known |= {item.key: completion for item, completion in zip(wanted, found, strict=True)}
            if number >= done:
                stream.write(b"".join(_line(item.key, known[item.key]) for item in wanted))
                stream.flush()
                os.fsync(stream.fileno())
            if progress is not None:
                progress(len(batch))
    return [known[item.key] for item in items]


def _line(key: str, completion: Completion) -> bytes:
    content = {"key": key, **completion._asdict()}
    return json.dumps({**content, "checksum": _checksum(content)}, ensure_ascii=False).encode() + b"\n"


def _checksum(content: object) -> str:
    return content_hash(content)[:8]


def _read_line(line: bytes) -> tuple[str, Completion] | None:
    """Key and completion of a line; None if it is damaged, or no line of ours."""
    try:
        content = json.loads(line)
        if content.pop("checksum") != _checksum(content):
            return None
        return content["key"], Completion(content["text"], content["tokens"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _resume(path: Path, batches: Sequence[Sequence[str]]) -> tuple[dict[str, Completion], int]:
    """Completions of the batches that ``path`` holds whole, by key, and how many batches lie there without a gap.

    What follows the first gap is cut off: half a line of a killed process, or all behind a damaged one.
    """
    content = path.read_bytes() if path.exists() else b""
    lines = content.splitlines(keepends=True)
    rows = [row for row in map(_read_line, lines) if row is not None]
    order = iter(key for batch in batches for key in batch)
    if (b"\n" in content and not rows) or not all(key in order for key, _ in rows):
        raise RunError(f"{path}: holds other completions than these inputs give; delete it or write to another file")
    found = dict(rows)
    whole = [all(key in found for key in batch) for batch in batches]
    done = next((number for number, is_whole in enumerate(whole) if not is_whole), len(whole))
    kept = b"".join(_line(key, found[key]) for batch in batches[:done] for key in batch)
    if kept != content:
        write_bytes(path, kept)
    return {key: found[key] for batch, is_whole in zip(batches, whole, strict=True) if is_whole for key in batch}, done


def _items(
    subject: Subject,
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
    settings: GenerateSettings,
) -> list[_Completing]:
    """Prompt ids and key of each conversation; the number of earlier occurrences is the sample number."""
    shared = [settings.model_dump(exclude={"batch_tokens"}), subject.fingerprint, template_hash(tokenizer)]
    window = getattr(_model(subject).config.get_text_config(), "max_position_embeddings", None)
    seen: Counter[str] = Counter()
    items = []
    for index, conversation in enumerate(conversations):
        ids = _prompt_ids(tokenizer, conversation, index)
        if window is not None and len(ids) + settings.max_new_tokens > window:
            raise ModelError(
                f"conversation {index}: {len(ids)} tokens and max_new_tokens {settings.max_new_tokens} exceed "
                f"the window of {subject.name} ({window}); shorten the one or lower the other"
            )
        content = content_hash(list(conversation))
        items.append(_Completing(content_hash([content, *shared, seen[content]]), ids))
        seen[content] += 1
    return items


def _prompt_ids(
    tokenizer: PreTrainedTokenizerBase, conversation: Sequence[Message], index: int
) -> Int32[np.ndarray, " T"]:
    (text,) = apply_template(Response(index, (), ()), [conversation], tokenizer, opened=True)
    return np.asarray(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], dtype=np.int32)


def _batches(items: Sequence[_Completing], settings: GenerateSettings) -> list[list[int]]:
    """Positions of the items, longest prompt first, cut by the token budget (one item at least)."""
    order = sorted(range(len(items)), key=lambda position: -len(items[position].ids))
    batches = []
    while order:
        longest = len(items[order[0]].ids) + settings.max_new_tokens
        rows = max(1, settings.batch_tokens // longest)
        batches.append(order[:rows])
        order = order[rows:]
    return batches


def _complete(
    subject: Subject, tokenizer: PreTrainedTokenizerBase, items: Sequence[_Completing], settings: GenerateSettings
) -> list[Completion]:
    """Completions of one batch."""
    import torch
    from transformers import GenerationConfig

    from anatomy.activations.sampling import sampling, stop_ids

    model: Any = _model(subject)  # a PreTrainedModel; its `generate` is not typed
    stops = stop_ids(model, tokenizer)
    width = max(len(item.ids) for item in items)
    ids_BT = torch.full((len(items), width), stops[0] if stops else 0)
    mask_BT = torch.zeros_like(ids_BT)
    for row, item in enumerate(items):
        ids_BT[row, width - len(item.ids) :] = torch.from_numpy(item.ids)
        mask_BT[row, width - len(item.ids) :] = 1
    config = GenerationConfig(
        do_sample=False,  # sampling is a logits processor of ours
        max_new_tokens=settings.max_new_tokens,
        eos_token_id=stops or None,
        pad_token_id=stops[0] if stops else 0,
        use_cache=True,
    )
    ids_BT, mask_BT = ids_BT.to(subject.device), mask_BT.to(subject.device)
    with torch.inference_mode(), _only_config(model, config):
        out_BT = model.generate(
            ids_BT,
            attention_mask=mask_BT,
            generation_config=config,
            past_key_values=_read_once(model, ids_BT, mask_BT),
            logits_processor=sampling(_uniform(items, settings), settings.temperature, settings.top_p, width),
        )
    return [_decode(tokenizer, row, stops) for row in out_BT[:, width:].tolist()]


def _read_once(model: Any, ids_BT: Tensor, mask_BT: Tensor) -> Any:
    """Keys and values of all prompt tokens but the last, each prompt read once.

    None where no prompt occurs twice, or the model keeps other states than keys and values. Samples of one prompt share
    most of their cost: reading a long prompt takes longer than a short completion of it.
    """
    import torch

    width = ids_BT.shape[1]
    unique_UT, row_B = torch.unique(torch.cat([ids_BT, mask_BT], dim=1), dim=0, return_inverse=True)
    if len(unique_UT) == len(ids_BT) or width < 2 or (cache := _empty_cache(model)) is None:
        return None
    ids_UT, mask_UT = unique_UT[:, : width - 1], unique_UT[:, width:-1]
    position_UT = (mask_UT.cumsum(-1) - 1).clamp(min=0)
    model(ids_UT, attention_mask=mask_UT, position_ids=position_UT, past_key_values=cache, logits_to_keep=1)
    cache.batch_select_indices(row_B)
    return cache


def _empty_cache(model: PreTrainedModel) -> Any:
    """A cache whose rows can be selected; None for a model with recurrent layers (state spaces, convolutions)."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    keys_and_values = {type(layer) for layer in cache.layers} <= {DynamicLayer, DynamicSlidingWindowLayer}
    return cache if keys_and_values and "past_key_values" in signature(model.forward).parameters else None


def _model(subject: Subject) -> PreTrainedModel:
    from anatomy.activations.layers import hf_model

    return hf_model(subject)


@contextmanager
def _only_config(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Hide the model's own generation settings: ``generate`` would fill in their penalties and temperatures."""
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own


def _decode(tokenizer: PreTrainedTokenizerBase, ids: list[int], stops: Sequence[int]) -> Completion:
    end = next((at for at, token in enumerate(ids) if token in stops), len(ids))
    text = str(tokenizer.decode(ids[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return Completion(text, ids[: end + 1])


def _uniform(items: Sequence[_Completing], settings: GenerateSettings) -> Float[np.ndarray, "B N"]:
    """Numbers in [0, 1), one a token, from each item's key."""
    return np.stack([np.random.default_rng(int(item.key, 16)).random(settings.max_new_tokens) for item in items])
