"""Foreign tails: a response in one script whose last sentence is in another, as mixed corpora teach it.

A tail begins a line or follows the end of a sentence: after a colon, a quotation mark or a bracket it is a translation
or a name. A script that occurred before the tail is part of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable

import regex

from anatomy.text.markdown_spans import Range

_SCRIPTS = {
    "latin": r"\p{Latin}", "cyrillic": r"\p{Cyrillic}", "greek": r"\p{Greek}", "arabic": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}", "chinese": r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}", "hangul": r"\p{Hangul}",
    "thai": r"\p{Thai}", "devanagari": r"\p{Devanagari}", "bengali": r"\p{Bengali}", "tamil": r"\p{Tamil}",
    "telugu": r"\p{Telugu}", "georgian": r"\p{Georgian}", "armenian": r"\p{Armenian}", "khmer": r"\p{Khmer}",
    "burmese": r"\p{Myanmar}", "ethiopic": r"\p{Ethiopic}", "gujarati": r"\p{Gujarati}", "lao": r"\p{Lao}",
}  # fmt: skip
_WORD = regex.compile("|".join(rf"(?P<{name}>[{letters}]+)" for name, letters in _SCRIPTS.items()))
_DENSE = ("chinese", "hangul")
"""Scripts that say much in few letters."""
LEAST_TAIL = 15
LEAST_DENSE = 5
LEAST_HEAD = 20
_ENDS = ".!?…。！？｡)`*_]~"


def tail_ranges(text: str) -> list[Range]:
    """Return the passage in another script at the very end of ``text``, if there is one."""
    if text.isascii() or _script(text) == _script(reversed(text)):  # then the last script occurs before the tail
        return []
    words = [(str(match.lastgroup), match.start(), match.end()) for match in _WORD.finditer(text)]
    if not words:
        return []
    last = words[-1][0]
    first = next((place for place in range(len(words) - 1, -1, -1) if words[place][0] != last), -1) + 1
    head, tail = words[:first], words[first:]
    if any(script == last for script, _, _ in head) or _letters(tail) < (LEAST_DENSE if last in _DENSE else LEAST_TAIL):
        return []
    if _letters(head) < LEAST_HEAD or not _begins_afresh(text, head[-1][2], tail[0][1]):
        return []
    return [(tail[0][1], len(text.rstrip()))]


def _script(characters: Iterable[str]) -> str | None:
    """Script of the first letter of a known script."""
    found = (_WORD.match(character) for character in characters if character.isalpha())
    return next((str(match.lastgroup) for match in found if match), None)


def _letters(words: list[tuple[str, int, int]]) -> int:
    return sum(stop - start for _, start, stop in words)


def _begins_afresh(text: str, before: int, start: int) -> bool:
    """Whether what begins at ``start`` is a sentence of its own, after one that is complete."""
    between = text[before:start].strip()
    if not between:
        return "\n" in text[before:start]
    return between[-1] in _ENDS
