"""What the names of columns say: one table of words, found in any spelling (case, hyphens, digits, plural, a typo)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

PROMPT = (
    *("prompt", "question", "instruction", "query", "conversation", "message", "context", "input", "problem"),
    *("request", "dialogue", "dialog", "post", "history", "anchor"),
)
"""Words for a prompt; where several columns have one, the first word here wins."""
RESPONSE = (
    *("response", "completion", "answer", "output", "reply", "generation", "candidate", "continuation", "conversation"),
    *("assistant", "message", "summary", "solution", "ref", "result", "text"),
)
CHOSEN = (
    "chosen",
    "preferred",
    "better",
    "win",
    "winning",
    "winner",
    "accepted",
    "selected",
    "best",
    "good",
    "positive",
)
REJECTED = (
    *(
        "rejected",
        "nonpreferred",
        "worse",
        "lose",
        "losing",
        "loser",
        "declined",
        "unselected",
        "worst",
        "bad",
        "negative",
    ),
    *("dispreferred", "unpreferred", "reject", "lost", "unchosen", "notchosen", "notpreferred", "nonchosen"),
)
BETTER_BY_TRUTH, WORSE_BY_TRUTH = ("correct", "safe"), ("incorrect", "wrong", "unsafe", "hallucinated")
"""Words of the better and the worse response that often name other columns: they count where no layout is found."""
WINNER = (
    *("winner", "preference", "preferred", "better", "best", "choice", "label", "verdict", "vote", "safer", "chosen"),
    *("selected", "judgement", "judgment", "win", "outcome", "feedback", "pref"),
)
DIFFERENCE = ("difference", "diff", "margin", "delta")
SCORE = (
    "score",
    "rating",
    "reward",
    "grade",
    "rank",
    "ranking",
    "quality",
    "helpfulness",
    "upvote",
    "likert",
    "elo",
    "star",
)
RANK = ("rank", "ranking", "position")
MODEL = ("model", "generator", "author", "source")
LENGTH = ("verbosity", "complexity", "length", "token", "word")
"""Scales that say how much a response says, not how well."""
VOTER = ("annotator", "rater", "labeler", "labeller", "worker", "evaluator", "voter")
VOTES = ("individual", "annotation", "vote", "annotator")
MEDIA = ("image", "audio", "video", "img", "picture", "photo", "pixel", "frame", "speech")
CONTINUED = ("initial", "prefix", "prefill", "step", "partial", "beginning")
LABEL = (
    *("label", "desirable", "good", "thumb", "accepted", "correct", "liked", "preferred", "feedback", "positive"),
    *("safe", "tag", "chosen"),
)
SYSTEM, HISTORY, TOOL = ("system",), ("history",), ("tool", "function")
FILLER = (
    "full",
    "text",
    "content",
    "body",
    "raw",
    "original",
    "user",
    "list",
    "human",
    "turn",
    "final",
    "model",
    "orig",
    "edited",
    "revised",
)
NUMBERINGS = (
    ("a", "b", "c", "d", "e", "f", "g", "h"),
    ("0", "1", "2", "3", "4", "5", "6", "7", "8"),
    ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    ("first", "second", "third", "fourth"),
    ("left", "right"),
    ("one", "two", "three", "four"),
    ("j", "k"),
)
"""What tells responses apart in the names of their columns, in order."""
NUMBERS = {word for numbering in NUMBERINGS for word in numbering}

KNOWN = {
    *(PROMPT + RESPONSE + CHOSEN + REJECTED + WINNER + DIFFERENCE + SCORE + RANK + MODEL + LENGTH + VOTER + VOTES),
    *(MEDIA + CONTINUED + LABEL + SYSTEM + HISTORY + TOOL + FILLER + BETTER_BY_TRUTH + WORSE_BY_TRUTH),
}
TYPO_LENGTH = 6
"""Letters of the shortest word that is known with a typo: shorter ones are too near to other words."""
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
NEGATION = ("non", "not", "un", "dis")


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name: lower case, singular, a typo corrected, ``non_preferred`` as one."""
    found: list[str] = []
    for word in map(str.lower, WORD.findall(name)):
        if found and found[-1] in NEGATION:
            word = found.pop() + word
        found.append(_known(word) or word)
    return tuple(found)


@lru_cache(maxsize=4096)
def corrected(name: str) -> str | None:
    """The name without its typos; None if it has none."""
    pairs = [(word, _known(word)) for word in map(str.lower, WORD.findall(name))]
    if not any(known and word not in (known, f"{known}s", f"{known[:-1]}ies") for word, known in pairs):
        return None
    return "_".join(known or word for word, known in pairs)


def _known(word: str) -> str | None:
    """The known word that this is: as it stands, its plural, or with one typo."""
    for known in (word, word.removesuffix("s"), f"{word.removesuffix('ies')}y"):
        if known in KNOWN:
            return known
    if len(word) < TYPO_LENGTH:
        return None
    near = [
        known for known in KNOWN if len(known) >= TYPO_LENGTH - 1 and known[0] == word[0] and _one_typo(word, known)
    ]
    return near[0] if len(near) == 1 else None


def _one_typo(word: str, known: str) -> bool:
    """Whether one letter is wrong, missing or too much, or two neighbours are swapped."""
    start = next((i for i, (ours, theirs) in enumerate(zip(word, known, strict=False)) if ours != theirs), None)
    if start is None:
        return abs(len(word) - len(known)) == 1
    ours, theirs = word[start:], known[start:]
    swapped = ours[:2] == theirs[1::-1] and ours[2:] == theirs[2:]
    return swapped or ours[1:] == theirs[1:] or ours[1:] == theirs or ours == theirs[1:]


def is_only(words: Sequence[str], *tables: Sequence[str]) -> bool:
    """Whether each word is in a table, and at least one in the first."""
    return any(word in tables[0] for word in words) and all(any(word in table for table in tables) for word in words)


def first_of(words: Sequence[str], table: Sequence[str]) -> int:
    """Place in a table of the first of its words that is here; its length if none is."""
    return min((table.index(word) for word in words if word in table), default=len(table))


def words_of_path(name: str) -> tuple[str, ...]:
    """The words of a field's path; names around it that say nothing (``data.chosen``) are left out."""
    *around, last = name.split(".")
    return tuple(word for part in around for word in words_of(part) if word in KNOWN) + words_of(last)
