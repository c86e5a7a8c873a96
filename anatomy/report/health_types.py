"""The types of ``health.json``: what the rows are, and whether the SAE reads them as it should.

Parts are absent until the stage that measures them is complete.
"""

from __future__ import annotations

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

closed = with_config(ConfigDict(extra="forbid", protected_namespaces=()))


@closed
class NotedRow(TypedDict):
    """A row of the source, from 0, and the start of its text."""

    index: int
    excerpt: str


@closed
class NotedRows(TypedDict):
    """Rows with one fault or oddity, and examples of them."""

    count: int
    examples: list[NotedRow]


@closed
class SpanLengths(TypedDict, total=False):
    """Lengths of a span over the rows, in ``unit``."""

    unit: str
    mean: float | None
    p5: float | None
    p50: float | None
    p95: float | None
    max: float | None


@closed
class PromptRepeats(TypedDict):
    """Distinct prompts, most rows of one, and rows that share theirs."""

    distinct: int
    largest_group: int
    repeated_rows: int


@closed
class ResponseRepeats(TypedDict):
    """Distinct responses, and responses that repeat another."""

    distinct: int
    repeated: int


@closed
class ModelSides(TypedDict):
    """How often the responses of a model are the chosen and the rejected ones."""

    chosen: int
    rejected: int


@closed
class MeasuredSAE(TypedDict, total=False):
    """Numbers of the SAE on the rows next to those that it claims, and what is wrong with them."""

    tokens: int
    l0: float | None
    variance_explained: float | None
    dead_share: float | None
    claimed_l0: float | None
    claimed_variance_explained: float | None
    outliers: int
    faults: list[str]


@closed
class MeasuredRule(TypedDict, total=False):
    """Share of the pairs in which a trivial rule picks the chosen side, with its 95 % interval."""

    rule: str
    accuracy: float | None
    low: float | None
    high: float | None
    decided: float | None


@closed
class Health(TypedDict, total=False):
    """The content of ``health.json``."""

    rows: int
    retained: int
    format: str | None
    reasons: dict[str, NotedRows]
    flags: dict[str, NotedRows]
    lengths: dict[str, SpanLengths]
    prompts: PromptRepeats
    responses: ResponseRepeats
    sources: dict[str, int]
    models: dict[str, ModelSides]
    truncated: dict[str, int]
    special_in_text: int
    sae: MeasuredSAE
    baselines: dict[str, MeasuredRule]


@closed
class ShownNullRate(TypedDict):
    """What a view finds if labels are random: ``tested`` and ``discoveries`` (q < 0.05) are per repetition.

    ``false_positive_rate`` is the share of tests with p < 0.05; its 95 % interval is over repetitions.
    """

    tested: int
    repetitions: int
    false_positive_rate: float
    low: float
    high: float
    discoveries: float
