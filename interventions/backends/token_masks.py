"""Which characters of a response a token filtering leaves out: tokens at the threshold, or the words that hold them.

Shards beside the detector's scores (``scores/<concept>/masks-<key>/shard-…``) keep what is done, so that a
killed run resumes where it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from anatomy.activations.hidden import WantedTokens, read_hidden
from anatomy.activations.spans import EncodedSide, encode_row
from anatomy.concepts.scorer import Scorer, Span
from anatomy.concepts.scores import Scores
from anatomy.data.rows_table import StoredPair
from anatomy.data.shard_cache import ShardCache, read_shards, shards
from anatomy.errors import PlanError
from anatomy.sae.model_bundle import ModelBundle
from anatomy.types import SIDES, content_hash
from interventions.backends.pair_edits import Ranges

WORD = re.compile(r"\S+")


def token_masks(
    rows: Iterable[StoredPair],
    scorer: Scorer,
    scores: Scores,
    threshold: float | None,
    words: bool,
    bundle: ModelBundle,
    folder: Path,
    progress: Callable[[int], object],
) -> list[tuple[Ranges, Ranges]]:
    """Return, for every row, the characters of chosen and rejected whose tokens score at least ``threshold``.

    Token scores are not kept by the scoring pass: responses whose highest token passes are read again.

    Raises:
        PlanError: no threshold is given, and the detector has none for tokens.
    """
    if threshold is None:
        threshold = scorer.threshold if scorer.pooling == "max" else None
    if threshold is None:
        raise PlanError(
            f"{scorer.concept}: its {scorer.kind} detector has no threshold for tokens; write `options.threshold`"
        )
    key = content_hash([scorer.fingerprint, threshold, words, bundle.token_settings()])
    cache = ShardCache(folder / scorer.concept / f"masks-{key[:16]}", key)
    done = 0
    for number, shard, lacking in shards(rows, [cache], progress):
        if lacking:
            wanted_R2 = np.ones((len(shard), 2), bool)
            if scorer.pooling == "max":
                wanted_R2 = scores.score_NS[done : done + len(shard)] >= threshold
            masks = _shard_masks(shard, wanted_R2, scorer, threshold, words, bundle)
            table = {"row_id": [row.row_id for row in shard]} | dict(zip(SIDES, masks, strict=True))
            cache.write(number, pa.table(table, schema=_SCHEMA))
        done += len(shard)
    kept = read_shards(cache.folder, "masks", "prepare the plan again", MASK_COLUMNS)
    sides = [[_ranges(ranges) for ranges in kept[side].to_pylist()] for side in SIDES]
    return list(zip(*sides, strict=True))


MASK_COLUMNS = dict.fromkeys(SIDES, "list<list<element: int64>>")
_SCHEMA = pa.schema([("row_id", pa.string()), *[(side, pa.list_(pa.list_(pa.int64()))) for side in SIDES]])


def marked(
    text: str, offsets_T2: Int[np.ndarray, "T 2"], flagged_T: Bool[np.ndarray, " T"], words: bool
) -> list[list[int]]:
    """Ranges of the flagged tokens, or of the words (runs without white space) that hold a character of one.

    A flagged token of white space alone keeps its own range.
    """
    tokens = [[int(start), int(stop)] for start, stop in offsets_T2[flagged_T] if start < stop]
    if not words:
        return tokens
    spans = [match.span() for match in WORD.finditer(text)]
    starts = np.array([start for start, _ in spans], dtype=np.int64)
    stops = np.array([stop for _, stop in spans], dtype=np.int64)
    ranges = []
    for start, stop in tokens:
        first, last = np.searchsorted(stops, start, "right"), np.searchsorted(starts, stop, "left")
        ranges += [list(spans[place]) for place in range(first, last)] or [[start, stop]]
    return ranges


def _shard_masks(
    shard: Sequence[StoredPair],
    wanted_R2: Bool[np.ndarray, "R 2"],
    scorer: Scorer,
    threshold: float,
    words: bool,
    bundle: ModelBundle,
) -> list[list[list[list[int]]]]:
    """Ranges by side and row; responses that are not wanted have none."""
    masks: list[list[list[list[int]]]] = [[[] for _ in shard] for _ in SIDES]
    places: list[tuple[int, int]] = [(int(row), int(column)) for row, column in np.argwhere(wanted_R2)]
    encoded = {row: encode_row(shard[row].pair, bundle.tokenizer, bundle.settings) for row, _ in places}
    sides: list[EncodedSide] = [encoded[row].sides[SIDES[column]] for row, column in places]
    readings = [WantedTokens(side.ids, side.spans["response"]) for side in sides]
    subject = bundle.subject if scorer.layer is not None and sides else None
    layers = [] if scorer.layer is None else [scorer.layer]
    for number, hidden in read_hidden(subject, readings, layers, bundle.settings.batch_tokens):
        side, (row, column) = sides[number], places[number]
        scores_T = scorer.score_tokens(Span(side.text, side.offsets_R2, hidden))
        masks[column][row] = marked(side.text, side.offsets_R2, scores_T >= threshold, words)
    return masks


def _ranges(stored: Sequence[Sequence[int]]) -> Ranges:
    return tuple((start, stop) for start, stop in stored)
