"""The rows of a run as parts of the page: columns of all rows in one part, texts in pieces of 128 rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anatomy import artifacts
from anatomy.data.row_health import source_and_models
from anatomy.data.rows_table import StoredPair, read_rows
from anatomy.report.packing import counts
from anatomy.statistics.prompts import Prompts
from anatomy.types import SPANS

PIECE = 128


def column_parts(run_dir: Path, prompts: Prompts) -> tuple[dict[str, Any], list[str], int]:
    """Columns (index, prompt, source, models), the row ids, and the characters of all texts; rows are read once."""
    index, row_ids, names, characters = [], [], [], 0
    for stored in read_rows(run_dir / artifacts.ROWS):
        pair = stored.pair
        index.append(pair.index)
        row_ids.append(stored.row_id)
        names.append([name or "" for name in source_and_models(pair.metadata)])
        characters += sum(len(message["content"]) for span in SPANS for message in getattr(pair, span))
    columns = {"index": counts(np.array(index, np.int64)), "prompt": counts(prompts.code_N)}
    for name, values in zip(("source", "chosen_model", "rejected_model"), zip(*names, strict=True), strict=True):
        columns[name] = _coded(values)
    return columns, row_ids, characters


def _coded(values: Sequence[str]) -> dict[str, Any]:
    names, code_N = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return {"names": names.tolist(), "code": counts(code_N)}


def text_parts(run_dir: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """``rows-0000`` and so on: the texts of 128 rows each."""
    rows = read_rows(run_dir / artifacts.ROWS)
    for number in itertools.count():
        piece = [row_text(stored) for stored in itertools.islice(rows, PIECE)]
        if not piece:
            return
        yield f"rows-{number:04d}", piece


def some_rows(run_dir: Path, wanted: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Texts of the rows at the ``wanted`` positions."""
    kept = set(wanted)
    return {row: row_text(stored) for row, stored in enumerate(read_rows(run_dir / artifacts.ROWS)) if row in kept}


def row_text(stored: StoredPair) -> dict[str, Any]:
    """Messages, metadata and tools of one row, as they are."""
    pair = stored.pair
    text: dict[str, Any] = {span: [dict(message) for message in getattr(pair, span)] for span in SPANS}
    return {**text, "metadata": dict(pair.metadata), **({"tools": list(pair.tools)} if pair.tools else {})}
