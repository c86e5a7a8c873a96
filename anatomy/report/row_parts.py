"""The rows of a run as parts of the page: columns of all rows in one part, texts in pieces of 128 rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from anatomy import artifacts
from anatomy.data.row_health import source_and_models
from anatomy.data.rows_table import StoredPair, read_rows
from anatomy.report.packing import counts
from anatomy.report.payload_types import CodedNames, RowText, SourceColumns
from anatomy.statistics.prompts import Prompts
from anatomy.types import SPANS

PIECE = 128


def column_parts(run_dir: Path, prompts: Prompts) -> tuple[SourceColumns, list[str], int]:
    """Columns, the row ids, and the number of characters of all texts; rows are read once."""
    index, row_ids, names, characters = [], [], [], 0
    for stored in read_rows(run_dir / artifacts.ROWS):
        pair = stored.pair
        index.append(pair.index)
        row_ids.append(stored.row_id)
        names.append([name or "" for name in source_and_models(pair.metadata)])
        characters += sum(len(message["content"]) for span in SPANS for message in getattr(pair, span))
    source, chosen_model, rejected_model = map(_coded, zip(*names, strict=True))
    columns: SourceColumns = {
        "index": counts(np.array(index, np.int64)),
        "prompt": counts(prompts.code_N),
        "source": source,
        "chosen_model": chosen_model,
        "rejected_model": rejected_model,
    }
    return columns, row_ids, characters


def _coded(values: Sequence[str]) -> CodedNames:
    names, code_N = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return {"names": names.tolist(), "code": counts(code_N)}


def text_parts(run_dir: Path) -> Iterator[tuple[str, list[RowText]]]:
    """``rows-0000`` and so on: the texts of 128 rows each."""
    rows = read_rows(run_dir / artifacts.ROWS)
    for number in itertools.count():
        piece = [row_text(stored) for stored in itertools.islice(rows, PIECE)]
        if not piece:
            return
        yield f"rows-{number:04d}", piece


def some_rows(run_dir: Path, wanted: Sequence[int]) -> dict[int, RowText]:
    """Texts of the rows at the ``wanted`` positions."""
    kept = set(wanted)
    return {row: row_text(stored) for row, stored in enumerate(read_rows(run_dir / artifacts.ROWS)) if row in kept}


def row_text(stored: StoredPair) -> RowText:
    """Messages, metadata and tools of one row, as they are."""
    pair = stored.pair
    prompt, chosen, rejected = ([dict(message) for message in getattr(pair, span)] for span in SPANS)
    text: RowText = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "metadata": dict(pair.metadata)}
    if pair.tools:
        text["tools"] = list(pair.tools)
    return text
