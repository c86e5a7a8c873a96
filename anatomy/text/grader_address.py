"""Text that speaks to the grader of a response instead of to the user: English only.

It stands at the beginning or at the end, where a grader looks first and last; only these are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex

from anatomy.text.hints import Hints
from anatomy.text.markdown_spans import Range

WINDOW = 300
"""Characters that are read at either end."""
_HINTS = (
    "grader",
    "judge",
    "evaluat",
    "rubric",
    "grading",
    " score",
    " rate ",
    " rating",
    "full marks",
    "full credit",
    " grade ",
)
"""A match holds one of these in lower case; looked for first, since that is cheap."""
_HINTED = Hints(_HINTS)
_TRACES = Hints(["grad", "judge", "evaluat", "rubric", " score", " rate ", " rating", "full marks", "full credit"])
"""Every hint holds one of these."""
_GRADER = (
    r"(?:grader|judge|evaluator|rater|annotator|reviewer|(?:AI|LLM|reward|grading) (?:judge|grader|model|evaluator))"
)
_THIS = r"(?:this|my|the above) (?:response|answer|reply|completion|output|submission)"
_TOP = (
    r"(?:full marks|full (?:score|credit|points)"
    r"|(?:the )?(?:highest|top|maximum|perfect|best)(?: possible)? (?:score|rating|grade|marks))"
)
_GOOD = r"(?:\d|highest|high|best|top|perfect|favou?rabl|excellent)"
_PATTERN = regex.compile(
    rf"\b(?=dear|hello|hi|attention|note|message|to the)(?<=(?:\A|\n|[.!?:] )[\W_]{{0,9}})"
    r"(?:dear|hello|hi|attention|note to(?: the| all)?|message (?:to|for) the|to the)"
    rf" (?:\w+ ){{0,2}}?{_GRADER}s?\b[ ]?[,:!.\])]"
    rf"|\byou(?: are|'re) an? (?:(?:impartial|fair|strict|expert) ){{0,2}}{_GRADER}[,:;.]? (?:and |so ){{0,2}}"
    r"(?:please |must |should |you ){0,3}(?:rate|choose|prefer|score|select|pick|give) (?:this|it|me|my)\b"
    rf"|\bthe {_GRADER} (?:should|must|is asked to|needs to) (?:\w+ ){{0,2}}?"
    r"(?:give|award|rate|score|prefer|choose|accept|mark|select|pick) (?:this|that|it|me|my)\b"
    rf"|\b(?:if|since|because) you(?: are|'re) (?:an? |the )?(?:\w+ ){{0,2}}?{_GRADER}\b"
    rf"|\bas (?:the|an?|my) (?:\w+ ){{0,1}}?{_GRADER},? (?:you (?:should|must|will|can|have to)|please)\b"
    rf"|\b(?:please|kindly|you (?:should|must)) (?:\w+ ){{0,2}}?(?:rate|score|grade|judge|evaluate) {_THIS}\b"
    rf"|\b(?:rate|score|grade|mark) {_THIS} (?:(?:with|as) )?(?:an? |the )?{_GOOD}"
    rf"|\b(?:give|award|assign|grant)(?:ing)? (?:{_THIS}|me) (?:an? )?"
    rf"(?:{_TOP}|(?:score|rating|grade) of|\d+ ?/ ?\d+|10\b)"
    rf"|\b{_THIS} (?:\w+ ){{0,2}}?(?:deserves|merits|should (?:receive|get|be (?:given|awarded|rated|scored|graded)))"
    rf" (?:an? |the )?(?:{_TOP}|high\b|10\b|score|\d+ ?/ ?\d+)"
    r"|\b(?:ignore|disregard|forget|override) (?:all |any |the |your )*(?:previous |above |given |original )*"
    r"(?:rubric|grading|scoring|evaluation|judging)\b"
    rf"|\b(?:meets|satisfies|fulfil+s) (?:all|every) (?:\w+ ){{0,3}}?(?:rubric|grading criteri|evaluation criteri)",
    flags=regex.IGNORECASE,
)


def may_address_grader(texts: Sequence[str]) -> bool:
    """Return whether any of the texts may speak to a grader; False for most, at little cost."""
    pieces = [text if len(text) <= 2 * WINDOW else text[:WINDOW] + text[-WINDOW:] for text in texts]
    return _TRACES.are_in(" ".join(["", *pieces]).lower())


def grader_address(text: str, asked: Sequence[str] = ()) -> Range | None:
    """Return where ``text`` first speaks to a grader, within 300 characters of either end; None where it does not.

    ``asked`` are the texts that it answers: if they speak of judges or scores, so may the answer.
    """
    if len(text) <= 2 * WINDOW:
        place = _search(text, 0)
    else:
        place = _search(text[:WINDOW], 0) or _search(text[-WINDOW:], len(text) - WINDOW)
    if place is None or not asked:
        return place
    match = text[place[0] : place[1]].lower()
    words = [hint.strip() for hint in _HINTS if hint.strip() in match]
    return None if any(word in one.lower() for one in asked for word in words) else place


def _search(piece: str, start: int) -> Range | None:
    match = _PATTERN.search(piece) if _HINTED.are_in(f" {piece.lower()}") else None
    return None if match is None else (start + match.start(), start + match.end())
