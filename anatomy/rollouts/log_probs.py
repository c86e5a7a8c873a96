"""Mean log-probability per token of responses under the model before training, a shard at a time.

They are kept by shards of rows (:mod:`anatomy.data.shard_cache`), so that a killed run resumes where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from einops import rearrange
from jaxtyping import Bool, Float, Int32

from anatomy.activations.batches import token_batches
from anatomy.activations.layers import hf_model
from anatomy.activations.model import Subject
from anatomy.activations.spans import EncodedSide, encode_row
from anatomy.data.shard_cache import ShardCache, read_shards, shards
from anatomy.settings import ModelSettings
from anatomy.types import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH_TOKENS = 2048
"""Padded tokens at once, at most: each has a logit for every token of the vocabulary."""


def log_probs(
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase,
    subject: Subject,
    out_dir: Path,
    made_of: str,
    settings: ModelSettings,
    progress: Callable[[int], object] | None = None,
) -> Float[np.ndarray, "N S"]:
    """Mean log-probability (nats) of the response span's tokens on each side of a row, kept in ``out_dir``.

    Args:
        rows: pairs, or single responses; not both.
        made_of: hash of everything but the rows that decides them (model, template, window).
    """
    cache = ShardCache(out_dir, made_of)
    for number, part, lacking in shards(rows, [cache], progress):
        if lacking:
            encoded = [encode_row(row, tokenizer, settings) for row in part]
            columns: dict[str, Any] = {"row_id": [row.row_id for row in part]}
            mean_J = _mean([side for row in encoded for side in row.sides.values()], subject, settings)
            columns |= dict(zip(part[0].sides, rearrange(mean_J, "(n s) -> s n", n=len(part)), strict=True))
            cache.write(number, pa.table(columns))
    return read_log_probs(out_dir, part[0].sides)


def read_log_probs(out_dir: Path, sides: Sequence[str]) -> Float[np.ndarray, "N S"]:
    """What :func:`log_probs` left in ``out_dir``; raises as :func:`anatomy.data.shard_cache.read_shards`."""
    columns = dict.fromkeys(sides, "double")
    table = read_shards(out_dir, "log-probabilities", "run the audit again with --base-rollouts", columns)
    return np.stack([np.asarray(table[side]) for side in sides], axis=1)


def _mean(sides: Sequence[EncodedSide], subject: Subject, settings: ModelSettings) -> Float[np.ndarray, " N"]:
    """Mean of each response; equal sequences are read once."""
    distinct = {side.key(): side for side in sides}
    number_of = {key: number for number, key in enumerate(distinct)}
    counted = [side.spans["response"] for side in distinct.values()]
    sum_S = summed([side.ids for side in distinct.values()], counted, subject, settings.batch_tokens)
    mean_S = sum_S / np.array([mask[1:].sum() for mask in counted])
    return np.asarray(mean_S[[number_of[side.key()] for side in sides]])


def summed(
    sequences: Sequence[Int32[np.ndarray, " T"]],
    counted: Sequence[Bool[np.ndarray, " T"]],
    subject: Subject,
    batch_tokens: int,
    progress: Callable[[int], object] | None = None,
) -> Float[np.ndarray, " S"]:
    """Summed log-probability (nats) of the ``counted`` tokens of each sequence, given all before them.

    Args:
        batch_tokens: padded tokens at once, at most; 2,048 where it is more.
        progress: called with the number of sequences just done.
    """
    import torch

    model: Any = hf_model(subject)
    sum_S = np.zeros(len(sequences))
    for batch in token_batches(sequences, min(batch_tokens, BATCH_TOKENS)):
        counted_BT = np.zeros(batch.ids_BT.shape, bool)
        for row, (position, length) in enumerate(zip(batch.positions_B, batch.lengths_B, strict=True)):
            counted_BT[row, :length] = counted[position][:length]
        scored_t = np.flatnonzero(counted_BT[:, 1:].any(axis=0))  # no others get logits, which cost most
        ids_BT = torch.from_numpy(batch.ids_BT).to(subject.device, torch.long)
        place_t = torch.from_numpy(scored_t).to(subject.device)
        with torch.inference_mode():
            logits_BtV = model(ids_BT[:, :-1], use_cache=False, logits_to_keep=place_t).logits.float()
            next_Bt = logits_BtV.gather(-1, ids_BT[:, place_t + 1, None])[..., 0] - logits_BtV.logsumexp(-1)
        sum_S[batch.positions_B] = np.where(counted_BT[:, scored_t + 1], next_Bt.double().cpu().numpy(), 0.0).sum(
            axis=1
        )
        if progress is not None:
            progress(len(batch.positions_B))
    return sum_S
