"""How two texts differ that say the same: in unseen characters, white space, Unicode form, case or last marks."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal

import regex

from anatomy.text.visible import visible

FormKind = Literal["invisible characters", "white space", "Unicode form", "case", "final punctuation", "form"]

_UNSEEN = regex.compile(
    r"[[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}]--[\s\u200c\u200d\ufe0e\ufe0f\U000e0020-\U000e007f]]"
    r"|(?<=[\x00-\x7f])[\u200c\u200d\ufe0e\ufe0f](?!\u20e3)",
    flags=regex.V1,
)
"""Characters that nobody sees. Joiners and variants change what follows a letter of another script, or an emoji."""
_ODD_SPACES = regex.compile(r"[\p{Zs}--\x20]", flags=regex.V1)
_FINAL = regex.compile(r"[\p{P}\s]+\Z")
_DROPPED = dict.fromkeys([*range(33), 127])
"""White space and control characters of ASCII."""
HEAD = 48
"""Characters of either end that are compared first."""
CUT = 2
"""Characters that are not compared where a piece was cut, perhaps in the middle of a letter."""
SHOWN = 24
"""Characters shown from just before the first difference on."""


def _seen(text: str) -> str:
    return str(_ODD_SPACES.sub(" ", _UNSEEN.sub("", text)))


def _joined(text: str) -> str:
    return "".join(text.split())


def _one_form(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _unmarked(text: str) -> str:
    return str(_FINAL.sub("", text))


_KINDS: tuple[tuple[FormKind, Callable[[str], str]], ...] = (
    ("invisible characters", _seen),
    ("white space", _joined),
    ("Unicode form", _one_form),
    ("case", str.casefold),
    ("final punctuation", _unmarked),
)


def _bare(text: str) -> str:
    """A text without all that these kinds are about."""
    return _unmarked(_joined(_one_form(_joined(_seen(text))).casefold()))


def form_difference(first: Sequence[str], second: Sequence[str]) -> FormKind | None:
    """Return what alone sets two lists of texts apart; None if they are the same, or differ in what they say.

    ``form`` stands for several kinds at once. It costs little where the texts begin or end differently.
    """
    if len(first) != len(second) or first == second:
        return None
    if any(map(_apart, first, second)):
        return None
    for kind, fold in _KINDS:
        if all(fold(ours) == fold(theirs) for ours, theirs in zip(first, second, strict=True)):
            return kind
    whole = all(_bare(ours) == _bare(theirs) for ours, theirs in zip(first, second, strict=True))
    return "form" if whole else None


def _apart(first: str, second: str) -> bool:
    """Whether beginnings or ends say that two texts differ in more than their form."""
    if first == second:
        return False
    ours, theirs = first[:1], second[:1]
    if ours.isascii() and theirs.isascii() and ours.isalnum() and theirs.isalnum() and ours.lower() != theirs.lower():
        return True
    a, b = _read(first[:HEAD], second[:HEAD])
    compared = min(len(a), len(b)) - CUT
    if compared > 0 and a[:compared] != b[:compared]:
        return True
    a, b = _read(first[-HEAD:], second[-HEAD:])
    compared = min(len(a), len(b)) - CUT
    return compared > 0 and a[-compared:] != b[-compared:]


def _read(first: str, second: str) -> tuple[str, str]:
    """What is left of two pieces without all that these kinds are about."""
    fold = _plain if first.isascii() and second.isascii() else _bare
    return fold(first), fold(second)


def _plain(text: str) -> str:
    """What ``_bare`` leaves of ASCII."""
    return text.translate(_DROPPED).lower().rstrip(string.punctuation)


def difference_at(first: str, second: str) -> int:
    """Return where two texts first differ; the length of the shorter one if it begins the other."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (ours, theirs) in pairs if ours != theirs), min(len(first), len(second)))


def first_difference(first: str, second: str) -> tuple[str, str]:
    """Both texts from just before their first difference on, with unseen characters written out."""
    start = max(0, difference_at(first, second) - SHOWN // 3)
    return _shown(first, start), _shown(second, start)


def _shown(text: str, start: int) -> str:
    """A piece of a text in which ends, odd spaces and invisible characters show."""
    piece = "".join(_escaped(character) for character in text[start : start + SHOWN])
    return "…" * (start > 0) + piece + "…" * (start + SHOWN < len(text))


def _escaped(character: str) -> str:
    odd = _UNSEEN.match(character) or _ODD_SPACES.match(character) or unicodedata.combining(character)
    return f"\\u{ord(character):04x}" if odd else character if character == " " else visible(character)
