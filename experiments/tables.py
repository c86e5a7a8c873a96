"""Markdown tables of the experiments' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from anatomy.report.markdown_table import markdown_table

SMALL = ("slope", "observed", "less", "nats", "±")
"""Words in the heads of columns of small numbers, which get three digits."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers to two digits after the point, slopes and shifts to three in all."""
    cells = [[_cell(value, name) for name, value in zip(header, row, strict=True)] for row in rows]
    return markdown_table(header, cells, verbatim=True) + "\n"


def records(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table of rows with the same keys, which head the columns."""
    return markdown(list(rows[0]), [list(row.values()) for row in rows])


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if any(word in name for word in SMALL) else f"{value:.2f}"
    return str(value)
