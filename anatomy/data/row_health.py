"""Data health: which rows are retained, why the others are not, and what is odd about the set.

Memory holds 8 bytes for each distinct row and 16 for each distinct prompt and response, what the bounded samples of
``canned`` and ``near_duplicates`` hold, and no other text beyond three examples a reason.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from anatomy.data import faults
from anatomy.data.canned import CannedTexts
from anatomy.data.content_sample import ContentSample
from anatomy.data.digest_tables import DigestCounts, DigestSet
from anatomy.data.faults import Fault
from anatomy.data.groups import GroupTable
from anatomy.data.health import RowHealth
from anatomy.data.health_parts import ModelSides, NotedRow, NotedRows, PromptRepeats, ResponseRepeats
from anatomy.data.lengths import LengthTable
from anatomy.data.near_duplicates import PromptSample
from anatomy.data.pair_faults import pair_faults
from anatomy.data.rating_range import RatingConflicts, RatingRange, contradiction
from anatomy.data.text_marks import TextMarks
from anatomy.errors import RowsError
from anatomy.types import SIDES, SPANS, Message, Pair

EXAMPLES = 3
TOP_NAMES = 20
MOST_NAMES = 10_000
NAME_CHARS = 200
SOURCE_COLUMNS = ("source", "dataset", "data_source")
CHOSEN_MODEL, REJECTED_MODEL = ((f"{side}_model", f"{side}-model", f"model_{side}") for side in SIDES)
RATING_COLUMNS = [
    (pattern.format(word, "chosen"), pattern.format(word, "rejected"))
    for word in ("score", "rating", "reward", "avg_rating")
    for pattern in ("{0}_{1}", "{1}_{0}")
]


class CheckResult(NamedTuple):
    """What a tokeniser says of one pair: a reason against it (one of ``faults.REASONS``) or None, and tokens a span.

    ``lengths`` is None if they are not given row by row. ``detail`` is shown beside the reason; without one, an excerpt
    of the row is. ``flags`` are what is odd about a row that is retained (of ``faults.FLAGS``).
    """

    reason: str | None
    lengths: Mapping[str, int] | None
    detail: str = ""
    flags: tuple[str, ...] = ()


RowCheck = Callable[[Pair], CheckResult | None]


class PreparedCheck(Protocol):
    """A check that works faster if it knows the pairs that come next."""

    def prepare(self, pairs: Sequence[Pair]) -> None:
        """Take note of the pairs that are checked next."""

    def __call__(self, pair: Pair) -> CheckResult | None:
        """What is found of a pair."""


class HealthTable:
    """Counts over all rows seen so far; ``add`` one row after the other, in order.

    A duplicate keeps its first row. If two rows have the same responses and opposite labels, the first is kept and
    the later one removed: one pass over the rows cannot know which label is right, and the count says how many.
    Distinct prompts, responses, lengths, sources and models are those of retained rows.
    """

    def __init__(
        self, format_name: str, check: RowCheck | None = None, seed: int = 0, group_by: Sequence[str] = ()
    ) -> None:
        self._format, self._check = format_name, check
        self._rows = 0
        self._reasons: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._marks = TextMarks()
        self._examples: defaultdict[str, list[NotedRow]] = defaultdict(list)
        self._seen = DigestSet()
        self._prompts, self._responses = DigestCounts(), DigestCounts()
        self._sources: Counter[str] = Counter()
        self._models = {side: Counter[str]() for side in SIDES}
        self._lengths, self._unit = {span: LengthTable() for span in SPANS}, "characters"
        self._content, self._groups = ContentSample(seed), GroupTable(group_by)
        self._canned, self._asked, self._ratings = CannedTexts(), PromptSample(), RatingRange()
        self._conflicts = RatingConflicts()

    @property
    def retained(self) -> int:
        """Rows without a reason against them."""
        return self._rows - self._reasons.total()

    def add(self, row: Pair | Fault) -> str:
        """Take one row into account; returns its status, ``"retained"`` or the first reason against it."""
        self._rows += 1
        if isinstance(row, Fault):
            return self._note(self._reasons, row.reason, row.source_rows[0], row.detail)
        source, *models = source_and_models(row.metadata)
        status = self._status(row)
        if status == faults.RETAINED:
            _count(self._sources, source)
            for side, model in zip(SIDES, models, strict=True):
                _count(self._models[side], model)
        self._groups.add(row, status, models)
        return status

    def _status(self, row: Pair) -> str:
        ratings = read_ratings(row.metadata)
        reason = self._reason(row, ratings)
        verdict = self._check(row) if self._check is not None and reason is None else None
        reason = reason or (verdict.reason if verdict else None)
        if reason is not None:
            detail = verdict.detail if verdict else ""
            return self._note(self._reasons, reason, row.source_rows[0], detail or excerpt(row))
        self._describe(row, ratings, verdict)
        return faults.RETAINED

    def _note(self, counts: Counter[str], reason: str, index: int, text: str) -> str:
        counts[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            self._examples[reason].append(NotedRow(index=index, excerpt=text))
        return reason

    def _reason(self, pair: Pair, ratings: tuple[float, float] | None) -> str | None:
        if pair.digests.chosen == pair.digests.rejected:
            return faults.IDENTICAL_PAIR
        if ratings is not None and ratings[0] == ratings[1]:
            return faults.TIE
        if pair.digest in self._seen:
            return faults.DUPLICATE_ROW
        if pair.digest ^ 1 in self._seen:
            return faults.OPPOSITE_LABEL
        self._seen.add(pair.digest)
        return None

    def _describe(self, pair: Pair, ratings: tuple[float, float] | None, verdict: CheckResult | None) -> None:
        """Flags, repetitions and lengths of a retained row."""
        self._prompts.add(pair.digests.prompt)
        self._responses.add(pair.digests.chosen)
        self._responses.add(pair.digests.rejected)
        if ratings is not None and ratings[0] < ratings[1]:
            text = f"{ratings[0]:g} < {ratings[1]:g}: {excerpt(pair)}"
            self._note(self._flags, faults.RATING_AGAINST_LABEL, pair.source_rows[0], text)
        if ratings is not None and (against := contradiction(pair.metadata, ratings)):
            self._note(self._flags, faults.RATINGS_CONTRADICT, pair.source_rows[0], against)
        else:
            self._conflicts.add(pair.metadata, pair.source_rows[0])
        if not any(message["content"].strip() for message in pair.prompt):
            self._note(self._flags, faults.EMPTY_PROMPT, pair.source_rows[0], excerpt(pair))
        for flag, text in pair_faults(pair):
            self._note(self._flags, flag, pair.source_rows[0], text)
        self._canned.add(pair)
        self._asked.add(pair)
        self._ratings.add(ratings)
        for flag in verdict.flags if verdict is not None else ():
            self._note(self._flags, flag, pair.source_rows[0], excerpt(pair))
        self._marks.add(pair)
        lengths = verdict.lengths if verdict is not None else None
        self._unit = "characters" if lengths is None else "tokens"
        lengths = character_lengths(pair) if lengths is None else lengths
        for span in SPANS:
            self._lengths[span].add(lengths[span])
        self._content.add(pair)

    def require_retained(self, name: str) -> None:
        """Refuse a set of which nothing is left, and groups that it does not have.

        Raises:
            RowsError: every row has a reason against it; tells the most frequent one, with an example. Or no row has
                a column that it is to be grouped by.
        """
        if self.retained > 0:
            self._groups.require_wanted(name)
            return
        if self._rows == 0:
            raise RowsError(f"{name}: no rows; write or download the set again")
        reason, count = self._reasons.most_common(1)[0]
        example = self._examples[reason][0]
        remedy = faults.REMEDIES.get(reason, "check the columns, or set `format`")
        raise RowsError(
            f"{name}: none of {self._rows:,} rows can be used; {count:,} are `{reason}` ({faults.REASONS[reason]}), "
            f"e.g. row {example.index + 1}: {example.excerpt}; {remedy}"
        )

    def found(self) -> RowHealth:
        """The health of the rows seen so far."""
        prompts, responses = self._prompts.counts(), self._responses.counts()
        content, languages = self._content.found()
        return RowHealth(
            rows=self._rows,
            retained=self.retained,
            format=self._format,
            reasons=self._noted(self._reasons, faults.REASONS),
            flags=self._noted_flags(),
            lengths={span: table.described(self._unit) for span, table in self._lengths.items()},
            prompts=PromptRepeats(
                distinct=len(prompts),
                largest_group=int(prompts.max(initial=0)),
                repeated_rows=int(prompts[prompts > 1].sum()),
            ),
            responses=ResponseRepeats(distinct=len(responses), repeated=int(responses[responses > 1].sum())),
            sources=dict(_top(self._sources)),
            models=self._model_counts(),
            content=content,
            languages=languages,
            groups=self._groups.found(),
            canned=self._canned.found(),
            near_duplicates=self._asked.found(len(prompts)),
            ratings=self._ratings.found(),
            markup=self._marks.markup(),
            reasoning=self._marks.reasoning(),
        )

    def _noted_flags(self) -> dict[str, NotedRows]:
        """The flags, with the ratings of one response that contradict each other, which the whole set tells."""
        count, rows = self._conflicts.found()
        found = self._noted(self._flags + Counter({faults.RATINGS_CONTRADICT: count}), faults.FLAGS)
        if count:
            noted = found[faults.RATINGS_CONTRADICT]
            examples = [*noted.examples, *rows][:EXAMPLES]
            found[faults.RATINGS_CONTRADICT] = noted.model_copy(update={"examples": examples})
        return found

    def _noted(self, counts: Counter[str], known: Mapping[str, str]) -> dict[str, NotedRows]:
        return {name: NotedRows(count=counts[name], examples=self._examples[name]) for name in known if counts[name]}

    def _model_counts(self) -> dict[str, ModelSides]:
        both = self._models["chosen"] + self._models["rejected"]
        return {name: ModelSides(**{side: self._models[side][name] for side in SIDES}) for name, _ in _top(both)}


def read_ratings(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """Ratings of chosen and rejected, where a pair of columns holds two finite numbers.

    Knows ``score``, ``rating``, ``reward`` and ``avg_rating``, before or after the side, joined by ``_`` or ``-``.
    """
    for columns in _rating_columns(tuple(metadata)):
        chosen, rejected = (_number(metadata[column]) for column in columns)
        if chosen is not None and rejected is not None:
            return chosen, rejected
    return None


@lru_cache(maxsize=256)
def _rating_columns(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The pairs of columns among ``names`` that may hold the ratings of both sides."""
    columns = {name.lower().replace("-", "_"): name for name in names}
    return [(columns[ours], columns[theirs]) for ours, theirs in RATING_COLUMNS if {ours, theirs} <= columns.keys()]


def source_and_models(metadata: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Source of a row, and the models that wrote chosen and rejected, where a column says so."""
    source, chosen, rejected = _describing_columns(tuple(metadata))
    return _first(metadata, source), _first(metadata, chosen), _first(metadata, rejected)


@lru_cache(maxsize=256)
def _describing_columns(names: tuple[str, ...]) -> list[list[str]]:
    """Those of ``names`` that say the source, and the model of each side."""
    return [[name for name in known if name in names] for known in (SOURCE_COLUMNS, CHOSEN_MODEL, REJECTED_MODEL)]


def character_lengths(pair: Pair) -> dict[str, int]:
    """Characters of the prompt messages and of the two final assistant turns."""
    finals: dict[str, Message] = {side: pair.side(side)[-1] for side in SIDES}
    prompt = sum(len(message["content"]) for message in pair.prompt)
    return {"prompt": prompt, **{side: len(final["content"]) for side, final in finals.items()}}


def excerpt(pair: Pair) -> str:
    """Start of the last prompt message and of the chosen response, on one line."""
    asked = pair.prompt[-1]["content"] if pair.prompt else ""
    return f"{_cut(asked, 80)} → {_cut(pair.chosen[-1]['content'], 60)}"


def _cut(text: str, width: int) -> str:
    line = " ".join(text[: 4 * width].split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):  # an integer that no float holds
        return None
    return number if math.isfinite(number) else None


def _first(metadata: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        if metadata[name] not in (None, ""):
            return str(metadata[name])
    return None


def _count(counts: Counter[str], name: str | None) -> None:
    """Count a name; past 10,000 different ones (a column of URLs) new ones are counted together."""
    if name is not None:
        name = name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"
        counts[name if name in counts or len(counts) < MOST_NAMES else "(other)"] += 1


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_NAMES]
