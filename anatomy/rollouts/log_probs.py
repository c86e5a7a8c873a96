"""Mean log-probability per token of chosen and rejected responses under the model before training, a shard at a time.

A shard depends on its own rows only and carries a mark of what made it: a killed run goes on where it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float, Int32

from anatomy.activations.batches import token_batches
from anatomy.activations.layers import hf_model
from anatomy.activations.model import Subject
from anatomy.activations.spans import EncodedSide, encode_pair
from anatomy.artifacts import drop_shards, read_table, shard_name, shard_paths, write_table
from anatomy.errors import RunError
from anatomy.settings import ModelSettings
from anatomy.types import SIDES, Pair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHARD_ROWS = 128
BATCH_TOKENS = 2048
"""Padded tokens at once, at most: each has a logit for every token of the vocabulary."""
MARK = b"anatomy.fingerprint"


def log_probs(
    pairs: Iterable[Pair],
    tokenizer: PreTrainedTokenizerBase,
    subject: Subject,
    out_dir: Path,
    made_of: str,
    settings: ModelSettings,
    progress: Callable[[int], object] | None = None,
) -> Float[np.ndarray, "N 2"]:
    """Mean log-probability of the response span's tokens (chosen, rejected), kept in ``out_dir``.

    Args:
        made_of: hash of everything but the rows that decides them (model, template, window).
    """
    iterator = iter(pairs)
    for number in itertools.count():
        rows = list(itertools.islice(iterator, SHARD_ROWS))
        if not rows:
            drop_shards(out_dir, number)
            break
        path = out_dir / shard_name(number)
        if not _is_done(path, made_of, rows):
            encoded = [encode_pair(pair, tokenizer, settings) for pair in rows]
            columns: dict[str, Any] = {"row_id": [pair.row_id for pair in rows]}
            mean_N2 = _mean([pair.side(side) for pair in encoded for side in SIDES], subject, settings).reshape(-1, 2)
            columns |= dict(zip(SIDES, mean_N2.T, strict=True))
            write_table(path, pa.table(columns).replace_schema_metadata({MARK: made_of.encode()}))
        if progress is not None:
            progress(len(rows))
    return read_log_probs(out_dir)


def read_log_probs(out_dir: Path) -> Float[np.ndarray, "N 2"]:
    """What :func:`log_probs` left in ``out_dir``.

    Raises:
        RunError: it holds none.
    """
    tables = [read_table(path) for path in shard_paths(out_dir)]
    if not tables:
        raise RunError(f"{out_dir}: no log-probabilities; run the audit again with --policy")
    return np.concatenate([np.stack([np.asarray(table[side]) for side in SIDES], axis=1) for table in tables])


def _mean(sides: Sequence[EncodedSide], subject: Subject, settings: ModelSettings) -> Float[np.ndarray, " N"]:
    """Of each response; equal sequences are read once."""
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
        foretold_t = np.flatnonzero(counted_BT[:, 1:].any(axis=0))  # no others get logits, which cost most
        ids_BT = torch.from_numpy(batch.ids_BT).to(subject.device, torch.long)
        place_t = torch.from_numpy(foretold_t).to(subject.device)
        with torch.inference_mode():
            logits_BtV = model(ids_BT[:, :-1], use_cache=False, logits_to_keep=place_t).logits.float()
            next_Bt = logits_BtV.gather(-1, ids_BT[:, place_t + 1, None])[..., 0] - logits_BtV.logsumexp(-1)
        sum_S[batch.positions_B] = np.where(counted_BT[:, foretold_t + 1], next_Bt.double().cpu().numpy(), 0.0).sum(
            axis=1
        )
        if progress is not None:
            progress(len(batch.positions_B))
    return sum_S


def _is_done(path: Path, made_of: str, rows: Sequence[Pair]) -> bool:
    if not path.is_file() or (pq.read_schema(path).metadata or {}).get(MARK, b"").decode() != made_of:
        return False
    return bool(pq.read_table(path, columns=["row_id"])["row_id"].to_pylist() == [pair.row_id for pair in rows])
