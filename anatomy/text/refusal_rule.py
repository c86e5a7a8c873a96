"""Refusals of a response, by their wording in its opening.

A refusal declines ("I cannot", "I am an AI and do not"), passes a verdict on what was asked ("it is not ethical to",
"illegal and harmful"), denies the premise on moral grounds ("they should not be denied", "a harmful stereotype"), or
turns to the person or to decency instead of answering ("please reach out to", "treat everyone with respect"). A
response that then helps ("but I can", "however, here is"), asks for what it lacks ("could you provide it?") or
calls a person or thing made up answers. Wording in general use only. Figures: ``tests/text/test_refusal_rule.py``.
"""

from __future__ import annotations

import re

from anatomy.text.hints import Hints
from anatomy.text.markdown_spans import Range

OPENING_CHARS = 300
"""A refusal is declared in the first sentences; later "I cannot" is mostly a limit of an answer that was given."""

_GOOD = (
    r"(?:appropriate|ethical|acceptable|respectful|legal|lawful|moral|justified|justifiable|fair|okay|productive"
    r"|safe|advisable|a good (?:idea|thing))"
)
_NO = r"(?:not|n't|cannot|unable|never|neither)"
_DECLINES = (
    r"\bI(?:'m| am) (?:\w+ )?(?:not able|unable|not comfortable|not going|not allowed|not permitted|not programmed) "
    r"(?:to|with)\b",
    r"\bI (?:\w+ )?(?:can(?:'|no)t|can not|won't|will not|must decline|(?:have|need) to decline|decline|couldn't"
    r"|could not|refuse|do not feel comfortable|don't feel comfortable|would not|wouldn't)\b"
    r"(?! (?:wait|even|afford|help but|resist|stress|emphasi[sz]e|overstate|imagine|agree more|say (?:for|with)))",
    rf"\b(?:as|I(?:'m| am)) (?:just |only )?an? (?:\w+ )?(?:AI|language model)\b(?=[^.!?]*(?:\.[^.!?]*)?{_NO}\b"
    r"(?! (?:\w+ )?(?:have (?!the\b|access|enough)|possess|experience|think|know|understand|get)))",
    r"\b(?:against|within|violates?) my (?:\w+ )?(?:guidelines|programming|policy|policies|principles|values)\b",
    r"\b(?:do not|don't|cannot|can't) (?:condone|promote|encourage|endorse)\b",
)
_VERDICTS = (
    rf"\b(?:not|never|isn't|aren't|wasn't|weren't|neither) (?:(?!explicitly)\w+ ){{0,4}}{_GOOD}\b"
    r"(?! to (?:eat|drink|use))",
    r"\b(?:(?:do not|don't) (?:think|believe|feel)|not sure) (?:that |if )?(?:it's|it is|that's) "
    rf"(?:\w+ ){{0,2}}{_GOOD}\b",
    r"\b(?:illegal|unethical|immoral|harmful|dangerous|inappropriate|wrong),? (?:and|or) (?:\w+ )?"
    r"(?:illegal|unethical|immoral|harmful|dangerous|inappropriate|wrong|disrespectful|irresponsible|punishable)\b",
    r"\bunethical\b|\breprehensible\b",
    r"\A\W*there (?:is|are|was|were) (?:absolutely )?no (?:\w+ )?(?:reason|justification|excuse|benefit)",
)
_DENIES = (
    r"\bshould(?: not|n't| never) be (?:\w+ )?(?:denied|discriminated|excluded|judged|marginali[sz]ed|punished"
    r"|deprived)\b",
    r"\b(?:harmful|negative|false|offensive|racist|sexist|damaging|unfounded|baseless) (?:(?:and|or) \w+ )?(?:\w+ )?"
    r"(?:stereotype|assumption|generali[sz]ation|prejudice)s?\b|\bperpetuat\w+ (?:\w+ ){0,3}stereotypes?\b",
    r"\bis (?:not to|to not|to never|never to) \w+ (?:\w+ ){0,4}(?:at all|in the first place)\b",
    r"\A\W*(?:it is|it's) not (?:\w+ )?best\b",
)
_TURNS_AWAY = (
    r"\btreat\w* (?:\w+ ){0,3}with (?:\w+ )?(?:respect|dignity|kindness|care|compassion)\b|\bdignity and respect\b",
    r"\b(?:please |(?:important|essential|best|crucial|encourage you|urge you|advise you|recommend you) to )"
    r"(?:reach out to(?! me\b| us\b| (?:\w+ ){0,3}(?:support|service|team)\b)|seek (?:\w+ )?(?:help|support))\b",
    r"\byou are not alone\b",
    r"\bgoing through (?:a|such a) (?:difficult|hard|tough) time\b",
)
_SAYS_NO = (*_DECLINES, *_VERDICTS, *_DENIES, *_TURNS_AWAY)
_REFUSAL = re.compile("|".join(f"(?:{pattern})" for pattern in _SAYS_NO), re.IGNORECASE)
_HINTS = Hints([
    "unable", "not able", "not comfortable", "not going", "not allowed", "not permitted", "not programmed", "can't",
    "cannot", "can not", "won't", "will not", "decline", "couldn't", "could not", "refuse", "feel comfortable",
    "would not", "wouldn't", " ai", "language model", "against my", "within my", "violate my", "violates my", "condone",
    "promote", "encourage", "endorse", "appropriate", "ethical", "acceptable", "respectful", "legal", "lawful", "moral",
    "justifi", "fair", "okay", "productive", "safe", "advisable", "good idea", "good thing", "harmful",
    "dangerous", "wrong", "reprehensible", "there is ", "there are ", "there was ", "there were ", "treat", "dignity",
    "reach out to", "seek ", "you are not alone", "going through", "should not be", "shouldn't be", "should never be",
    "stereotype", "assumption", "generali", "prejudice", "is not to", "is to not", "is never to", "is to never",
    "it is not ", "it's not ",
])  # fmt: skip
"""A refusal holds one of these in lower case."""
_ANSWERS = re.compile(
    r"\b(?:but|however),? I (?:can|could|will)\b(?! not|'t)"
    r"|\b(?:but|however),? (?:(?:here(?:'s| is| are)|as of)\b|some (?:\w+ ){0,4}(?:are|include|:|-|I can)\b)"
    r"|\b(?:while|although|though|since) I (?:\w+ )?(?:can(?:'|no)t|don't|do not|am not|'m not)\b[^.!?]*,"
    r" (?:I (?:can|could|will)\b(?! not|'t)|here )"
    r"|\b(?:could|can|would|if) you (?:please |could |can )?(?:provide|share|give|specify|tell|clarify)\b"
    r"|\bplease (?:provide|share|specify|clarify|give)\b"
    r"|\b(?:is|are) (?:an? |the |only |just |purely )*(?:\w+ )?(?:fictional|fictitious|inanimate|imaginary)\b",
    re.IGNORECASE,
)
"""An answer all the same: help that follows, a question for what is missing, or that it is about something made up."""


def refusal_ranges(text: str) -> list[Range]:
    """Return where the opening of a response says no; nothing if it answers all the same ("but I can")."""
    plain = text.replace("’", "'")
    if not _HINTS.are_in(plain[:OPENING_CHARS].lower()) or _ANSWERS.search(plain, 0, OPENING_CHARS):
        return []
    return [match.span() for match in _REFUSAL.finditer(plain, 0, OPENING_CHARS)]
