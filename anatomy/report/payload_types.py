"""The data of the page, as types: one small document that the page opens with, and parts that it reads when needed.

``page/payload.schema.json`` is the JSON Schema of all of it; ``page/payload.d.ts``, the types of the page's modules, is
made from that file by ``npm run types --prefix tests/report/page_tools``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, NotRequired, TypeAlias

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict

from anatomy.artifacts import closed
from anatomy.data.health import Health
from anatomy.hypotheses.null_rates import NullRate
from anatomy.hypotheses.views import Direction, RankKey
from anatomy.hypotheses.what_is_left import Survival
from anatomy.naming.cluster_labels import Correlate, NameTest, TopToken, TypicalNgram
from anatomy.report.packing import Packed, SignedBytes
from anatomy.report.summary_record import View
from anatomy.report.verdict import AuditVerdict
from anatomy.runs.manifest import Manifest
from anatomy.runs.saved_names import ClusterName
from anatomy.validation.ablations import ArmComparisons
from anatomy.validation.validation_record import Validation

SCHEMA = Path(__file__).parent / "page" / "payload.schema.json"

Json: TypeAlias = Any
"""A JSON value of any form: what stands in a file that somebody else wrote."""


@closed
class RunName(TypedDict):
    """``id`` is a hash of the rows, the features and the clusters: decisions are kept under it."""

    id: str
    path: str
    name: str


@closed
class ViewCounts(TypedDict):
    """Tests of one view: made, not possible, and findings by direction."""

    tested: int
    untestable: int
    power: str | None
    repeated: int
    members: int
    found: dict[Direction, int]


@closed
class SummaryCounts(TypedDict):
    """The summary without its findings, which the page takes from the tests."""

    rows: int | None
    retained: int | None
    q_threshold: float
    rank_by: RankKey
    views: dict[View, ViewCounts]


@closed
class ShownShift(TypedDict):
    """A predicted and the observed shift of a response (cluster or concept) in a context."""

    predictor: str
    view: str
    context: str
    response: str
    predicted: float
    observed: float
    observed_low: float | None
    observed_high: float | None


@closed
class ShownValidation(TypedDict):
    """A validation under ``validation/``, and the shifts of its best predictor."""

    name: str
    document: Validation
    predictor: str | None
    shifts: list[ShownShift]


@closed
class OtherDocument(TypedDict):
    """Any other JSON file under ``validation/``, or the reason why it is not shown; it has no shifts."""

    name: str
    document: Json
    shifts: list[ShownShift]


@closed
class ShownExemplar(TypedDict):
    """An excerpt of a row in which a cluster is strong (``nearest``) or which was drawn at random from it."""

    row_id: str
    index: int
    side: str
    kind: Literal["nearest", "random"]
    tokens: list[str]
    text: str


@closed
class ShownCluster(TypedDict):
    """A cluster or concept; ``at`` is its place on the map, ``name`` the name that a language model gave it."""

    kind: str
    label: str
    name: ClusterName | None
    at: NotRequired[list[float]]
    top_tokens: list[TopToken]
    ngrams: list[TypicalNgram]
    correlates: list[Correlate]
    exemplars: list[ShownExemplar]
    name_test: NotRequired[NameTest]
    n_features: NotRequired[int]
    stability: NotRequired[float]
    n_rows: NotRequired[int]
    n_spans: NotRequired[int]
    n_spans_sampled: NotRequired[int]
    detector: NotRequired[str]
    layer: NotRequired[int | None]
    pooling: NotRequired[str]
    threshold: NotRequired[float | None]
    held_out: NotRequired[dict[str, Json]]


ColourScale = TypedDict("ColourScale", {"from": float, "to": float})
"""The score of a concept at which colour starts, and the score at which it is full."""


@closed
class RowsOnPage(TypedDict):
    """How rows are cut into parts: ``piece`` rows of texts in one, ``token_piece`` rows of tokens.

    ``evidence`` says that texts lie beside the page, but for those of the part ``evidence``; ``tokens`` are the rows
    that have tokens.
    """

    n: int
    piece: int
    evidence: bool
    tokens: list[int]
    token_piece: int
    scales: dict[str, ColourScale]


@closed
class MainPart(TypedDict):
    """The document that the page opens with."""

    run: RunName
    manifest: Manifest
    health: Health
    texts: list[str]
    null: dict[View, NullRate] | None
    validation: list[ShownValidation | OtherDocument]
    arms: ArmComparisons
    summary: SummaryCounts
    verdict: AuditVerdict
    responses: list[str]
    clusters: dict[str, ShownCluster]
    rows: RowsOnPage


@closed
class CodedNames(TypedDict):
    """A column of names: the distinct names, and the number of each row's."""

    names: list[str]
    code: Packed


@closed
class SourceColumns(TypedDict):
    """Columns of all rows that come from the rows: place in the source, prompt, source and models."""

    index: Packed
    prompt: Packed
    source: CodedNames
    chosen_model: CodedNames
    rejected_model: CodedNames


@closed
class FeatureColumns(TypedDict):
    """Columns of all rows that come from the features: data cluster, and tokens of each span."""

    data: Packed
    prompt_tokens: Packed
    chosen_tokens: Packed
    rejected_tokens: Packed


@closed
class TopSignals(TypedDict):
    """For each row, ``top`` responses by number in ``ids``, and their signals in tenths of a standard deviation."""

    ids: list[str]
    top: int
    response: Packed
    value: Packed


@closed
class RowColumns(SourceColumns, FeatureColumns):
    """Columns of all rows."""

    top: TopSignals


@closed
class TestColumns(TypedDict):
    """The tests as columns; contexts and responses are numbers of ``names``, views and verdicts of theirs.

    ``repeats`` is the context whose finding a test repeats, or the empty name.
    """

    names: list[str]
    views: list[View]
    verdicts: list[Survival]
    total: int
    view: Packed
    context: Packed
    response: Packed
    n: Packed
    prompts: Packed
    verdict: Packed
    repeats: Packed
    stable: Packed
    effect: Packed
    effect_low: Packed
    effect_high: Packed
    effect_length_adjusted: Packed
    effect_adjusted: Packed
    effect_adjusted_low: Packed
    effect_adjusted_high: Packed
    support: Packed
    differ: Packed
    win_rate: Packed
    win_rate_low: Packed
    win_rate_high: Packed
    d: Packed
    z: Packed
    p: Packed
    q: Packed
    delta_min: Packed


@closed
class ClustersOfFeatures(TypedDict):
    """For each SAE feature, the number of its response (R), shift (S) and prompt (P) cluster; 0: in none."""

    R: Packed
    S: Packed
    P: Packed


@closed
class RowText(TypedDict):
    """Messages, metadata and tools of a row."""

    prompt: list[dict[str, Json]]
    chosen: list[dict[str, Json]]
    rejected: list[dict[str, Json]]
    metadata: dict[str, Json]
    tools: NotRequired[list[Json]]


@closed
class SpanPeaks(TypedDict):
    """Features with the strongest peaks of a span, their tokens, and activations in 1/255 of ``largest``."""

    feature: Packed
    at: Packed
    value: Packed
    largest: float


@closed
class SpanTokens(TypedDict):
    """Tokens of a span, the peaks of features in it, and the colour of each token by concept."""

    tokens: list[str]
    peaks: SpanPeaks
    concepts: dict[str, Packed | None]


@closed
class RowTokens(TypedDict):
    """Tokens of a row."""

    prompt: SpanTokens
    chosen: SpanTokens
    rejected: SpanTokens


@closed
class PagePayload(TypedDict):
    """All parts of the page; ``signal``, ``rows`` and ``tokens`` stand for parts such as ``signal-R1``, ``rows-0000``.

    ``ids`` are the ids of all rows, 32 characters each; ``contexts`` are the rows of each context
    but the finest data clusters; ``evidence`` are texts by row.
    """

    main: MainPart
    columns: RowColumns
    ids: str
    tests: TestColumns
    features: ClustersOfFeatures
    contexts: dict[str, Packed]
    signal: SignedBytes
    rows: list[RowText]
    tokens: list[RowTokens]
    evidence: NotRequired[dict[int, RowText]]


def plain(main: MainPart) -> Json:
    """The document with its models as JSON values."""
    return TypeAdapter(MainPart).dump_python(main, mode="json")  # settings hold paths


class WrittenSchema(GenerateJsonSchema):
    """The JSON Schema of what is written: a field of a model is always there, at its default too."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Whether the field is always in the document."""
        return super().field_is_required(field, total) if field["type"] == "typed-dict-field" else True


def payload_schema() -> str:
    """The JSON Schema of the page's data, as the text of ``page/payload.schema.json``."""
    schema = TypeAdapter(PagePayload).json_schema(mode="serialization", schema_generator=WrittenSchema)
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(payload_schema(), encoding="utf-8")
