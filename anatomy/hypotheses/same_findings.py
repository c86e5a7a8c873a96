"""Findings that say the same, as one: those of one concept, or of signals that go together, in much the same rows.

A group has a seed, which all of its members are like, or one of the concepts among them is. Seeds are taken in a fixed
order: tests of concepts before those of clusters, those of the whole set before those of contexts, then by strength.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from anatomy.hypotheses.contexts import Contexts, in_common, mostly_shared
from anatomy.hypotheses.views import EVERYWHERE, Responses

ALIKE = 0.5
"""Correlation over the rows from which on two signals are one finding."""
CARRIES = 0.8
"""Share of all pairs that differ in a response, from which on a context holds the finding, and not the whole set."""

Test = Mapping[str, Any]
"""A line of ``hypotheses.parquet``."""


class Likeness(NamedTuple):
    """Which responses have signals that go together, and which contexts share most rows of the smaller one."""

    responses: Mapping[str, int]
    alike_MM: Bool[np.ndarray, "M M"]
    contexts: Mapping[str, int]
    shared_KK: Bool[np.ndarray, "K K"]

    @classmethod
    def of(cls, signals: Sequence[Responses], contexts: Contexts) -> Likeness:
        """Compare all signals and contexts; a response that stands in several of ``signals`` is the first of these."""
        ids = [name for part in signals for name in part.ids]
        first = {name: place for place, name in reversed(list(enumerate(ids)))}
        kept = sorted(first.values())
        values_NM = np.hstack([np.asarray(part.values_NM, np.float32) for part in signals])[:, kept]
        mean_M = values_NM.mean(axis=0, dtype=np.float64)
        covariance_MM = (values_NM.T @ values_NM).astype(np.float64) / max(len(values_NM), 1) - np.outer(mean_M, mean_M)
        spread_M = np.sqrt(np.maximum(np.diag(covariance_MM), 0))
        least_MM = ALIKE * np.outer(spread_M, spread_M)
        return cls(
            {ids[place]: number for number, place in enumerate(kept)},
            (least_MM > 0) & (covariance_MM >= least_MM),
            {name: number for number, name in enumerate(contexts.ids)},
            mostly_shared(*in_common(contexts.member_KN)),
        )

    def responses_alike(self, one: str, other: str) -> bool:
        """Whether the signals go together; a response that is not known goes with itself only."""
        places = [self.responses.get(name, -1) for name in (one, other)]
        return one == other or (min(places) >= 0 and bool(self.alike_MM[places[0], places[1]]))

    def contexts_shared(self, one: str, other: str) -> bool:
        """Whether most rows of the smaller context are in the other; all contexts lie in the whole set."""
        places = [self.contexts.get(name, -1) for name in (one, other)]
        known = min(places) >= 0 and bool(self.shared_KK[places[0], places[1]])
        return known or one == other or EVERYWHERE in (one, other)


NOTHING_KNOWN = Likeness({}, np.zeros((0, 0), bool), {}, np.zeros((0, 0), bool))
"""Nothing is alike but for what has the same name."""


def same_finding(seed: Test, test: Test, likeness: Likeness) -> bool:
    """Whether ``test`` says what ``seed`` says.

    The responses are one: they follow one concept, or their signals go together. Leaning to one side, the two stand
    where most rows are shared. Leaning to opposite sides, the test says no more than that there is less of it
    here: the win rate inside does not lean its way.
    """
    one_concept = seed["concept"] is not None and seed["concept"] == test["concept"]
    if not one_concept and not likeness.responses_alike(seed["response"], test["response"]):
        return False
    if seed["direction"] == test["direction"]:
        return likeness.contexts_shared(seed["context"], test["context"])
    return test["view"] != "global" and not leans_inside(test)


def leans_inside(test: Test) -> bool:
    """Whether the interval of the win rate lies on the side to which the test leans; not where nothing differs."""
    return bool(test["win_rate_low"] > 0.5 if test["direction"] == "chosen" else test["win_rate_high"] < 0.5)


def grouped(tests: Sequence[Test], likeness: Likeness) -> list[list[int]]:
    """Places of the tests, given strongest first, in groups, the seed first; groups in the order of their seeds."""

    def order(place: int) -> tuple[bool, bool]:
        test = tests[place]
        return (test["response"] != test["concept"], test["view"] != "global")

    left = sorted(range(len(tests)), key=order)
    groups = []
    while left:
        seed = left[0]
        group = [seed, *(place for place in left[1:] if same_finding(tests[seed], tests[place], likeness))]
        named = [place for place in group if tests[place]["response"] == tests[place]["concept"]]
        group += [place for place in left if place not in set(group)
                  and any(_follows(tests[place], tests[one], likeness) for one in named)]  # fmt: skip
        members = set(group)
        left = [place for place in left if place not in members]
        groups.append(group)
    return groups


def _follows(test: Test, concept: Test, likeness: Likeness) -> bool:
    return bool(test["concept"] == concept["concept"]) and same_finding(concept, test, likeness)


def leading(group: Sequence[Test], whole: Mapping[str, Test], rows: int) -> Test:
    """The test of a group that stands for it: of its concept where one is there, and where it happens.

    That is the whole set, unless a context holds nearly all pairs that differ in the response.

    Args:
        group: tests of one group, the seed first.
        whole: the test of each response over the whole set, found or not.
        rows: rows of the set.
    """
    seed = group[0]
    same = [test for test in group if test["response"] == seed["response"] and test["direction"] == seed["direction"]]
    everywhere = whole.get(seed["response"])
    if everywhere is None:
        return seed
    differing = everywhere["differ"] * rows
    inside = [test for test in same if test["view"] != "global" and leans_inside(test)]
    carrying = [test for test in inside if test["differ"] * test["n"] >= CARRIES * differing > 0]
    return min(carrying, key=lambda test: test["n"], default=seed)
