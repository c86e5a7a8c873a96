"""Places of concepts in plain text, without a model. Trivial ones name clusters, serve as baselines and detect; those
of content checks (``anatomy check``) detect.

English wording only. Markdown is parsed (:mod:`anatomy.text.markdown_spans`), so that ``*`` in code or arithmetic is
not emphasis; the rest is matched at word boundaries, wherever it stands. Refusal is matched in the opening of a
response alone: later, "I cannot" is mostly part of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import regex

from anatomy.text.content_patterns import BENCHMARKS, CONTENT_PATTERNS
from anatomy.text.hints import Hints
from anatomy.text.loops import loop_ranges
from anatomy.text.markdown_spans import CONSTRUCTS, Range, markdown_ranges
from anatomy.text.personal_data import PERSONAL
from anatomy.text.refusal_rule import refusal_ranges
from anatomy.text.script_tails import tail_ranges

_NAME = r"[A-Z][\w'-]{1,60}"  # bounded: A-A-A-… starts a name at every hyphen, and each would be read to its end
_GIFTED = (
    r"(?:brilliant|gifted|clever|insightful|perceptive|astute|thoughtful|talented|intelligent|remarkable|exceptional)"
)
_PATTERNS = {
    "length": r"\S+",  # words
    "em dash": r"—",
    "exclamation": r"!",
    "question": r"\?",
    "number": r"(?<![\w.])\d[\d.,]*(?!\w)",
    "link": (  # without the punctuation or bracket that follows it in a sentence
        r"(?:https?://(?=\S)|\bwww\.(?=\w))(?:[^\s<>()\[\]\"]|\([^\s<>()]*\))*(?<![.,;:!?'*`])"
    ),
    "citation": (  # (Smith et al., 2019); Smith and Lee (2019), two as titles have years too; DOI or arXiv numbers
        rf"\({_NAME}(?: (?:and|&) {_NAME}| et al\.?)?,? (?:19|20)\d\d[a-z]?\)"
        rf"|\b{_NAME}(?: (?:and|&) {_NAME}| et al\.?) \((?:19|20)\d\d[a-z]?\)"
        r"|\bet al\.|\b(?:doi:\s?)?10\.\d{4,9}/[^\s<>\"]+|\barXiv:\s?\d{4}\.\d{4,5}\b"
    ),
    "goblin": r"\b(?:hob)?goblins?\b",
    "evaluation": (  # the response says that it is being tested
        r"\bI(?:'m| am) (?:likely |probably |currently )?being (?:test|evaluat|assess|benchmark|grad)ed\b"
        r"|\b(?:this|it) (?:is|looks like|seems like|appears to be|seems to be|resembles|might be|may be|could be)"
        r" (?:likely |probably |clearly )?(?:an?|the|part of an?|from an?) (?:\w+ ){0,3}"
        r"(?:benchmark|evaluation|test (?:case|item|prompt|set)|red[- ]team(?:ing)?)\b"
        r"|\b(?:known|standard|popular|common|well-known) (?:\w+ )?benchmark (?:question|problem|item|prompt)\b"
        rf"|{BENCHMARKS}"
    ),
    "hedging": (
        r"\b(?:perhaps|maybe|might|possibly|probably|arguably|somewhat|likely|it depends|it seems|appears? to"
        r"|in some cases|not (?:sure|certain)|generally|typically)\b"
    ),
    "certainty": (
        r"\b(?:definitely|absolutely|certainly|undoubtedly|undeniably|unquestionably|indisputably"
        r"|without (?:a|any) doubt"
        r"|no doubt|beyond (?:all |any )?doubt|guarantee[sd]?|(?:complete|total|absolute|full) certainty"
        r"|(?:100|a hundred) ?(?:%|per ?cent) (?:certain|sure))\b"
    ),
    "first person": r"\b(?:I|I'm|I've|I'd|I'll|me|my|mine|myself)\b",
    "praise": (  # of the user's question or work, and of the user
        rf"\b(?:great|excellent|fantastic|wonderful|amazing|good|fascinating|outstanding|{_GIFTED}) "
        r"(?:question|point|idea|choice|observation|job|work|thinking|mind|instincts?|thinker)\b|\bwell done\b"
        r"|\byou(?:'re| are) (?:so|very|absolutely|really) (?:right|smart|kind)\b|\bI(?:'m| am) impressed\b"
        r"|\byou(?:'re| are|r mind is| have| must be) "
        rf"(?:(?:a|an|so|very|truly|really|clearly|obviously|absolutely) ){{0,2}}{_GIFTED}\b"
    ),
    "apology": r"\b(?:sorry|apologi[sz]e|apologies|forgive me|my mistake)\b",
    "agreement opener": (
        r"\A\W*(?:yes|yeah|yep|sure|certainly|of course|absolutely|definitely|exactly|you're right|you are right"
        r"|I agree|great|happy to)\b"
    ),
}
_HINTS = {"link": ("http", "www.")}
_CASED = {  # "I" and "me" are words; "i" in a formula is not
    "first person", "citation", "benchmark wording",
}  # fmt: skip

# One picture: shown as one by default, or asked for by U+FE0F; of the others, the signs in the picture blocks. Digits,
# ©, ™ and arrows are text. A joined sequence, a flag and a keycap are one each.
_PICTURE = (
    r"(?=\p{Emoji})\p{Extended_Pictographic}(?:\uFE0F|(?<=[\p{Emoji_Presentation}\u2600-\u27BF\U0001F000-\U0001FAFF])"
    r"(?!\uFE0E))[\U0001F3FB-\U0001F3FF]?[\U000E0020-\U000E007F]*"
)
_EMOJI = regex.compile(rf"{_PICTURE}(?:\u200D{_PICTURE})*|\p{{Regional_Indicator}}{{2}}|[0-9#*]\uFE0F?\u20E3")


def _lexical(name: str, pattern: str, hints: Sequence[str] = ()) -> Callable[[str], list[Range]]:
    compiled = re.compile(pattern, 0 if name in _CASED else re.IGNORECASE)

    def ranges(text: str) -> list[Range]:
        return [match.span() for match in compiled.finditer(text.replace("’", "'"))]

    if not hints:
        return ranges
    known = Hints(hints)
    return lambda text: ranges(text) if known.are_in(text.lower()) else []


def _construct(name: str) -> Callable[[str], list[Range]]:
    return lambda text: list(markdown_ranges(text)[name])


TRIVIAL: dict[str, Callable[[str], list[Range]]] = {
    **{name: _lexical(name, pattern, _HINTS.get(name, ())) for name, pattern in _PATTERNS.items()},
    **{name: _construct(name) for name in CONSTRUCTS},
    "emoji": lambda text: [match.span() for match in _EMOJI.finditer(text)],
    "refusal": refusal_ranges,
}
"""Name of a trivial concept → its character ranges ``[start, stop)`` in a text; of ``length``, the words."""

MATCHERS: dict[str, Callable[[str], list[Range]]] = {
    **TRIVIAL,
    **{name: _lexical(name, pattern, hints) for name, (pattern, hints) in CONTENT_PATTERNS.items()},
    "loop": loop_ranges,
    "foreign tail": tail_ranges,
    **PERSONAL,
}
"""Name of any concept with a text rule → its ranges; see ``TRIVIAL``."""


def find_ranges(text: str, name: str) -> list[Range]:
    """Ranges of the matcher ``name`` in ``text``, by start; they may nest, as list items do.

    Raises:
        KeyError: no such matcher.
    """
    return MATCHERS[name](text)
