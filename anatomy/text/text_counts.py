"""Trivial concepts as counts on plain text, one for each trivial matcher. Counts are raw; ``length`` makes rates."""

from __future__ import annotations

from collections.abc import Callable

from anatomy.text.markdown_spans import markdown_ranges
from anatomy.text.matchers import TRIVIAL, find_ranges


def _count(name: str) -> Callable[[str], float]:
    return lambda text: float(len(find_ranges(text, name)))


TEXT_COUNTS: dict[str, Callable[[str], float]] = {name: _count(name) for name in TRIVIAL}
"""Name of a trivial concept → its count in a text (``length``: words)."""


def markdown_marks(text: str) -> float:
    """Bold spans, list items, headings, code, tables and horizontal rules together."""
    return float(sum(map(len, markdown_ranges(text).values())))
