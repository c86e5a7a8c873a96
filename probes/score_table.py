"""Score a plain table: columns ``prompt`` and ``completion``, written back with ``score`` and ``flag``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anatomy.activations.model import Subject
from anatomy.activations.spans import encode_row
from anatomy.artifacts import atomic_path, write_table
from anatomy.concepts.scorer import Scorer, Span, score_span
from anatomy.concepts.scores import score_sides
from anatomy.data.csv_files import write_csv
from anatomy.data.readers import Record
from anatomy.errors import ProbeError, shown
from anatomy.progress import logger
from anatomy.sae.model_bundle import ModelBundle
from anatomy.text.visible import visible, without_surrogates
from anatomy.types import Message, Response
from probes.collect import text_column

BATCH = 256
WORD = re.compile(r"\S+")
ADDED = ("score", "flag")
"""Columns that scoring adds."""
SUFFIXES = (".csv", ".jsonl", ".parquet")


def score_table(
    records: Iterable[Record],
    scorer: Scorer,
    bundle: ModelBundle,
    out: Path,
    progress: Callable[[int], Any] | None = None,
) -> int:
    """Write the table with ``score`` and ``flag`` (score at or above the threshold) to ``out``; returns its rows.

    A completion without a token that was kept has no score and no flag: both are empty.

    A detector that reads text alone needs neither model nor tokenizer: words are its tokens.

    Raises:
        ProbeError: a column is missing, or is there that would be overwritten; the detector has no threshold, or
            ``out`` has an unknown suffix.
    """
    if out.suffix not in SUFFIXES:
        raise ProbeError(f"{out}: write to a file that ends in {', '.join(SUFFIXES)}")
    if scorer.threshold is None:
        raise ProbeError(f"detector of {scorer.concept} has no threshold, so nothing can be flagged; fit it again")
    rows = list(records)
    texts = [(text_column(record, "prompt"), text_column(record, "completion")) for record in rows]
    table = writable(rows, out)  # before any scoring
    scores: list[float] = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        scores += _by_text(batch, scorer) if scorer.layer is None else _by_model(batch, scorer, bundle)
        if progress is not None:
            progress(len(batch))
    table = table.append_column("score", pa.array(scores, pa.float64()))
    table = table.append_column("flag", pa.array(_flags(scores, scorer.threshold), pa.bool_()))
    _write(table, out)
    return len(rows)


def _flags(scores: Sequence[float], threshold: float) -> list[bool | None]:
    return [None if math.isnan(score) else score >= threshold for score in scores]


def writable(rows: Sequence[Record], out: Path) -> pa.Table:
    """The columns of a table as they will be written; values of several types in one column become JSON text.

    Raises:
        ProbeError: there is a column ``score`` or ``flag`` already.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    taken = [name for name in ADDED if name in names]
    if taken:
        raise ProbeError(f"{out}: the rows have a column `{taken[0]}` already, which would be lost; rename it there")
    columns = {name: _column(name, [row.values.get(name) for row in rows]) for name in names}
    return pa.table({without_surrogates(name): column for name, column in columns.items()})


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array([without_surrogates(value) if isinstance(value, str) else value for value in values])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        logger.warning(f"warning: column `{visible(name)[:80]}` holds values of several types: written as JSON text")
        return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str:
    """ASCII, so that half a surrogate is escaped."""
    try:
        return json.dumps(value, default=str)
    except (ValueError, RecursionError):  # an integer that Python refuses to print, or too deep
        return shown(value)


def _by_text(texts: Sequence[tuple[str, str]], scorer: Scorer) -> list[float]:
    found = []
    for _, completion in texts:
        words = [match.span() for match in WORD.finditer(completion)]
        found.append(score_span(scorer, Span(completion, np.array(words, np.int64).reshape(-1, 2))))
    return found


def _by_model(texts: Sequence[tuple[str, str]], scorer: Scorer, bundle: ModelBundle) -> list[float]:
    sides = []
    for number, (prompt, completion) in enumerate(texts):
        asked: list[Message] = [{"role": "user", "content": prompt}]
        reply: list[Message] = [{"role": "assistant", "content": completion}]
        encoded = encode_row(Response(number, asked, reply), bundle.tokenizer, bundle.settings)
        sides.append(encoded.sides["response"])

    def subject() -> Subject:
        return bundle.subject

    (scores,) = score_sides(sides, [scorer], subject, bundle.settings)
    return [score.score for score in scores]


def _write(table: pa.Table, out: Path) -> None:
    if out.suffix == ".parquet":
        write_table(out, table)
        return
    frame = table.to_pandas()
    with atomic_path(out) as temporary:
        if out.suffix == ".csv":
            write_csv(frame, temporary)
        else:
            frame.to_json(temporary, orient="records", lines=True, force_ascii=False)
