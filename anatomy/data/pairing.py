"""From judged prompts to pairs: which responses are paired, and how votes on one pair become one label."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anatomy.data.conversations import split_shared
from anatomy.data.faults import TIE, UNPAIRED, Fault
from anatomy.data.judged import Judged
from anatomy.data.vote_agreement import AgreementTable
from anatomy.types import Message, Pair, content_hash

LABELS = frozenset({0.0, 1.0})
MODEL_FACTS = ("model", "generator")


def pairs_of(judged: Judged, mode: str) -> Iterator[Pair | Fault]:
    """The pairs of one judged prompt (``best-worst``, ``all`` or ``adjacent``), whose weights sum to 1.

    The index of each is its first source row. Equal scores make no pair; a prompt of which nothing is left is a fault.
    """
    row = judged.rows[0]
    if len(judged.conversations) < 2:
        yield Fault(row, UNPAIRED, "the only response to its prompt", judged.rows)
        return
    places = _paired(judged.scores, mode)
    if not places:
        yield Fault(row, TIE, f"{len(judged.scores)} responses with the same score", judged.rows)
    for better, worse in places:
        prompt, chosen, rejected = split_shared(judged.conversations[better], judged.conversations[worse])
        yield Pair(
            row,
            prompt,
            chosen,
            rejected,
            _facts(judged, better, worse),
            judged.tools,
            judged.template_kwargs,
            judged.rows,
            1.0 / len(places),
        )


def _paired(scores: Sequence[float], mode: str) -> list[tuple[int, int]]:
    if mode == "best-worst":
        best, worst = (chosen(range(len(scores)), key=scores.__getitem__) for chosen in (max, min))
        return [(best, worst)] if scores[best] > scores[worst] else []
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    if mode == "all":
        return [(a, b) for number, a in enumerate(order) for b in order[number + 1 :] if scores[a] > scores[b]]
    return [(a, b) for a, b in itertools.pairwise(order) if scores[a] > scores[b]]


def _facts(judged: Judged, better: int, worse: int) -> Mapping[str, Any]:
    """Metadata of a pair: what holds for both responses under its name, else under one name for each side."""
    found = dict(judged.metadata)
    if not LABELS.issuperset(judged.scores):  # more than a label
        scores = {"score_chosen": judged.scores[better], "score_rejected": judged.scores[worse]}
        found = {**scores, **found}
    if not any(judged.facts):
        return found
    chosen, rejected = judged.facts[better], judged.facts[worse]
    for name in {**chosen, **rejected}:
        if name in chosen and chosen[name] == rejected.get(name) and name not in MODEL_FACTS:
            found.setdefault(name, chosen[name])
            continue
        for side, facts in (("chosen", chosen), ("rejected", rejected)):
            if name in facts:
                found[f"{side}_model" if name in MODEL_FACTS else f"{name}_{side}"] = facts[name]
    return found


def together(group: Sequence[Judged]) -> Judged:
    """Several records of one prompt as one judged prompt."""
    first = group[0]
    return first._replace(
        rows=tuple(row for one in group for row in one.rows),
        conversations=[conversation for one in group for conversation in one.conversations],
        scores=[score for one in group for score in one.scores],
        metadata={},
        facts=[one.metadata for one in group],
    )


def prompt_key(judged: Judged) -> bytes:
    """What records of one prompt have in common."""
    prompt = judged.conversations[0][: judged.prompt]
    return bytes.fromhex(content_hash([prompt, judged.tools, judged.template_kwargs]))


def pair_key(judged: Judged) -> bytes:
    """What votes on one pair have in common, whichever response they are for."""
    context = [judged.tools, judged.template_kwargs]
    return bytes.fromhex(content_hash([sorted(map(content_hash, judged.conversations)), context]))


class Votes:
    """Votes on pairs as they come: one label a pair by majority, and how far the votes agree."""

    def __init__(self) -> None:
        self.agreement = AgreementTable()

    def majority(self, group: Sequence[Judged], voter: str | None) -> Pair | Fault:
        """The pair of all votes on it, with ``votes`` and ``vote_share`` as metadata; a fault where they are even."""
        won: Counter[str] = Counter()
        by_key: dict[str, list[Message]] = {}
        for vote in group:
            for conversation, score in zip(vote.conversations, vote.scores, strict=True):
                key = content_hash(conversation)
                by_key.setdefault(key, conversation)
                won[key] += int(score > 0)
        rows = tuple(row for vote in group for row in vote.rows)
        places = {key: str(place) for place, key in enumerate(sorted(won))}
        keys = [
            content_hash(conversation)
            for vote in group
            for conversation, score in zip(vote.conversations, vote.scores, strict=True)
            if score > 0
        ]
        people = [str(vote.metadata[voter]) for vote in group if voter is not None and voter in vote.metadata]
        self.agreement.add([places[key] for key in keys], people)
        ranked = sorted(won, key=lambda key: -won[key])
        if len(ranked) == 2 and won[ranked[0]] == won[ranked[1]]:
            self.agreement.add_tie()
            return Fault(rows[0], TIE, f"{won[ranked[0]]} of {len(group)} votes for either response", rows)
        prompt, chosen, rejected = split_shared(by_key[ranked[0]], by_key[ranked[-1]])
        first = group[0]
        metadata = {
            name: value
            for name, value in first.metadata.items()
            if all(vote.metadata.get(name) == value for vote in group)
        }
        if len(group) > 1:
            metadata |= {"votes": len(group), "vote_share": won[ranked[0]] / len(group)}
        return Pair(rows[0], prompt, chosen, rejected, metadata, first.tools, first.template_kwargs, rows)
