"""Data and SAE health as one document, ``health.json``, and the types of its parts."""

from __future__ import annotations

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from anatomy.artifacts import Artifact

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
class SpanLengths(TypedDict):
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


class Health(Artifact):
    """``health.json``: what the rows are, and whether the SAE reads them as it should.

    A part is empty or None until the stage that measures it is complete. ``truncated`` counts the rows cut to the
    window, by span; ``baselines`` are the trivial rules, by name.
    """

    NAME = "record of data health"

    rows: int | None = None
    retained: int | None = None
    format: str | None = None
    reasons: dict[str, NotedRows] = Field(default_factory=dict)
    flags: dict[str, NotedRows] = Field(default_factory=dict)
    lengths: dict[str, SpanLengths] = Field(default_factory=dict)
    prompts: PromptRepeats | None = None
    responses: ResponseRepeats | None = None
    sources: dict[str, int] = Field(default_factory=dict)
    models: dict[str, ModelSides] = Field(default_factory=dict)
    truncated: dict[str, int] = Field(default_factory=dict)
    special_in_text: int = 0
    sae: MeasuredSAE | None = None
    baselines: dict[str, MeasuredRule] = Field(default_factory=dict)
