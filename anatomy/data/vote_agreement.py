"""How far the votes of several people on the same pairs agree, with an error that knows of pairs and of people."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from anatomy.data.health_parts import VoteAgreement

MOST_PEOPLE = 10_000
"""People, and twos of people, that are counted apart: with more of them the error is by pair alone, or too large."""


class AgreementTable:
    """Agreement of votes; ``add`` those on one pair after the other.

    The mean over pairs of the share of twos of votes that agree has a variance to which twos contribute that share a
    pair or a person (dyadic clusters): ``Σ_pairs P² + Σ_people D² − Σ_pairs,people c² − Σ_twos (T² − Σ t²)``, where the
    last terms take out what is counted twice: twos of one pair that share a person, and the same two people again.
    """

    def __init__(self) -> None:
        self._pairs = self._votes = self._ties = 0
        self._disagreement = 0.0
        self._totals: Counter[str] = Counter()
        self._by_pair, self._inside, self._same = Square(), Square(), Square()
        self._people: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._twos: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._known = True

    def add_tie(self) -> None:
        """Count a pair without a winner."""
        self._ties += 1

    def add(self, votes: Sequence[str], people: Sequence[str] = ()) -> None:
        """Take the votes on one pair into account.

        Args:
            votes: what each is for, in words that mean the same for every pair.
            people: who gave each; empty if that is not known.
        """
        n = len(votes)
        if n < 2:
            return
        counts = Counter(votes)
        different = n**2 - sum(count**2 for count in counts.values())
        self._pairs += 1
        self._votes += n
        self._disagreement += different / (n - 1)
        self._totals.update(counts)
        self._by_pair.add(1 - different / (n * (n - 1)), 1.0)
        self._known = self._known and len(people) == n and len(set(people)) == n
        if self._known:
            self._add_people(votes, people)

    def _add_people(self, votes: Sequence[str], people: Sequence[str]) -> None:
        weight = 2 / (len(votes) * (len(votes) - 1))
        for a, (person, vote) in enumerate(zip(people, votes, strict=True)):
            agree = sum(other == vote for other in votes) - 1
            part = weight * agree, weight * (len(votes) - 1)
            _put(self._people[person], part)
            self._inside.add(*part)
            for b in range(a + 1, len(votes)):
                one = weight * (votes[b] == vote), weight
                key = (person, people[b]) if person < people[b] else (people[b], person)
                if key in self._twos or len(self._twos) < MOST_PEOPLE:
                    _put(self._twos[key], one)
                    self._same.add(*one)
        self._known = len(self._people) <= MOST_PEOPLE

    def found(self) -> VoteAgreement | None:
        """How far votes agree; None without any."""
        if not self._pairs:
            return None
        total = sum(self._totals.values())
        expected = (total**2 - sum(count**2 for count in self._totals.values())) / (total - 1)
        mean = self._by_pair.mean
        error, people = self._error(mean)
        return VoteAgreement(
            pairs=self._pairs,
            votes=self._votes,
            ties=self._ties,
            percent=round(mean, 4),
            error=None if error is None else round(error, 4),
            people=people,
            alpha=round(1 - self._disagreement / expected, 4) if expected else None,
        )

    def _error(self, mean: float) -> tuple[float | None, int | None]:
        """The standard error of the mean agreement, and the number of people; by pair alone if they are not known.

        Each part is scaled by G / (G − 1) for its G clusters, as is usual.
        """
        if self._pairs < 2:
            return None, None
        by_pair = self._by_pair.about(mean)
        variance = by_pair * self._pairs / (self._pairs - 1)
        if not self._known or len(self._people) < 2:
            return math.sqrt(variance) / self._pairs, None
        count = len(self._people)
        by_person = sum((agree - mean * weight) ** 2 for agree, weight in self._people.values())
        twos = sum((agree - mean * weight) ** 2 for agree, weight in self._twos.values()) - self._same.about(mean)
        shared = (by_person - self._inside.about(mean) - twos) * count / (count - 1)
        return math.sqrt(max(variance + shared, variance)) / self._pairs, count


class Square:
    """``Σ (a − m·w)²`` for any m, from sums."""

    def __init__(self) -> None:
        self._aa = self._aw = self._ww = self._a = self._w = 0.0

    def add(self, a: float, w: float) -> None:
        """Add a term."""
        self._aa += a * a
        self._aw += a * w
        self._ww += w * w
        self._a += a
        self._w += w

    @property
    def mean(self) -> float:
        """``Σ a / Σ w``."""
        return self._a / self._w

    def about(self, m: float) -> float:
        """The sum of squares about ``m``."""
        return max(self._aa - 2 * m * self._aw + m * m * self._ww, 0.0)


def _put(sums: list[float], part: tuple[float, float]) -> None:
    sums[0] += part[0]
    sums[1] += part[1]
