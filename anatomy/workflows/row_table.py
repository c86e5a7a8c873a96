"""Rows of a run as a table: their ids, their places in the source, and the last message of each text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from anatomy.runs.run import Run
from anatomy.types import SPANS, Message


def row_table(run: Run, places: Iterable[int]) -> pd.DataFrame:
    """Return the rows at ``places`` of a run's features, in that order; memory grows with these rows alone.

    Columns: ``row_id``, ``index`` (the place in the source, from 0), ``prompt``, ``chosen`` and ``rejected``, the text
    of the last message of each.
    """
    order = [int(place) for place in places]
    wanted, found = set(order), {}
    for place, stored in enumerate(run.rows()):
        if place in wanted:
            texts = [_last(getattr(stored.pair, span)) for span in SPANS]
            found[place] = (stored.row_id, stored.pair.index, *texts)
    return pd.DataFrame([found[place] for place in order], columns=["row_id", "index", *SPANS])


def _last(messages: Sequence[Message]) -> str:
    return str(messages[-1]["content"]) if messages else ""
