"""Refusals of a response, by their wording in its opening.

A refusal declines ("I cannot", "I am an AI and do not"), passes a verdict on what was asked ("it is not ethical to",
"illegal and harmful"), or turns to the person or to decency instead of answering ("reach out to", "treat everyone with
respect"). Wording in general use only. Figures: ``tests/hypotheses/test_refusal.py``.
"""

from __future__ import annotations

import re

from anatomy.text.hints import Hints
from anatomy.text.markdown_spans import Range

OPENING_CHARS = 300
"""A refusal is declared in the first sentences; later "I cannot" is mostly a limit of an answer that was given."""

_GOOD = (
    r"(?:appropriate|ethical|acceptable|respectful|legal|lawful|moral|justified|justifiable|fair|okay|right|productive"
    r"|safe|advisable|a good (?:idea|thing))"
)
_DECLINES = (
    r"\bI(?:'m| am) (?:\w+ )?(?:not able|unable|not comfortable|not going|not allowed|not permitted|not programmed) "
    r"(?:to|with)\b",
    r"\bI (?:\w+ )?(?:can(?:'|no)t|can not|won't|will not|must decline|(?:have|need) to decline|decline|couldn't"
    r"|could not|refuse|do not feel comfortable|don't feel comfortable|would not|wouldn't)\b"
    r"(?! (?:wait|help but|resist|stress|emphasi[sz]e|overstate|imagine|agree more|say (?:for|with)))",
    r"\b(?:as|I(?:'m| am)) (?:just |only )?an? (?:\w+ )?(?:AI|language model)\b",
    r"\b(?:against|within|violates?) my (?:\w+ )?(?:guidelines|programming|policy|policies|principles|values)\b",
    r"\b(?:do not|don't|cannot|can't) (?:condone|promote|encourage|endorse)\b",
)
_VERDICTS = (
    rf"\b(?:not|never|isn't|aren't|wasn't|weren't|neither) (?:\w+ ){{0,4}}{_GOOD}\b",
    r"\b(?:(?:do not|don't) (?:think|believe|feel)|not sure) (?:that |if )?(?:it's|it is|that's) "
    rf"(?:\w+ ){{0,2}}{_GOOD}\b",
    r"\b(?:illegal|unethical|immoral|harmful|dangerous|inappropriate|wrong),? (?:and|or) (?:\w+ )?"
    r"(?:illegal|unethical|immoral|harmful|dangerous|inappropriate|wrong|disrespectful|irresponsible|punishable)\b",
    r"\bunethical\b|\breprehensible\b",
    r"\A\W*there (?:is|are|was|were) (?:absolutely )?no (?:\w+ )?(?:reason|justification|excuse|benefit)",
)
_TURNS_AWAY = (
    r"\btreat\w* (?:\w+ ){0,3}with (?:\w+ )?(?:respect|dignity|kindness|care|compassion)\b|\bdignity and respect\b",
    r"\b(?:please |to )(?:reach out to(?! me\b| us\b)|seek (?:\w+ )?(?:help|support))\b|\byou are not alone\b",
    r"\bgoing through (?:a|such a) (?:difficult|hard|tough) time\b",
)
_REFUSAL = re.compile("|".join(f"(?:{pattern})" for pattern in (*_DECLINES, *_VERDICTS, *_TURNS_AWAY)), re.IGNORECASE)
_HINTS = Hints([
    "unable", "not able", "not comfortable", "not going", "not allowed", "not permitted", "not programmed", "can't",
    "cannot", "can not", "won't", "will not", "decline", "couldn't", "could not", "refuse", "feel comfortable",
    "would not", "wouldn't", " ai", "language model", "against my", "within my", "violate my", "violates my", "condone",
    "promote", "encourage", "endorse", "appropriate", "ethical", "acceptable", "respectful", "legal", "lawful", "moral",
    "justifi", "fair", "okay", "right", "productive", "safe", "advisable", "good idea", "good thing", "harmful",
    "dangerous", "wrong", "reprehensible", "there is ", "there are ", "there was ", "there were ", "treat", "dignity",
    "reach out to", "seek ", "you are not alone", "going through",
])  # fmt: skip
"""A refusal holds one of these in lower case."""
_YET = re.compile(r"\b(?:but|however),? I (?:can|could|will)\b(?! not|'t)", re.IGNORECASE)


def refusal_ranges(text: str) -> list[Range]:
    """Return where the opening of a response says no; nothing if it then says what it will do ("but I can")."""
    plain = text.replace("’", "'")
    if not _HINTS.are_in(plain[:OPENING_CHARS].lower()) or _YET.search(plain, 0, OPENING_CHARS):
        return []
    return [match.span() for match in _REFUSAL.finditer(plain, 0, OPENING_CHARS)]
