"""Scores of single tokens, for the rows whose tokens the report shows: ``scored_tokens.parquet``.

One line per detector and row: ``concept``, ``row`` (position among the retained rows), ``row_id``, and for each side a
list of float64, the detector's score of each token of the response. They are kept as the detector gives them; what they
look like is decided where they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from anatomy.artifacts import write_table
from anatomy.concepts.scorer import Scorer, Span
from anatomy.concepts.scores import read_rows
from anatomy.types import SIDES, Pair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from anatomy.activations.model import Subject
    from anatomy.settings import ModelSettings

SCORED_TOKEN_COLUMNS = {"concept": "string", "row": "int64", "row_id": "string", **dict.fromkeys(SIDES, "list<double>")}
"""Columns of ``scored_tokens.parquet``."""
PIECE = 16
"""Rows read together."""


def write_scored_tokens(
    path: Path,
    pairs: Mapping[int, Pair],
    scorers: Sequence[Scorer],
    tokenizer: PreTrainedTokenizerBase,
    subject: Callable[[], Subject],
    settings: ModelSettings,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Write the token scores of ``pairs``, given by position, by every detector.

    Args:
        subject: gives the model; called only where a detector reads activations.
        progress: called with the number of rows done.
    """
    order, lines = sorted(pairs), list[dict[str, Any]]()
    for start in range(0, len(order), PIECE):
        rows = order[start : start + PIECE]
        found = read_rows([pairs[row] for row in rows], scorers, tokenizer, subject, settings, _token_scores)
        for scorer, scores in zip(scorers, found, strict=True):
            for row, *sides in zip(rows, scores[::2], scores[1::2], strict=True):
                own = {"concept": scorer.concept, "row": row, "row_id": pairs[row].row_id}
                lines.append(own | dict(zip(SIDES, sides, strict=True)))
        if progress is not None:
            progress(len(rows))
    schema = {"concept": pa.string(), "row": pa.int64(), "row_id": pa.string()}
    schema |= dict.fromkeys(SIDES, pa.list_(pa.float64()))
    write_table(path, pa.Table.from_pylist(lines, pa.schema(schema)))


def _token_scores(scorer: Scorer, span: Span) -> Float[np.ndarray, " T"]:
    return scorer.score_tokens(span)
