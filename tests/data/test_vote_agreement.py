"""The agreement of votes has an error that is right where pairs differ, and where people do."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest

from anatomy.data.vote_agreement import AgreementTable

PAIRS, VOTES = 150, 3


def drawn(rng: np.random.Generator, people: int, careless: float, hard: float) -> list[tuple[list[str], list[str]]]:
    """Votes on pairs: some people vote at random, some pairs have no right answer."""
    lazy = rng.random(people) < careless
    found = []
    for _ in range(PAIRS):
        who = rng.choice(people, VOTES, replace=False)
        is_hard = rng.random() < hard
        votes = [str(int(rng.random() < (0.5 if is_hard or lazy[one] else 0.95))) for one in who]
        found.append((votes, [f"p{one}" for one in who]))
    return found


def table_of(votes: list[tuple[list[str], list[str]]], known: bool = True) -> AgreementTable:
    table = AgreementTable()
    for said, who in votes:
        table.add(said, who if known else ())
    return table


def brute_force(votes: list[tuple[list[str], list[str]]]) -> float:
    """The sum over all twos of twos of votes that share the pair or a person, as it is defined."""
    twos = []
    for number, (said, who) in enumerate(votes):
        weight = 2 / (len(said) * (len(said) - 1))
        for a, b in itertools.combinations(range(len(said)), 2):
            twos.append((number, {who[a], who[b]}, weight, said[a] == said[b]))
    mean = sum(weight * agree for _, _, weight, agree in twos) / len(votes)
    pairs, people = len(votes), len({one for _, who in votes for one in who})
    total = 0.0
    for pair, who, weight, agree in twos:
        for other_pair, others, other_weight, other_agree in twos:
            part = weight * (agree - mean) * other_weight * (other_agree - mean)
            if pair == other_pair:
                total += part * pairs / (pairs - 1)
            elif who & others:
                total += part * people / (people - 1)
    return total


@pytest.mark.parametrize("people", [3, 4, 12])
def test_the_error_is_the_sum_over_twos_that_share_a_pair_or_a_person(people: int) -> None:
    votes = drawn(np.random.default_rng(people), people, 0.4, 0.3)[:25]
    found = table_of(votes).found()
    alone = table_of(votes, known=False).found()
    assert found is not None
    assert alone is not None
    assert found.people == len({one for _, who in votes for one in who})
    assert (alone.people, alone.percent) == (None, found.percent)
    assert alone.error is not None
    expected = max(brute_force(votes), (alone.error * 25) ** 2) ** 0.5 / 25
    assert found.error == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("careless", "hard"), [(0.0, 0.0), (0.0, 0.4), (0.4, 0.0), (0.4, 0.3)])
def test_intervals_hold_the_truth_at_the_nominal_rate(careless: float, hard: float) -> None:
    """Also where people differ, which errors by pair alone miss."""
    rng, sets = np.random.default_rng(7), 150
    found = defaultdict(list)
    for _ in range(sets):
        votes = drawn(rng, 40, careless, hard)
        for known in (True, False):
            agreement = table_of(votes, known).found()
            assert agreement is not None
            found[known].append((agreement.percent, agreement.error))
    truth = np.mean([share for share, _ in found[True]])
    covered = {
        known: np.mean([abs(share - truth) <= 1.96 * error for share, error in some]) for known, some in found.items()
    }
    assert covered[True] >= 0.89
    if careless and not hard:
        assert covered[False] < covered[True] - 0.1


def test_one_pair_has_no_error() -> None:
    table = AgreementTable()
    table.add(["0", "1"], ["a", "b"])
    found = table.found()
    assert found is not None
    assert (found.percent, found.error, found.people) == (0.0, None, None)
