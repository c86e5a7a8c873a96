"""Which tokens of a row a cluster is strongest at: ``tokens.parquet`` and the pooled features, no model.

``tokens.parquet`` holds the token strings of a bounded number of rows, as the model read them. The feature store knows
for each feature its greatest activation in a span and the token where it was reached (its *peak*), so that a cluster
colours a token by the sum of its features' peaks there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anatomy.artifacts import read_table, write_table
from anatomy.features.store import FeatureStore, Shard
from anatomy.report.packing import counts, pack
from anatomy.report.summary import DIRECTIONS, VIEWS
from anatomy.types import SPANS

TOKEN_ROWS = 200
"""Rows whose tokens are kept: about 25 kB each in the report."""
PEAKS = 2_000
"""Peaks kept for one span, the strongest."""


def evidence_rows(
    summary: Mapping[str, Any], labels: Mapping[str, Mapping[str, Any]], row_ids: Sequence[str], limit: int
) -> list[int]:
    """Positions of at most ``limit`` rows that stand behind the report: of findings, then exemplars of all clusters.

    Exemplars come in turn, the nearest of every cluster before any second.
    """
    position = {row_id: number for number, row_id in enumerate(row_ids)}
    leading = [finding for view in VIEWS for direction in DIRECTIONS for finding in summary["views"][view][direction]]
    turns = [[row["row_id"] for row in finding["rows"]] for finding in leading]
    exemplars = [[item["row_id"] for item in label["exemplars"]] for kind in labels.values() for label in kind.values()]
    found = itertools.chain(*turns, *itertools.zip_longest(*exemplars))
    distinct = dict.fromkeys(position[row_id] for row_id in found if row_id in position)
    return list(itertools.islice(distinct, limit))


def write_tokens(path: Path, tokens: Mapping[int, Mapping[str, Sequence[str]]], row_ids: Sequence[str]) -> None:
    """Write the strings of each span's tokens, by position of the row in the feature store."""
    rows = sorted(tokens)
    columns: dict[str, Any] = {"row": rows, "row_id": [row_ids[row] for row in rows]}
    columns |= {span: pa.array([list(tokens[row][span]) for row in rows], pa.list_(pa.string())) for span in SPANS}
    write_table(path, pa.table(columns))


def token_records(path: Path, store: FeatureStore) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, record) ascending: for each span its ``tokens`` and its ``peaks`` (see :func:`_peaks`); nothing if absent.

    Rows that are no longer those of the store are left out.
    """
    if not path.is_file():
        return
    kept = {line["row"]: line for line in read_table(path).to_pylist() if line["row_id"] == store.row_ids[line["row"]]}
    start = 0
    for shard in store.shards():
        inside = [row for row in range(start, start + len(shard.row_ids)) if row in kept]
        if inside:
            peaks = {span: _peaks(shard, [row - start for row in inside], span) for span in SPANS}
            for place, row in enumerate(inside):
                yield row, {span: {"tokens": kept[row][span], "peaks": peaks[span][place]} for span in SPANS}
        start += len(shard.row_ids)


def _peaks(shard: Shard, rows: Sequence[int], span: str) -> list[dict[str, Any]]:
    """Per row, the features of the strongest peaks, their tokens, and activations in 1/255 of ``largest``."""
    maximum, at = shard.matrix(span, "max"), shard.matrix(span, "at")
    found = []
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
