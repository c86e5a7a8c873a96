"""Stream preference rows as pairs, from anywhere and in any layout.

Records are read one at a time and nothing is kept of them, unless they have to be joined: then they wait on disk. A
random sample takes a first pass that only counts; two columns that say which response is better, one that compares.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from anatomy.data.faults import STRUCTURAL, UNPAIRED, Fault
from anatomy.data.grouping import GroupIndex
from anatomy.data.health_parts import RowReading
from anatomy.data.judged import Judged, RecordReader
from anatomy.data.layouts import recognise
from anatomy.data.pairing import Votes, pair_key, pairs_of, prompt_key, together
from anatomy.data.readers import Source
from anatomy.data.reading import FileReading
from anatomy.data.rival_labels import agreed
from anatomy.data.row_samples import sample_of
from anatomy.data.sources import find_sources
from anatomy.errors import RowsError
from anatomy.settings import RowSettings
from anatomy.text.visible import without_surrogates
from anatomy.types import Pair

MOST_ODD = 10
"""Rows of another shape that never stop a set, however few rows it has."""


class PairStream:
    """The rows that settings name, iterable any number of times; ``format`` is known before the first row is read.

    Iterating yields a :class:`Pair`, or a :class:`Fault` for rows that cannot become one, in source order (records that
    have to be joined come last). The index of either is its first source row; where ``pairs`` makes several of one row,
    its place in the stream.

    Raises:
        RowsError: the set as a whole cannot be read (see ``anatomy.data.readers`` and ``layouts``).
    """

    def __init__(self, settings: RowSettings) -> None:
        self.settings = settings
        self.sources = find_sources(settings)
        self._readings: dict[int, FileReading | None] = {}
        self._first = next(self._known())
        self.format = self._first.format
        self._tallies = _Tallies()

    def _known(self) -> Iterator[FileReading]:
        """How each file is read that has rows."""
        for number in range(len(self.sources)):
            reading = self._reading(number)
            if reading is not None:
                yield reading
        raise RowsError(f"{self.settings.rows}: no rows in {_names(self.sources)}; write or download the set again")

    def _reading(self, number: int) -> FileReading | None:
        """How a file is read; None for one without rows."""
        if number not in self._readings:
            sample = sample_of(self.sources[number], self.settings.limit)
            found = recognise(sample, self.settings) if sample else None
            if found is not None and found.rivals:
                found = agreed(self.sources[number], found, self.settings.rows)
            self._readings[number] = found
        return self._readings[number]

    def __iter__(self) -> Iterator[Pair | Fault]:
        self._tallies = _Tallies()
        for place, item in enumerate(self._items()):
            self._tallies.add(item)
            yield item if self.settings.pairs == "best-worst" else replace(item, index=place)
        self._tallies.check(self.settings)

    def _items(self) -> Iterator[Pair | Fault]:
        with GroupIndex() as votes, GroupIndex() as prompts:
            for judged, reading in self._judged():
                self._tallies.rows += 1
                if isinstance(judged, Fault):
                    yield judged
                elif reading.has_voters:
                    votes.add(pair_key(judged), judged)
                elif reading.joins:
                    self._tallies.labels[judged.scores[0] > 0] += reading.layout == "unpaired"
                    prompts.add(prompt_key(judged), judged)
                else:
                    yield from pairs_of(judged, self.settings.pairs)
            for group in self._sampled_groups(votes):
                yield self._tallies.votes.majority(group, self._voter())
            yield from self._from_prompts(prompts)

    def _voter(self) -> str | None:
        """The column of the people whose votes are put together."""
        known = [reading for reading in self._readings.values() if reading is not None and reading.has_voters]
        return without_surrogates(str(known[0].roles.vote)) if known else None

    def _from_prompts(self, prompts: GroupIndex) -> Iterator[Pair | Fault]:
        """Pairs of the responses to each prompt.

        Raises:
            RowsError: no prompt has responses that can be paired.
        """
        paired = False
        for group in self._sampled_groups(prompts):
            for item in pairs_of(together(group), self.settings.pairs):
                one_label = isinstance(item, Fault) and bool(sum(self._tallies.labels.values()))
                paired = paired or isinstance(item, Pair)
                yield (
                    replace(item, reason=UNPAIRED, detail="all responses to its prompt have one label")
                    if (one_label and isinstance(item, Fault))
                    else item
                )
        if prompts.size and not paired:
            raise RowsError(
                f"{self.settings.rows}: unpaired: {prompts.size:,} responses, and no prompt has two of them that "
                "differ in label or score; name a set of pairs"
            )

    def _sampled_groups(self, index: GroupIndex) -> Iterator[list[Judged]]:
        """Groups of records; of more than the wanted sample, a random part."""
        count = index.count() if self.settings.sample is not None else 0
        wanted = None
        if self.settings.sample is not None and count > self.settings.sample:
            wanted = set(random.Random(self.settings.seed).sample(range(count), self.settings.sample))
        for place, group in enumerate(index.groups()):
            if wanted is None or place in wanted:
                yield group

    def _judged(self) -> Iterator[tuple[Judged | Fault, FileReading]]:
        """Each record in the way of its file, with how it is read; the sampled ones where records stand alone."""
        wanted = self._sampled()
        row = 0
        for number, source in enumerate(self.sources):
            reading = self._reading(number)
            if reading is None:
                continue
            reader = RecordReader(reading)
            for record in source.records():
                if self.settings.limit is not None and row >= self.settings.limit:
                    return
                if wanted is None or row in wanted or reading.joins:
                    self._tallies.count_votes(reader.votes(record.values))
                    yield reader.read(record, row), reading
                row += 1
            if self.settings.limit is not None and row >= self.settings.limit:
                return

    def _sampled(self) -> set[int] | None:
        """Positions of a uniform random sample without replacement; ``None`` for every row."""
        if self.settings.sample is None:
            return None
        rows = sum(source.count() for source in self.sources)
        rows = min(rows, self.settings.limit or rows)
        if self.settings.sample >= rows:
            return None
        return set(random.Random(self.settings.seed).sample(range(rows), self.settings.sample))

    def reading(self) -> RowReading:
        """How the rows are read, with what was noted while they were iterated."""
        known = [reading for reading in self._readings.values() if reading is not None]
        notes = list(dict.fromkeys(note for reading in known for note in reading.notes))
        others = sorted({reading.format for reading in known} - {self.format})
        if others:
            notes.append(f"other files are read as {', '.join(others)}")
        unread = {name: text for reading in known for name, text in reading.unread.items()}
        return RowReading(
            layout=self.format,
            map={"layout": self._first.layout, **_sound(self._first.roles.named())},
            notes=[without_surrogates(note) for note in (*notes, *self._tallies.notes())],
            unread=_sound(unread),
            votes=self._tallies.votes.agreement.found(),
        )


class _Tallies:
    """What one pass over the rows counts: rows, items, labels, votes, and rows of another shape."""

    def __init__(self) -> None:
        self.rows = self.made = 0
        self.labels: Counter[bool] = Counter()
        self.votes = Votes()
        self.odd: Counter[str] = Counter()
        self.first: dict[str, Fault] = {}

    def add(self, item: Pair | Fault) -> None:
        self.made += 1
        if isinstance(item, Fault) and item.reason in STRUCTURAL:
            self.odd[item.reason] += 1
            self.first.setdefault(item.reason, item)

    def count_votes(self, preferences: Sequence[float]) -> None:
        """Take the preferences of several people for one pair into account: which side each is for."""
        if preferences:
            self.votes.agreement.add([("-", "0", "+")[(vote > 0) - (vote < 0) + 1] for vote in preferences])

    def notes(self) -> list[str]:
        """Rows that became fewer or more, labels, and where rows of another shape begin."""
        found = []
        if self.rows != self.made:
            found.append(f"{self.rows:,} rows of the source make {self.made:,} pairs and faults")
        if self.labels:
            found.append(
                f"unpaired: {self.labels[True]:,} good and {self.labels[False]:,} bad responses; paired where a prompt "
                "has both"
            )
        if self.odd:
            first = min(self.first.values(), key=lambda fault: fault.source_rows[0])
            found.append(
                f"rows of another shape: {self.odd.total():,}, the first of them row {first.source_rows[0] + 1} "
                f"({first.reason}: {first.detail})"
            )
        return found

    def check(self, settings: RowSettings) -> None:
        """Refuse a set of which too many rows have another shape.

        Raises:
            RowsError: names the reasons, and the first row of each.
        """
        odd = self.odd.total()
        if odd < MOST_ODD or odd <= settings.most_faulty * self.rows:
            return
        reasons = "; ".join(
            f"{count:,} {reason}, first row {self.first[reason].source_rows[0] + 1}: {self.first[reason].detail}"
            for reason, count in self.odd.most_common(3)
        )
        raise RowsError(
            f"{settings.rows}: {odd:,} of {self.rows:,} rows cannot be read, more than {settings.most_faulty:.0%} "
            f"({reasons}); correct them, say with --map what is what, or raise --most-faulty"
        )


def read_pairs(settings: RowSettings) -> Iterator[Pair | Fault]:
    """Stream the rows that ``settings`` name, in order: pairs, and faults for rows that cannot become pairs.

    ``limit`` keeps the first rows; ``sample`` a seeded uniform sample of those, still in source order.

    Raises:
        RowsError: the set as a whole cannot be read; one line with file, row and remedy.
    """
    yield from PairStream(settings)


def _sound(texts: Mapping[str, str]) -> dict[str, str]:
    """Names and texts that UTF-8 can hold."""
    return {without_surrogates(name): without_surrogates(text) for name, text in texts.items()}


def _names(sources: list[Source]) -> str:
    return sources[0].name if len(sources) == 1 else f"any of {len(sources)} files"
