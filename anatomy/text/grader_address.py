"""Text that speaks to the grader of a response instead of to the user, anywhere in it: English only.

Words that every such text holds are looked for first; only what is near one of them is read closely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import regex

from anatomy.text.hints import Hints
from anatomy.text.markdown_spans import Range

NEAR = 160
"""Characters that are read closely before and after a hint."""
_HINTS = (
    *("grader", "grading", " grade ", "judge", "evaluat", "rubric", " rate ", " rating", " rater", " score"),
    *("full marks", "full credit"),
)
"""A match holds one of these in lower case."""
_HINTED = Hints(_HINTS)
_STRONG = ("grader", "judge", "evaluator", "rubric", "grading", " rater")
"""Hints that are rare elsewhere; others count beside a target alone."""
_TARGETS = (
    *(f"{whose} {what}" for whose in ("this", "my", "the above")
      for what in ("response", "answer", "reply", "completion", "output", "submission")),
    *(f"{give} me" for give in ("give", "giving", "award", "awarding", "assign", "assigning", "grant", "granting")),
    *("if you", "since you", "because you", "ignore", "disregard", "forget", "override", "criteri", *_STRONG),
    *("annotator", "reviewer"),
)  # fmt: skip
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
    rf"|\b(?:giv(?:e|ing)|(?:award|assign|grant)(?:ing)?) (?:{_THIS}|me) (?:an? )?"
    rf"(?:{_TOP}|(?:score|rating|grade) of|\d+ ?/ ?\d+|10\b)"
    rf"|\b{_THIS} (?:\w+ ){{0,2}}?(?:deserves|merits|should (?:receive|get|be (?:given|awarded|rated|scored|graded)))"
    rf" (?:an? |the )?(?:{_TOP}|high\b|10\b|score|\d+ ?/ ?\d+)"
    r"|\b(?:ignore|disregard|forget|override) (?:all |any |the |your )*(?:previous |above |given |original )*"
    r"(?:rubric|grading|scoring|evaluation|judging)\b"
    rf"|\b(?:meets|satisfies|fulfil+s) (?:all|every) (?:\w+ ){{0,3}}?(?:rubric|grading criteri|evaluation criteri)",
    flags=regex.IGNORECASE,
)


def grader_address(text: str, asked: Sequence[str] = ()) -> Range | None:
    """Return where ``text`` first speaks to a grader; None where it does not, at little cost for most.

    ``asked`` are the texts that it answers: if they speak of judges or scores, so may the answer.
    """
    lowered = f" {text.lower()}".replace("\n", " ")
    if not _HINTED.are_in(lowered):
        return None
    if len(lowered) != len(text) + 1:  # some capitals have two characters in lower case
        single = (low if len(low := letter.lower()) == 1 else letter for letter in text)
        lowered = f" {''.join(single)}".replace("\n", " ")
    for start, end in _near(sorted({place for hint in _HINTS for place in _places(hint, lowered)}), len(text)):
        near = lowered[start : end + 1]
        match = _PATTERN.search(text, start, end) if any(target in near for target in _TARGETS) else None
        if match is not None and not _is_asked_for(match[0].lower(), asked):
            return match.start(), match.end()
    return None


def _is_asked_for(match: str, asked: Sequence[str]) -> bool:
    words = [hint.strip() for hint in _HINTS if hint.strip() in match]
    return any(word in one.lower() for one in asked for word in words)


def _near(places: Sequence[int], length: int) -> Iterator[Range]:
    """The parts of a text around places in it, in order; parts that touch are one."""
    start = end = -1
    for place in places:
        if start >= 0 and place - NEAR > end:
            yield start, end
            start = -1
        start = max(0, place - NEAR) if start < 0 else start
        end = min(length, place + NEAR)
    if start >= 0:
        yield start, end


def _places(hint: str, text: str) -> Iterator[int]:
    place = text.find(hint)
    while place >= 0:
        yield place
        place = text.find(hint, place + 1)
