"""Scores of responses by detectors: one pass over the rows for all of them, a shard at a time.

``scores/<concept>/shard-00000-<hash>.parquet`` has one line per row, in their order: ``row_id``, ``prompt_id`` and, for
each side, ``{side}_score`` (pooled as the detector says), ``{side}_max``, ``{side}_mean`` and ``{side}_at``, the
token of the response, from 0, with the highest score. A shard depends on its own rows only, and each detector's shards
are its own: a killed run resumes where it was, and a detector that is added later scores alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from anatomy.concepts.scorer import Scorer, Span, pool_scores
from anatomy.data.shard_cache import ShardCache, read_shards, shards
from anatomy.errors import RunError
from anatomy.types import SIDES, Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from anatomy.activations.model import Subject
    from anatomy.activations.spans import EncodedSide
    from anatomy.settings import ModelSettings

ReadT = TypeVar("ReadT")


class SpanScore(NamedTuple):
    """The summary that is kept of the token scores of one span."""

    score: float
    max: float
    mean: float
    at: int


class Scores(NamedTuple):
    """Scores of one detector over all rows; columns of ``*_NS`` are the sides: chosen and rejected of pairs."""

    row_ids: list[str]
    prompt_ids: list[str]
    score_NS: Float[np.ndarray, "N S"]
    at_NS: Int[np.ndarray, "N S"]

    def standardised_difference(self) -> Float[np.ndarray, " N"]:
        """``s̃⁺ − s̃⁻`` of pairs: chosen minus rejected, in standard deviations over all responses (method.md §9).

        It is 0 where all scores are equal.

        Raises:
            RunError: a response has no score.
        """
        if not np.isfinite(self.score_NS).all():
            row = self.row_ids[int(np.flatnonzero(~np.isfinite(self.score_NS).all(axis=1))[0])]
            raise RunError(f"row {row}: a response has no score, because no token of it was kept; leave the row out")
        spread = self.score_NS.std()
        difference_N = self.score_NS[:, 0] - self.score_NS[:, 1]
        return difference_N / spread if spread > 0 else np.zeros_like(difference_N)


def score_rows(
    rows: Iterable[Row],
    scorers: Sequence[Scorer],
    tokenizer: PreTrainedTokenizerBase,
    subject: Callable[[], Subject],
    out_dir: Path,
    made_of: str,
    settings: ModelSettings,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write the scores of ``rows`` under ``out_dir``; shards that are there and unchanged are kept.

    Args:
        rows: pairs, or single responses; not both.
        subject: gives the model; called only when a detector that reads activations has a shard to score.
        made_of: hash of everything but the rows and the detectors that decides scores (model, template, window).
        progress: called with the number of rows done.
    """
    scorer_of = {ShardCache(out_dir / s.concept, f"{s.fingerprint} {made_of}"): s for s in scorers}
    for number, part, lacking in shards(rows, list(scorer_of), progress):
        if lacking:
            found = read_rows(part, [scorer_of[cache] for cache in lacking], tokenizer, subject, settings, scored)
            for cache, scores in zip(lacking, found, strict=True):
                cache.write(number, _table(part, scores))


def read_scores(folder: Path, sides: Sequence[str] = SIDES) -> Scores:
    """All shards of one detector; raises as :func:`anatomy.data.shard_cache.read_shards`.

    Args:
        sides: ``chosen`` and ``rejected`` of pairs, or the one side of single responses.
    """
    columns = {"row_id": "string", "prompt_id": "string"}
    columns |= {f"{side}_{name}": kind for side in sides for name, kind in (("score", "double"), ("at", "int64"))}
    table = read_shards(folder, "scores", "run `anatomy probe score` or the audit again", columns)
    score, at = ([np.asarray(table[f"{side}_{name}"]) for side in sides] for name in ("score", "at"))
    return Scores(
        row_ids=table["row_id"].to_pylist(),
        prompt_ids=table["prompt_id"].to_pylist(),
        score_NS=np.stack(score, axis=1),
        at_NS=np.stack(at, axis=1),
    )


def scored(scorer: Scorer, span: Span) -> SpanScore:
    """All that is kept of a detector's token scores of a span; NaN and -1 for a span without tokens."""
    scores_T = scorer.score_tokens(span)
    if not len(scores_T):
        return SpanScore(float("nan"), float("nan"), float("nan"), -1)
    score = pool_scores(scores_T, scorer.pooling)
    return SpanScore(score, float(scores_T.max()), float(scores_T.mean()), int(scores_T.argmax()))


def score_sides(
    sides: Sequence[EncodedSide], scorers: Sequence[Scorer], subject: Callable[[], Subject], settings: ModelSettings
) -> list[list[SpanScore]]:
    """Scores by detector and side; see :func:`read_sides`."""
    return read_sides(sides, scorers, subject, settings, scored)


def read_sides(
    sides: Sequence[EncodedSide],
    scorers: Sequence[Scorer],
    subject: Callable[[], Subject],
    settings: ModelSettings,
    read: Callable[[Scorer, Span], ReadT],
) -> list[list[ReadT]]:
    """``read(scorer, response)`` by detector and side.

    The model runs once for all detectors and once for equal sequences; not at all where none reads activations.
    """
    from anatomy.activations.hidden import WantedTokens, read_hidden

    layers = sorted({scorer.layer for scorer in scorers if scorer.layer is not None})
    keys = [side.key() for side in sides]
    distinct = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    first = {distinct[key]: side for key, side in reversed(list(zip(keys, sides, strict=True)))}
    readings = [WantedTokens(first[number].ids, first[number].spans["response"]) for number in range(len(distinct))]
    found: list[list[ReadT]] = [[] for _ in readings]
    for number, hidden in read_hidden(subject() if layers else None, readings, layers, settings.batch_tokens):
        span = Span(first[number].text, first[number].offsets_R2, hidden)
        found[number] = [read(scorer, span) for scorer in scorers]
    return [[found[distinct[key]][place] for key in keys] for place in range(len(scorers))]


def read_rows(
    rows: Sequence[Row],
    scorers: Sequence[Scorer],
    tokenizer: PreTrainedTokenizerBase,
    subject: Callable[[], Subject],
    settings: ModelSettings,
    read: Callable[[Scorer, Span], ReadT],
) -> list[list[ReadT]]:
    """:func:`read_sides` of the rows, encoded: by detector, the sides of each row in turn."""
    from anatomy.activations.spans import encode_row

    encoded = [encode_row(row, tokenizer, settings) for row in rows]
    return read_sides([side for row in encoded for side in row.sides.values()], scorers, subject, settings, read)


def _table(rows: Sequence[Row], found: Sequence[SpanScore]) -> pa.Table:
    columns: dict[str, list[object]] = {
        "row_id": [row.row_id for row in rows],
        "prompt_id": [row.prompt_id for row in rows],
    }
    sides = rows[0].sides
    for place, side in enumerate(sides):
        for name in SpanScore._fields:
            columns[f"{side}_{name}"] = [getattr(score, name) for score in found[place :: len(sides)]]
    return pa.table(columns)
