"""Trivial concepts: counts on plain text that need no model. They name clusters and serve as baselines.

English wording only. Markdown is parsed, so that ``*`` in code or arithmetic is not emphasis; the rest is matched at
word boundaries. Counts are raw; divide by ``length`` for rates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from markdown_it import MarkdownIt

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_MARKDOWN_KINDS = {
    "bold": ("strong_open",),
    "list": ("list_item_open",),
    "heading": ("heading_open",),
    "code": ("fence", "code_inline"),
    "table": ("table_open",),
}
_PATTERNS = {
    "emoji": r"[\U0001F300-\U0001FAFF\u2600-\u27BF]",
    "exclamation": r"!",
    "question": r"\?",
    "number": r"(?<![\w.])\d[\d.,]*(?!\w)",
    "link": r"https?://\S|\bwww\.\w",
    "refusal": (
        r"\bI(?:'m| am) (?:not able|unable|not comfortable|not going) to\b|\bI (?:can(?:'|no)t|can not|won't|will not"
        r"|must decline|decline to|couldn't|refuse)\b(?! (?:wait|help but|recommend))|\bas an? (?:AI|language model)\b"
        r"|\bagainst my (?:guidelines|programming|policy)\b|\bI (?:don't|do not) feel comfortable\b"
    ),
    "hedging": (
        r"\b(?:perhaps|maybe|might|possibly|probably|arguably|somewhat|likely|it depends|it seems|appears? to"
        r"|in some cases|not (?:sure|certain)|generally|typically)\b"
    ),
    "first person": r"\b(?:I|I'm|I've|I'd|I'll|me|my|mine|myself)\b",
    "praise": (
        r"\b(?:great|excellent|fantastic|wonderful|brilliant|insightful|thoughtful|amazing|good|fascinating) "
        r"(?:question|point|idea|choice|observation|job|work|thinking)\b|\bwell done\b|\byou(?:'re| are) (?:so|very|"
        r"absolutely|really) (?:right|smart|clever|insightful|kind|talented)\b|\bI(?:'m| am) impressed\b"
    ),
    "apology": r"\b(?:sorry|apologi[sz]e|apologies|forgive me|my mistake)\b",
    "agreement opener": (
        r"\A\W*(?:yes|yeah|yep|sure|certainly|of course|absolutely|definitely|exactly|you're right|you are right"
        r"|I agree|great|happy to)\b"
    ),
}
_CASED = {"first person"}  # "I" and "me" are words; "i" in a formula is not


def _length(text: str) -> float:
    """Words."""
    return float(len(text.split()))


@lru_cache(maxsize=4096)
def _markdown(text: str) -> Counter[str]:
    """Block and inline Markdown tokens of a text, by type."""
    found: Counter[str] = Counter()
    for block in _MARKDOWN.parse(text):
        found[block.type] += 1
        found.update(inline.type for inline in block.children or ())
    return found


def _markdown_count(kinds: tuple[str, ...]) -> Callable[[str], float]:
    return lambda text: float(sum(_markdown(text)[kind] for kind in kinds))


def _pattern_count(name: str, pattern: str) -> Callable[[str], float]:
    compiled = re.compile(pattern, 0 if name in _CASED else re.IGNORECASE)
    return lambda text: float(sum(1 for _ in compiled.finditer(text.replace("’", "'"))))


TEXT_COUNTS: dict[str, Callable[[str], float]] = {
    "length": _length,
    **{name: _markdown_count(kinds) for name, kinds in _MARKDOWN_KINDS.items()},
    **{name: _pattern_count(name, pattern) for name, pattern in _PATTERNS.items()},
}
"""Name of a trivial concept → its count in a text (``length``: words)."""


def markdown_marks(text: str) -> float:
    """Bold spans, list items, headings, code and tables together."""
    found = _markdown(text)
    return float(sum(found[kind] for kinds in _MARKDOWN_KINDS.values() for kind in kinds))
