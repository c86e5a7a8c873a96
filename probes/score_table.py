"""Score a plain table: columns ``prompt`` and ``completion``, written back with ``score`` and ``flag``."""

from __future__ import annotations

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
from anatomy.errors import ProbeError
from anatomy.sae.model_bundle import ModelBundle
from anatomy.types import Message, Response
from probes.collect import text_column

BATCH = 256
WORD = re.compile(r"\S+")
SUFFIXES = (".csv", ".jsonl", ".parquet")


def score_table(
    records: Iterable[Record],
    scorer: Scorer,
    bundle: ModelBundle,
    out: Path,
    progress: Callable[[int], Any] | None = None,
) -> int:
    """Write the table with ``score`` and ``flag`` (score at or above the threshold) to ``out``; returns its rows.

    A detector that reads text alone needs neither model nor tokenizer: words are its tokens.

    Raises:
        ProbeError: a column is missing, the detector has no threshold, or ``out`` has an unknown suffix.
    """
    if out.suffix not in SUFFIXES:
        raise ProbeError(f"{out}: write to a file that ends in {', '.join(SUFFIXES)}")
    if scorer.threshold is None:
        raise ProbeError(f"detector of {scorer.concept} has no threshold, so nothing can be flagged; fit it again")
    rows: list[dict[str, Any]] = []
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            rows += _scored(batch, scorer, bundle)
            batch = []
            if progress is not None:
                progress(BATCH)
    rows += _scored(batch, scorer, bundle)
    _write(rows, out)
    return len(rows)


def _scored(batch: Sequence[Record], scorer: Scorer, bundle: ModelBundle) -> list[dict[str, Any]]:
    texts = [(text_column(record, "prompt"), text_column(record, "completion")) for record in batch]
    scores = _by_text(texts, scorer) if scorer.layer is None else _by_model(texts, scorer, bundle)
    threshold = scorer.threshold
    return [
        {**record.values, "score": score, "flag": bool(threshold is not None and score >= threshold)}
        for record, score in zip(batch, scores, strict=True)
    ]


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


def _write(rows: Sequence[dict[str, Any]], out: Path) -> None:
    table = pa.Table.from_pylist(list(rows))
    if out.suffix == ".parquet":
        write_table(out, table)
        return
    frame = table.to_pandas()
    with atomic_path(out) as temporary:
        if out.suffix == ".csv":
            write_csv(frame, temporary)
        else:
            frame.to_json(temporary, orient="records", lines=True, force_ascii=False)
