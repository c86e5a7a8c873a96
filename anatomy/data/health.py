"""Data and SAE health as one document, ``health.json``, and the types of its parts."""

from __future__ import annotations

from pydantic import BaseModel, Field

from anatomy.artifacts import Artifact
from anatomy.data.health_parts import (
    CannedHealth,
    ChatMarkup,
    ContentHealth,
    GroupHealth,
    HealthPart,
    LanguageHealth,
    MeasuredModel,
    MeasuredRule,
    MeasuredSAE,
    ModelSides,
    NearDuplicates,
    NotedRows,
    PromptRepeats,
    RatedRows,
    ReasoningRows,
    ResponseRepeats,
    RowReading,
    SampledTokens,
    SpanLengths,
    TemplateFacts,
    TrainingWindow,
)


class RowParts(BaseModel):
    """What some sets have, or what needs a tokenizer: parts of both records of health, absent unless they are found.

    ``truncated`` counts the rows cut to the window, by span; it and ``special_in_text`` need a tokenizer.
    """

    truncated: dict[str, int] = Field(default_factory=dict)
    special_in_text: int = 0
    reading: RowReading | None = None
    markup: ChatMarkup | None = None
    reasoning: ReasoningRows | None = None
    template: TemplateFacts | None = None
    training: TrainingWindow | None = None
    sampled: SampledTokens | None = None
    content: ContentHealth | None = None
    languages: LanguageHealth | None = None
    groups: GroupHealth | None = None
    canned: CannedHealth | None = None
    near_duplicates: NearDuplicates | None = None
    ratings: RatedRows | None = None


class RowHealth(RowParts, HealthPart):
    """What the rows are, of which those without a fault are retained.

    If there is a ``sampled``, lengths and ``truncated`` are those of the sampled rows alone.
    """

    rows: int
    retained: int
    format: str
    reasons: dict[str, NotedRows]
    flags: dict[str, NotedRows]
    lengths: dict[str, SpanLengths]
    prompts: PromptRepeats
    responses: ResponseRepeats
    sources: dict[str, int]
    models: dict[str, ModelSides]

    def mean_length(self, span: str) -> float:
        """Mean length of a span over the retained rows."""
        return self.lengths[span].mean


class Health(RowParts, Artifact):
    """``health.json``: what the rows are, and whether the SAE reads them as it should.

    A part is empty or None until the stage that measures it is complete; ``baselines`` are the trivial rules, by name,
    and ``explained`` what predicts the labels of unseen prompts: length, concepts, clusters, features, all.
    """

    NAME = "record of data health"
    VERSION = 10

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
    sae: MeasuredSAE | None = None
    baselines: dict[str, MeasuredRule] = Field(default_factory=dict)
    explained: dict[str, MeasuredModel] = Field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: RowHealth | None,
        sae: MeasuredSAE | None = None,
        baselines: dict[str, MeasuredRule] | None = None,
        explained: dict[str, MeasuredModel] | None = None,
    ) -> Health:
        """The document of the parts that are known."""
        parts = dict(rows) if rows is not None else {}
        return cls(**parts, sae=sae, baselines=baselines or {}, explained=explained or {})
