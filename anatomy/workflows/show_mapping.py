"""``anatomy check --show-mapping``: which column is what, and rows as they are read."""

from __future__ import annotations

import itertools
from typing import Any

from anatomy.data.pair_stream import PairStream
from anatomy.report.reading_text import mapping
from anatomy.settings import CheckSettings, load_settings
from anatomy.types import Pair
from anatomy.workflows.outcome import Where

SHOWN_ROWS = 3


def show_mapping(rows: str, *, settings: Where | None = None, **flags: Any) -> str:
    """Return the map of columns to roles as YAML that ``map`` takes, and (as comments) three rows as they are read.

    Raises:
        AnatomyError: settings or rows cannot be used.
    """
    stream = PairStream(load_settings(CheckSettings, {"rows": rows, **flags}, settings))
    pairs = list(itertools.islice((row for row in stream if isinstance(row, Pair)), SHOWN_ROWS))
    return mapping(stream.reading(), pairs)
