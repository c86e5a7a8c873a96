"""A cheap look for any of several literal texts, before a rule that costs more and needs one of them."""

from __future__ import annotations

from collections.abc import Iterable

from ahocorasick_rs import BytesAhoCorasick, MatchKind


class Hints:
    """Literal texts, all looked for in one pass over a text (Aho-Corasick)."""

    def __init__(self, texts: Iterable[str]) -> None:
        # of the kinds of matches, this one has the fast search
        self._any = BytesAhoCorasick([text.encode() for text in texts], MatchKind.LeftmostFirst)

    def are_in(self, text: str) -> bool:
        """Whether ``text`` holds one of them, in this case of letters."""
        return bool(self._any.find_matches_as_indexes(text.encode("utf-8", "surrogatepass")))
