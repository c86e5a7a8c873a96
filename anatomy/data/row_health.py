"""Data health: which rows are retained, why the others are not, and what is odd about the set.

Memory holds one 16-byte digest for each distinct row, prompt and response (about 400 bytes a row in all), and no text
beyond three examples a reason.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from anatomy.data import faults
from anatomy.data.faults import Fault
from anatomy.data.health import (
    ModelSides,
    NotedRow,
    NotedRows,
    PromptRepeats,
    ResponseRepeats,
    RowHealth,
    SpanLengths,
)
from anatomy.data.lengths import LengthTable
from anatomy.errors import RowsError
from anatomy.types import SIDES, SPANS, Message, Pair, content_hash

EXAMPLES = 3
TOP_NAMES = 20
MOST_NAMES = 10_000
NAME_CHARS = 200
SOURCE_COLUMNS = ("source", "dataset", "data_source")
MODEL_COLUMNS = ("{side}_model", "{side}-model", "model_{side}")
RATING_COLUMNS = [
    (pattern.format(word, "chosen"), pattern.format(word, "rejected"))
    for word in ("score", "rating", "reward", "avg_rating")
    for pattern in ("{0}_{1}", "{1}_{0}")
]


class CheckResult(NamedTuple):
    """What a tokeniser says of one pair: a reason against it (one of ``faults.REASONS``) or None, and tokens a span.

    ``detail`` is shown beside the reason; without one, an excerpt of the row is.
    """

    reason: str | None
    lengths: Mapping[str, int]
    detail: str = ""


RowCheck = Callable[[Pair], CheckResult | None]


class HealthTable:
    """Counts over all rows seen so far; ``add`` one row after the other, in order.

    A duplicate keeps its first row. If two rows have the same responses and opposite labels, the first is kept and
    the later one removed: one pass over the rows cannot know which label is right, and the count says how many.
    Distinct prompts, responses, lengths, sources and models are those of retained rows.
    """

    def __init__(self, format_name: str, check: RowCheck | None = None) -> None:
        self._format, self._check = format_name, check
        self._rows = 0
        self._reasons: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._examples: defaultdict[str, list[NotedRow]] = defaultdict(list)
        self._seen: set[bytes] = set()
        self._prompts: Counter[bytes] = Counter()
        self._responses: Counter[bytes] = Counter()
        self._sources: Counter[str] = Counter()
        self._models = {side: Counter[str]() for side in SIDES}
        self._lengths = {span: LengthTable() for span in SPANS}

    @property
    def retained(self) -> int:
        """Rows without a reason against them."""
        return self._rows - self._reasons.total()

    def add(self, row: Pair | Fault) -> str:
        """Take one row into account; returns its status, ``"retained"`` or the first reason against it."""
        self._rows += 1
        if isinstance(row, Fault):
            return self._note(self._reasons, row.reason, row.index, row.detail)
        prompt, *responses = (_digest(row.prompt_id), *(_digest(content_hash(list(row.side(side)))) for side in SIDES))
        reason = self._reason(row, prompt, *responses)
        verdict = self._check(row) if self._check is not None and reason is None else None
        reason = reason or (verdict.reason if verdict else None)
        if reason is not None:
            detail = verdict.detail if verdict else ""
            return self._note(self._reasons, reason, row.index, detail or excerpt(row))
        self._describe(row, verdict)
        self._prompts[prompt] += 1
        self._responses.update(responses)
        return faults.RETAINED

    def _note(self, counts: Counter[str], reason: str, index: int, text: str) -> str:
        counts[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            self._examples[reason].append(NotedRow(index=index, excerpt=text))
        return reason

    def _reason(self, pair: Pair, prompt: bytes, chosen: bytes, rejected: bytes) -> str | None:
        if chosen == rejected:
            return faults.IDENTICAL_PAIR
        ratings = read_ratings(pair.metadata)
        if ratings is not None and ratings[0] == ratings[1]:
            return faults.TIE
        same, opposite = _digest(prompt + chosen + rejected), _digest(prompt + rejected + chosen)
        if same in self._seen:
            return faults.DUPLICATE_ROW
        if opposite in self._seen:
            return faults.OPPOSITE_LABEL
        self._seen.add(same)
        return None

    def _describe(self, pair: Pair, verdict: CheckResult | None) -> None:
        """Flags, lengths, source and models of a retained row."""
        ratings = read_ratings(pair.metadata)
        if ratings is not None and ratings[0] < ratings[1]:
            text = f"{ratings[0]:g} < {ratings[1]:g}: {excerpt(pair)}"
            self._note(self._flags, faults.RATING_AGAINST_LABEL, pair.index, text)
        if not text_of(pair.prompt).strip():
            self._note(self._flags, faults.EMPTY_PROMPT, pair.index, excerpt(pair))
        lengths = verdict.lengths if verdict is not None else character_lengths(pair)
        for span in SPANS:
            self._lengths[span].add(lengths[span])
        source, *models = source_and_models(pair.metadata)
        _count(self._sources, source)
        for side, model in zip(SIDES, models, strict=True):
            _count(self._models[side], model)

    def require_retained(self, name: str) -> None:
        """Refuse a set of which nothing is left.

        Raises:
            RowsError: every row has a reason against it; tells the most frequent one, with an example.
        """
        if self.retained > 0:
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
        return RowHealth(
            rows=self._rows,
            retained=self.retained,
            format=self._format,
            reasons=self._noted(self._reasons, faults.REASONS),
            flags=self._noted(self._flags, faults.FLAGS),
            lengths={span: self._span_lengths(table) for span, table in self._lengths.items()},
            prompts=PromptRepeats(
                distinct=len(self._prompts),
                largest_group=max(self._prompts.values(), default=0),
                repeated_rows=_repeated(self._prompts),
            ),
            responses=ResponseRepeats(distinct=len(self._responses), repeated=_repeated(self._responses)),
            sources=dict(_top(self._sources)),
            models=self._model_counts(),
        )

    def _noted(self, counts: Counter[str], known: Mapping[str, str]) -> dict[str, NotedRows]:
        return {name: NotedRows(count=counts[name], examples=self._examples[name]) for name in known if counts[name]}

    def _span_lengths(self, table: LengthTable) -> SpanLengths:
        p5, p50, p95 = (table.quantile(share) for share in (0.05, 0.5, 0.95))
        unit = "tokens" if self._check is not None else "characters"
        return SpanLengths(unit=unit, mean=round(table.mean, 1), p5=p5, p50=p50, p95=p95, max=table.max)

    def _model_counts(self) -> dict[str, ModelSides]:
        both = self._models["chosen"] + self._models["rejected"]
        return {name: ModelSides(**{side: self._models[side][name] for side in SIDES}) for name, _ in _top(both)}


def read_ratings(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """Ratings of chosen and rejected, where a pair of columns holds two finite numbers.

    Knows ``score``, ``rating``, ``reward`` and ``avg_rating``, before or after the side, joined by ``_`` or ``-``.
    """
    columns = {name.lower().replace("-", "_"): name for name in metadata}
    for names in RATING_COLUMNS:
        if columns.keys() >= set(names):
            chosen, rejected = (_number(metadata[columns[name]]) for name in names)
            if chosen is not None and rejected is not None:
                return chosen, rejected
    return None


def source_and_models(metadata: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Source of a row, and the models that wrote chosen and rejected, where a column says so."""
    source = _first(metadata, SOURCE_COLUMNS)
    chosen, rejected = (_first(metadata, [name.format(side=side) for name in MODEL_COLUMNS]) for side in SIDES)
    return source, chosen, rejected


def text_of(messages: Any) -> str:
    """The messages' contents, one after the other."""
    return "\n".join(message["content"] for message in messages)


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


def _digest(value: str | bytes) -> bytes:
    return hashlib.blake2b(value.encode() if isinstance(value, str) else value, digest_size=16).digest()


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):  # an integer that no float holds
        return None
    return number if math.isfinite(number) else None


def _first(metadata: Mapping[str, Any], names: Any) -> str | None:
    return next((str(metadata[name]) for name in names if metadata.get(name) not in (None, "")), None)


def _count(counts: Counter[str], name: str | None) -> None:
    """Count a name; past 10,000 different ones (a column of URLs) new ones are counted together."""
    if name is not None:
        name = name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"
        counts[name if name in counts or len(counts) < MOST_NAMES else "(other)"] += 1


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_NAMES]


def _repeated(counts: Counter[bytes]) -> int:
    return sum(count for count in counts.values() if count > 1)
