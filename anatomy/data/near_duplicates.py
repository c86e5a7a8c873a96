"""Prompts that say nearly the same as another: templates around one question, and copies with small edits.

Two prompts are near-duplicates if the Jaccard similarity of their 5-grams of letters is at least 0.7 and they hold the
same numbers. Capitals, punctuation and white space do not count, nor do 5-grams that one prompt in ten has (a template
around everything). MinHash finds candidates, the 5-grams themselves decide. A group is what is that near to its first
prompt. A set with more than 4,096 distinct prompts is read from a uniform sample of 2,048 to 4,096.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import regex
from datasketch import MinHash
from jaxtyping import UInt32

from anatomy.data.health_parts import NearDuplicates, NotedRow, PromptGroup
from anatomy.text.form_differences import difference_at
from anatomy.types import Message, Pair

MOST_PROMPTS = 4096
SIMILAR = 0.7
GRAM = 5
END_CHARS = 500
"""Characters that are read from either end of a long prompt."""
COMMON, FROM_PROMPTS = 0.1, 50
"""Share of prompts from which a 5-gram is common, and prompts from which that is asked."""
BANDS, BAND_ROWS = 12, 3
"""Prompts of similarity 0.7 share a band of their MinHash with probability 1 − (1 − 0.7³)¹² = 0.994."""
MOST_CANDIDATES = 8
"""Groups that are looked at for one band."""
SHOWN_GROUPS, SHOWN_PROMPTS, SHOWN_CHARS = 5, 3, 120
_MIX = np.uint64(0x9E3779B97F4A7C15)
_APART = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_NUMBERS = regex.compile(r"\p{N}+")


@dataclass(frozen=True)
class _Prompt:
    row: int
    text: str
    numbers: tuple[str, ...]
    grams: UInt32[np.ndarray, " G"]


@dataclass
class _Group:
    first: _Prompt
    others: list[_Prompt] = field(default_factory=list)


class PromptSample:
    """A uniform sample of distinct prompts; ``add`` one retained row after the other.

    Memory holds at most 1,000 characters of each of 4,096 prompts.
    """

    def __init__(self, most: int = MOST_PROMPTS) -> None:
        self._most, self._below = most, 1 << 64
        self._texts: dict[int, tuple[int, str]] = {}

    def add(self, pair: Pair) -> None:
        """Take one row into account."""
        digest = pair.digests.prompt
        if digest >= self._below or digest in self._texts:
            return
        self._texts[digest] = pair.source_rows[0], _asked(pair.prompt)
        while len(self._texts) > self._most:
            self._below >>= 1
            self._texts = {digest: text for digest, text in self._texts.items() if digest < self._below}

    def found(self, distinct: int) -> NearDuplicates | None:
        """Groups of near-duplicates among the sampled of ``distinct`` prompts; None where there are none."""
        groups = [group for group in _groups(_prompts(list(self._texts.values()))) if group.others]
        if not groups:
            return None
        largest = sorted(groups, key=lambda group: (-len(group.others), group.first.row))[:SHOWN_GROUPS]
        return NearDuplicates(
            sampled=len(self._texts),
            distinct=distinct,
            prompts=sum(1 + len(group.others) for group in groups),
            groups=len(groups),
            largest=[_shown(group) for group in largest],
        )


def _asked(messages: Sequence[Message]) -> str:
    text = "\n".join(message["content"] for message in messages if message["role"] != "system")
    return text if len(text) <= 2 * END_CHARS else text[:END_CHARS] + text[-END_CHARS:]


def _prompts(sampled: list[tuple[int, str]]) -> list[_Prompt]:
    """The sampled prompts with their uncommon 5-grams, in the order of their rows; those without any are left out."""
    read = []
    for row, text in sorted(sampled):
        letters = letters_of(text)
        if letters:
            read.append(_Prompt(row, text, tuple(_NUMBERS.findall(text)), grams_of(letters)))
    if len(read) < FROM_PROMPTS:
        return read
    gram, prompts = np.unique(np.concatenate([prompt.grams for prompt in read]), return_counts=True)
    common = gram[prompts > COMMON * len(read)]
    kept = [_Prompt(one.row, one.text, one.numbers, _without(one.grams, common)) for one in read]
    return [prompt for prompt in kept if len(prompt.grams)]


def letters_of(text: str) -> str:
    """Letters and digits of a text, in lower case."""
    return str(_APART.sub("", text.casefold()))


def grams_of(letters: str) -> UInt32[np.ndarray, " G"]:
    """Distinct hashes of the 5-grams of a text, sorted; a shorter text is one gram."""
    codes = np.frombuffer(letters.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    size = min(GRAM, len(codes))
    grams = np.zeros(len(codes) - size + 1, np.uint64)
    for place in range(size):
        grams = (grams ^ codes[place : place + len(grams)]) * _MIX
    hashes = (grams >> np.uint64(32)).astype(np.uint32)
    hashes.sort()
    return np.compress(np.r_[True, hashes[1:] != hashes[:-1]], hashes)


def _without(grams: UInt32[np.ndarray, " G"], common: UInt32[np.ndarray, " C"]) -> UInt32[np.ndarray, " K"]:
    """The elements of ``grams`` that are not in ``common``, which is sorted."""
    if not len(common):
        return grams
    place = np.minimum(np.searchsorted(common, grams), len(common) - 1)
    return np.compress(common[place] != grams, grams)


def _groups(prompts: list[_Prompt]) -> list[_Group]:
    """Groups by their first prompt; each prompt joins the first group that it is near to."""
    groups: list[_Group] = []
    firsts: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    sketch = MinHash(num_perm=BANDS * BAND_ROWS, hashfunc=int)
    for prompt in prompts:
        sketch.clear()
        sketch.update_batch(prompt.grams.tolist())
        keys = [(band, row.tobytes()) for band, row in enumerate(sketch.hashvalues.reshape(BANDS, BAND_ROWS))]
        candidates = dict.fromkeys(place for key in keys if key in firsts for place in firsts[key])
        group = next((one for one in map(groups.__getitem__, candidates) if _near(one.first, prompt)), None)
        if group is not None:
            group.others.append(prompt)
            continue
        for key in keys:
            if len(firsts[key]) < MOST_CANDIDATES:
                firsts[key].append(len(groups))
        groups.append(_Group(prompt))
    return groups


def _near(first: _Prompt, second: _Prompt) -> bool:
    if first.numbers != second.numbers:
        return False
    return jaccard(first.grams, second.grams) >= SIMILAR


def jaccard(first: UInt32[np.ndarray, " A"], second: UInt32[np.ndarray, " B"]) -> float:
    """Share of the elements of two sets that both have."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / (len(first) + len(second) - both)


def _shown(group: _Group) -> PromptGroup:
    """The first prompt from its beginning, others from just before they differ from it."""
    first = " ".join(group.first.text.split())
    examples = [NotedRow(index=group.first.row, excerpt=_cut(first))]
    for one in group.others[: SHOWN_PROMPTS - 1]:
        line = " ".join(one.text.split())
        start = max(0, difference_at(first, line) - SHOWN_CHARS // 3)
        examples.append(NotedRow(index=one.row, excerpt="…" * (start > 0) + _cut(line[start:])))
    return PromptGroup(prompts=1 + len(group.others), examples=examples)


def _cut(line: str) -> str:
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"
