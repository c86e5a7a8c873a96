"""Text heuristic as a detector: regular expressions and the Markdown parser on the text, no model."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from anatomy import __version__
from anatomy.concepts.scorer import Pooling, Span
from anatomy.errors import ProbeError
from anatomy.text.matchers import MATCHERS, find_ranges
from anatomy.types import content_hash


class TextHeuristic:
    """1 where a token overlaps a range of the matcher, else 0; a span is flagged where any token does (method.md §8).

    ``length`` is a property of the sequence: the score of a token is the number of words begun up to its end, so that
    the last token's score, to which it is pooled, is the length of the span in words. It has no threshold.

    Raises:
        ProbeError: there is no such matcher.
    """

    kind: ClassVar[str] = "text"
    layer: None = None

    def __init__(self, concept: str, matcher: str, pooling: Pooling | None = None) -> None:
        if matcher not in MATCHERS:
            raise ProbeError(f"concept `{concept}`: no text matcher `{matcher}` (there are: {', '.join(MATCHERS)})")
        self.concept = concept
        self.matcher = matcher
        self.pooling: Pooling = pooling or ("last" if matcher == "length" else "max")
        self.threshold: float | None = 1.0 if self.pooling == "max" and matcher != "length" else None

    @property
    def fingerprint(self) -> str:
        """Content hash of the matcher's name and of the version that says what it matches."""
        return content_hash([self.kind, self.matcher, self.pooling, __version__])

    def score_tokens(self, span: Span) -> Float[np.ndarray, " T"]:
        """One score per token of the span: 0 or 1, or words so far."""
        starts_T, stops_T = np.asarray(span.offsets_T2, dtype=np.int64).reshape(-1, 2).T
        ranges = find_ranges(span.text, self.matcher)
        if self.matcher == "length":
            return np.searchsorted([start for start, _ in ranges], stops_T).astype(np.float64)
        inside = np.zeros(len(span.text) + 1, dtype=np.int64)
        for start, stop in ranges:
            inside[start + 1 : stop + 1] = 1
        covered = inside.cumsum()  # characters of ranges before each place
        return (covered[stops_T] > covered[starts_T]).astype(np.float64)
