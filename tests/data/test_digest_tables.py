"""Compact digest tables count as a set and a Counter do."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from anatomy.data import digest_tables
from anatomy.data.digest_tables import DigestCounts, DigestSet
from anatomy.types import Pair


@pytest.fixture(autouse=True)
def few_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """New digests are taken over every 16 instead of every 65,536."""
    monkeypatch.setattr(digest_tables, "FEWEST_NEW", 16)


def test_a_set_knows_what_was_added() -> None:
    draw = random.Random(0)
    table, known = DigestSet(), set[int]()
    for digest in [0, 2**64 - 1, *(draw.randrange(3000) << 40 for _ in range(3000))]:
        assert (digest in table) == (digest in known)
        if digest not in known:
            table.add(digest)
            known.add(digest)
    assert all(digest in table for digest in known)


@pytest.mark.parametrize("number", [0, 1, 16, 1000])
def test_counts_are_those_of_a_counter(number: int) -> None:
    draw = random.Random(number)
    table, counter = DigestCounts(), Counter[int]()
    for digest in [0, 0, *(draw.randrange(200) << 50 for _ in range(number))][-number or 2 :]:
        table.add(digest)
        counter[digest] += 1
    assert sorted(table.counts()) == sorted(counter.values())
    assert sorted(table.counts()) == sorted(counter.values()), "asking changes nothing"


def test_nothing_was_added() -> None:
    assert len(DigestCounts().counts()) == 0
    assert 0 not in DigestSet()


def turn(content: str, role: str = "assistant", **more: object) -> dict[str, object]:
    return {"role": role, "content": content, **more}


def test_digests_differ_where_content_does() -> None:
    """Among them contents that look alike when parts are joined without their lengths."""
    sides = [
        [turn("ab")],
        [turn("a"), turn("b")],
        [turn("ab", name="x")],
        [turn("", "assistantab")],
        [turn('{"content":"ab","name":"x","role":"assistant"}', "")],
        [turn("a\ud800")],
    ]
    pairs = [Pair(0, [turn("Q", "user")], one, other) for one in sides for other in sides if one is not other]
    assert len({pair.digest for pair in pairs}) == len(pairs)
    assert all(Pair(1, pair.prompt, pair.rejected, pair.chosen).digest == pair.digest ^ 1 for pair in pairs)
    assert len({pair.digests.chosen for pair in pairs}) == len(sides)
    context = [{}, {"tools": [{}]}, {"chat_template_kwargs": {"a": 1}}]
    assert len({Pair(0, [turn("Q", "user")], sides[0], sides[1], **more).digests.prompt for more in context}) == 3
