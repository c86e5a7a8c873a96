"""Rows → residual activations → SAE features → pooled features, a shard at a time.

A shard depends on its own rows only: batches never cross shards, so a harvest that was killed writes the same bytes
when it resumes. Within a shard a sequence that occurs several times runs once, and so does a repeated prompt's pooling;
the health sums count each token that was encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from anatomy.activations.batches import Batch, token_batches
from anatomy.activations.forward import residuals
from anatomy.activations.model import Subject
from anatomy.activations.spans import EncodedRow, EncodedSide, encode_row
from anatomy.data.faults import IDENTICAL_AFTER_TRUNCATION
from anatomy.data.shard_cache import ShardCache, shards
from anatomy.errors import RunError, SettingsError
from anatomy.features.feature_store import SpanFeatures, read_health, write_shard
from anatomy.features.pooling import Encoder, Pooled, pool_spans
from anatomy.sae.reconstruction import HealthSums
from anatomy.settings import ModelSettings
from anatomy.types import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_TOKENS = np.iinfo(np.uint16).max
KINDS = ("prompt", "response")


def harvest(
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase,
    subject: Subject,
    sae: Encoder,
    out_dir: Path,
    fingerprint: str,
    settings: ModelSettings,
    progress: Callable[[int], object] | None = None,
    check: Callable[[HealthSums], object] | None = None,
) -> HealthSums:
    """Write the pooled features of ``rows`` to ``out_dir`` and return the SAE's health sums over their tokens.

    A shard that is there with the same fingerprint and rows is kept; shards beyond the last are removed.

    Args:
        rows: pairs, or single responses; not both.
        fingerprint: content hash of everything but the rows that decides the features.
        progress: called with the number of rows done.
        check: called with the sums of the first shard; it may raise to stop early.

    Raises:
        RunError: a row has no response left after truncation (such rows are not retained by the rows stage).
        SettingsError: ``max_length`` does not fit the 16-bit counts.
    """
    if settings.max_length > MAX_TOKENS:
        raise SettingsError(f"`max_length` = {settings.max_length}: pooled counts are 16-bit; use at most {MAX_TOKENS}")
    cache = ShardCache(out_dir, f"{fingerprint} {sae.n_features} {subject.width}")
    total = HealthSums.zero(subject.width, sae.n_features)
    for number, part, lacking in shards(rows, [cache], progress):
        if lacking:
            shard = _ShardPass([_usable(row, tokenizer, settings) for row in part], subject, sae)
            health = shard.run(settings.batch_tokens)
            ids = [(row.row_id, row.prompt_id) for row in part]
            write_shard(cache, number, ids, shard.features(), sae.n_features, health)
        total = total.plus(read_health(cache.path(number)))
        if number == 0 and check is not None:
            check(total)
    return total


def _usable(row: Row, tokenizer: PreTrainedTokenizerBase, settings: ModelSettings) -> EncodedRow:
    encoded = encode_row(row, tokenizer, settings)
    if encoded.fault not in (None, IDENTICAL_AFTER_TRUNCATION):  # two equal samples of a model can be pooled
        raise RunError(f"row {row.index}: {encoded.fault}, yet marked as retained; run the rows stage again")
    return encoded


class _ShardPass:
    """One shard's distinct sequences, the spans that are pooled of them, and the results by (sequence, kind of span).

    Spans are numbered ``2 · sequence + kind``, kind 0 the prompt and 1 the response.
    """

    def __init__(self, encoded: list[EncodedRow], subject: Subject, sae: Encoder) -> None:
        self.subject, self.sae = subject, sae
        self.sequences: list[EncodedSide] = []
        self.places: list[dict[str, int]] = []  # per row: span name → number of the pooled span
        self.pooled: dict[int, SpanFeatures] = {}
        sequence_of: dict[bytes, int] = {}
        prompt_of: dict[bytes, int] = {}
        for row in encoded:
            first = next(iter(row.sides))
            place = {"prompt": 0}
            for name, side in row.sides.items():
                key = side.key()
                if key not in sequence_of:
                    sequence_of[key] = len(self.sequences)
                    self.sequences.append(side)
                place[name] = 2 * sequence_of[key] + 1
            prompt = row.sides[first].spans["prompt"][: len(row.prompt_ids)]
            key = row.prompt_ids.tobytes() + prompt.tobytes()
            place["prompt"] = prompt_of.setdefault(key, place[first] - 1)
            self.places.append(place)
        self.wanted = {number for place in self.places for number in place.values()}

    def run(self, batch_tokens: int) -> HealthSums:
        """Run every sequence once and pool its wanted spans."""
        health = HealthSums.zero(self.subject.width, self.sae.n_features)
        for batch in token_batches([side.ids for side in self.sequences], batch_tokens):
            x_BTD = residuals(self.subject, batch, self.sae.layer)
            span_BT, at_BT = self._spans_of(batch)
            inside_BT = torch.from_numpy(span_BT >= 0)
            x_ND = x_BTD[inside_BT.to(x_BTD.device)]
            span_N, at_N = (torch.from_numpy(part)[inside_BT].to(x_BTD.device) for part in (span_BT, at_BT))
            pooled, sums = pool_spans(x_ND, span_N, at_N, self.sae)
            self._keep(pooled, np.unique(span_BT[span_BT >= 0], return_counts=True))
            health = health.plus(sums)
        return health

    def features(self) -> dict[str, list[SpanFeatures]]:
        """Each row's features by span name, ``prompt`` first."""
        return {name: [self._span(place[name]) for place in self.places] for name in self.places[0]}

    def _span(self, number: int) -> SpanFeatures:
        nothing = np.zeros(0, np.int64)  # a prompt without content tokens, for instance one of template text only
        empty = SpanFeatures(0, nothing, nothing.astype(np.float32), nothing, nothing, self._no_mean())
        return self.pooled.get(number, empty)

    def _no_mean(self) -> np.ndarray:
        return np.zeros(self.subject.width, np.float32)

    def _spans_of(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Number of the span that each token of the batch is pooled into (-1: none), and its position in that span."""
        span_BT = np.full(batch.ids_BT.shape, -1, np.int64)
        at_BT = np.zeros(batch.ids_BT.shape, np.int64)
        for row, sequence in enumerate(batch.positions_B):
            for kind, name in enumerate(KINDS):
                where = np.flatnonzero(self.sequences[sequence].spans[name])
                if 2 * int(sequence) + kind in self.wanted:
                    span_BT[row, where] = 2 * sequence + kind
                    at_BT[row, where] = np.arange(len(where))
        return span_BT, at_BT

    def _keep(self, pooled: Pooled, tokens: tuple[np.ndarray, np.ndarray]) -> None:
        numbers, counts = tokens
        starts = np.searchsorted(pooled.span, numbers)
        stops = np.searchsorted(pooled.span, numbers, side="right")
        means = dict(zip(pooled.spans.tolist(), pooled.mean_SD, strict=True))
        for number, count, start, stop in zip(numbers, counts, starts, stops, strict=True):
            part, mean_D = slice(start, stop), means.get(int(number), self._no_mean())
            self.pooled[int(number)] = SpanFeatures(
                int(count), pooled.feature[part], pooled.max[part], pooled.at[part], pooled.count[part], mean_D
            )
