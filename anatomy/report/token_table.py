"""The tokens of a row at which a cluster or concept is strongest, from ``tokens.parquet`` and the pooled features.

``tokens.parquet`` holds the token strings of a bounded number of rows, as the model read them. The feature store knows
for each feature its greatest activation in a span and the token where it was reached (its *peak*), so that a cluster
colours a token by the sum of its features' peaks there. A concept colours it by its detector's score, from
``scored_tokens.parquet``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float, UInt8

from anatomy.artifacts import read_table, write_table
from anatomy.concepts.scored_tokens import SCORED_TOKEN_COLUMNS
from anatomy.features.feature_store import FeatureShard, FeatureStore
from anatomy.report.packing import Packed, counts, pack
from anatomy.report.payload_types import ColourScale, RowTokens, SpanPeaks, SpanTokens
from anatomy.types import SIDES, SPANS

TOKEN_COLUMNS = {"row": "int64", "row_id": "string", **dict.fromkeys(SPANS, "list<string>")}
"""Columns of ``tokens.parquet``."""
TOKEN_ROWS = 200
"""Rows whose tokens are kept: about 25 kB each in the report."""
PEAKS = 2_000
"""Peaks kept for one span, the strongest."""


def rows_behind_report(
    finding_ids: Sequence[str], labels: Mapping[str, Mapping[str, Any]], row_ids: Sequence[str], limit: int
) -> list[int]:
    """Positions of at most ``limit`` rows behind the report: those of findings, then exemplars of all clusters.

    Exemplars come in turn, the nearest of every cluster before any second. Those of concepts, of which there are few
    among many clusters, come before them, for at most a quarter of the rows.
    """
    position = {row_id: number for number, row_id in enumerate(row_ids)}
    every = [label for kind in labels.values() for label in kind.values()]
    concepts = _in_turn([label for label in every if "detector" in label])
    found = itertools.chain(finding_ids, itertools.islice(concepts, limit // 4), _in_turn(every))
    distinct = dict.fromkeys(position[row_id] for row_id in found if row_id in position)
    return list(itertools.islice(distinct, limit))


def _in_turn(labels: Sequence[Mapping[str, Any]]) -> Iterator[str | None]:
    exemplars = [[item["row_id"] for item in label["exemplars"]] for label in labels]
    return itertools.chain.from_iterable(itertools.zip_longest(*exemplars))


def write_tokens(path: Path, tokens: Mapping[int, Mapping[str, Sequence[str]]], row_ids: Sequence[str]) -> None:
    """Write the strings of each span's tokens, by position of the row in the feature store."""
    rows = sorted(tokens)
    columns: dict[str, Any] = {"row": rows, "row_id": [row_ids[row] for row in rows]}
    columns |= {span: pa.array([list(tokens[row][span]) for row in rows], pa.list_(pa.string())) for span in SPANS}
    write_table(path, pa.table(columns))


class ConceptColours(NamedTuple):
    """Colours of tokens by concept, see :func:`colour_codes`.

    ``scales`` holds for each concept the score where colour starts (``from``) and where it is full (``to``). ``codes``
    holds the packed codes by row, side and concept; None where no token of the side is coloured.
    """

    scales: dict[str, ColourScale]
    codes: dict[int, dict[str, dict[str, Packed | None]]]


def concept_colours(path: Path, row_ids: Sequence[str], thresholds: Mapping[str, float | None]) -> ConceptColours:
    """Colours of the kept rows from ``scored_tokens.parquet``, by the detectors' thresholds; empty without the file."""
    scales, codes = dict[str, ColourScale](), dict[int, dict[str, dict[str, Packed | None]]]()
    table = read_table(path, SCORED_TOKEN_COLUMNS) if path.is_file() else None
    lines = [] if table is None else [line for line in table.to_pylist() if _is_row(line, row_ids)]
    for concept, threshold in thresholds.items():
        own = [line for line in lines if line["concept"] == concept]
        if not own:
            continue
        every_T = np.concatenate([line[side] for line in own for side in SIDES])
        start, full = float(every_T.min()) if threshold is None else threshold, float(every_T.max())
        scales[concept] = {"from": start, "to": max(start, full)}
        for line, side in itertools.product(own, SIDES):
            code_T = colour_codes(np.array(line[side], np.float64), start, full, threshold is not None)
            of_row = codes.setdefault(line["row"], {name: {} for name in SIDES})
            of_row[side][concept] = pack(code_T) if code_T.any() else None
    return ConceptColours(scales, codes)


def _is_row(line: Mapping[str, Any], row_ids: Sequence[str]) -> bool:
    """Whether a line of a table is of the row that now has its place."""
    return 0 <= line["row"] < len(row_ids) and bool(line["row_id"] == row_ids[line["row"]])


def colour_codes(
    score_T: Float[np.ndarray, " T"], start: float, full: float, inclusive: bool
) -> UInt8[np.ndarray, " T"]:
    """How strongly a detector's scores colour: 0 not at all, else 1 where colour starts to 255 where it is full.

    ``start`` is the detector's threshold, which itself is coloured (``inclusive``); or, without a threshold, the lowest
    score of the kept rows, which is not. ``full`` is their highest score. A text rule, 0 or 1 with threshold 1, is full
    wherever it matches.
    """
    shown_T = score_T >= start if inclusive else score_T > start
    share_T = (score_T - start) / (full - start) if full > start else np.ones_like(score_T)
    return np.where(shown_T, 1 + np.rint(254 * share_T), 0).astype(np.uint8)


def token_records(
    path: Path, store: FeatureStore, codes: Mapping[int, dict[str, dict[str, Packed | None]]]
) -> Iterator[tuple[int, RowTokens]]:
    """Each row that has tokens, ascending, and its tokens; ``codes`` colour them.

    Yields nothing if there is no file; rows that are no longer those of the store are left out.
    """
    if not path.is_file():
        return
    lines = read_table(path, TOKEN_COLUMNS).to_pylist()
    kept = {line["row"]: line for line in lines if _is_row(line, store.row_ids)}
    start = 0
    for shard in store.shards():
        inside = [row for row in range(start, start + len(shard.row_ids)) if row in kept]
        peaks = {span: _peaks(shard, [row - start for row in inside], span) for span in SPANS} if inside else {}
        for place, row in enumerate(inside):
            colours = codes.get(row, {})
            prompt, chosen, rejected = (
                SpanTokens(tokens=kept[row][span], peaks=peaks[span][place], concepts=colours.get(span, {}))
                for span in SPANS
            )
            yield row, {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        start += len(shard.row_ids)


def _peaks(shard: FeatureShard, rows: Sequence[int], span: str) -> list[SpanPeaks]:
    """The strongest peaks of each row."""
    maximum, at = shard.matrix(span, "max"), shard.matrix(span, "at")
    found: list[SpanPeaks] = []
    for row in rows:
        inside = slice(maximum.indptr[row], maximum.indptr[row + 1])
        order = np.sort(np.argsort(-maximum.data[inside], kind="stable")[:PEAKS])
        value_E = maximum.data[inside][order].astype(np.float64)
        largest = float(value_E.max(initial=0))
        found.append(
            {
                "feature": counts(maximum.indices[inside][order]),
                "at": counts(at.data[inside][order].astype(np.int64) - 1),
                "value": pack(np.ceil(255 * value_E / (largest or 1)).astype(np.uint8)),
                "largest": largest,
            }
        )
    return found
