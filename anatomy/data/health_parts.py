"""The parts of ``health.json``: counts, shares, examples and measurements, a class each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from anatomy.statistics.shares import ShareInterval


class HealthPart(BaseModel):
    """Base of the parts: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class NotedRow(HealthPart):
    """A row of the source, from 0, and the start of its text."""

    index: int
    excerpt: str


class NotedRows(HealthPart):
    """Rows with one fault or oddity, and examples of them."""

    count: int
    examples: list[NotedRow]


class SpanLengths(HealthPart):
    """Lengths of a span over the rows, in ``unit``."""

    unit: str
    mean: float
    p5: float
    p50: float
    p95: float
    max: float


class SampledTokens(HealthPart):
    """A uniform sample of ``rows`` rows ``of`` all that were checked, from which lengths and cuts in tokens come."""

    rows: int
    of: int


class PromptRepeats(HealthPart):
    """Distinct prompts, most rows of one, and rows that share theirs."""

    distinct: int
    largest_group: int
    repeated_rows: int


class ResponseRepeats(HealthPart):
    """Distinct responses, and responses that repeat another."""

    distinct: int
    repeated: int


class ModelSides(HealthPart):
    """How often the responses of a model are the chosen and the rejected ones."""

    chosen: int
    rejected: int


class MeasuredSAE(HealthPart):
    """Numbers of the SAE on the rows next to those that it claims, and what is wrong with them."""

    tokens: int
    l0: float | None
    variance_explained: float | None
    dead_share: float | None
    claimed_l0: float | None
    claimed_variance_explained: float | None
    outliers: int
    faults: list[str]


class MeasuredRule(HealthPart):
    """Share of the pairs in which a trivial rule picks the chosen side, with its 95 % interval."""

    rule: str
    accuracy: float | None
    low: float | None
    high: float | None
    decided: float | None


class MeasuredModel(HealthPart):
    """Share of the labels of unseen prompts that a fitted model predicts, with its 95 % interval; 0.5 is chance.

    ``p`` is against labels at random.
    """

    value: float
    low: float
    high: float
    p: float


class VoteAgreement(HealthPart):
    """How far several votes of one pair agree: pairs with more than one vote, their votes, and pairs without a winner.

    ``percent`` is the mean share of pairs of votes that agree, ``alpha`` Krippendorff's (nominal): 1 is full agreement,
    0 is chance; None where it is not defined. ``error`` is the standard error of ``percent``, by pair and by person;
    ``people`` is None, and the error by pair alone, where it is not known who voted.
    """

    pairs: int
    votes: int
    ties: int
    percent: float | None
    alpha: float | None
    error: float | None
    people: int | None


class RowReading(HealthPart):
    """How the rows were read: the layout, which column has which role, and what a reader of the set should know.

    ``unread`` holds the text columns that no role has, each with the start of a value.
    """

    layout: str
    map: dict[str, str]
    notes: list[str]
    unread: dict[str, str] = Field(default_factory=dict)
    votes: VoteAgreement | None = None


class ShareEstimate(HealthPart):
    """A share or a difference of shares with its 95 % interval, clustered by prompt; None where there is no row."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, interval: ShareInterval) -> ShareEstimate:
        """The interval to four digits."""
        value, low, high = (None if math.isnan(number) else round(number, 4) for number in interval)
        return cls(value=value, low=low, high=high)


class SideExample(HealthPart):
    """A row of the source, from 0, the side, and the place in its text, with personal data masked."""

    index: int
    side: str
    excerpt: str


class ContentCheck(HealthPart):
    """Share of the pairs whose side has something, the difference chosen − rejected, and which side it goes with.

    ``wins`` is the share of chosen sides where exactly one side has it: over 0.5 goes with the label.
    """

    chosen: ShareEstimate
    rejected: ShareEstimate
    difference: ShareEstimate
    wins: ShareEstimate
    examples: list[SideExample]


class ContentHealth(HealthPart):
    """What the responses of ``sampled`` rows hold, drawn at random from the retained ones, by concept of the library.

    ``absent`` names the concepts that no response holds.
    """

    sampled: int
    checks: dict[str, ContentCheck]
    absent: list[str]


class LanguageHealth(HealthPart):
    """Languages (two-letter codes, or ``undetermined``) of ``sampled`` rows by side, and pairs of two languages."""

    sampled: int
    chosen: dict[str, int]
    rejected: dict[str, int]
    mixed: NotedRows


class GroupRows(HealthPart):
    """Rows of one value of a column: how many could be read, are retained, identical or tied.

    Characters and models are those of retained rows; ``longer_wins`` is the share in which chosen is the longer side.
    """

    rows: int
    retained: int
    identical: int
    ties: int
    mean_characters: dict[str, float]
    longer_wins: ShareEstimate
    models: dict[str, ModelSides]


class GroupedRows(HealthPart):
    """Rows by the value of a column, most frequent first; rows without one are left out."""

    values: dict[str, GroupRows]


class GroupHealth(HealthPart):
    """Columns that divide the rows into groups, and columns with such a name that do not, with the reason."""

    columns: dict[str, GroupedRows]
    refused: dict[str, str]


class CannedText(HealthPart):
    """A response, or the opening of responses, that stands under many different prompts.

    ``index`` is a row of the source, from 0, that has it; ``chosen`` and ``rejected`` count its prompts by the side on
    which it stands there, ``both`` those with both. ``win_rate`` is over its prompts (one of ``both`` counts half),
    with its 95 % interval; ``alarm`` says that chance does not make it win or lose that often.
    """

    kind: Literal["response", "opening"]
    text: str
    index: int
    prompts: int
    chosen: int
    rejected: int
    both: int
    win_rate: float
    low: float
    high: float
    p: float
    alarm: bool


class CannedHealth(HealthPart):
    """Responses and openings that recur under different prompts: alarms, then the most frequent of each kind.

    ``prompts`` distinct prompts were read, ``sampled`` as a share of all. ``recurring`` texts stand under five of them
    or more; ``tested`` stand under enough to be tested, of which ``alarms`` win or lose more often than chance allows
    (exact binomial test over prompts, Bonferroni over those tested).
    """

    prompts: int
    sampled: float
    recurring: int
    tested: int
    alarms: int
    texts: list[CannedText]


class PromptGroup(HealthPart):
    """Different prompts that say nearly the same, with examples."""

    prompts: int
    examples: list[NotedRow]


class NearDuplicates(HealthPart):
    """Prompts that are nearly the same as another, of ``sampled`` distinct ones of about ``distinct``.

    ``prompts`` stand in ``groups`` groups, of which the largest are shown.
    """

    sampled: int
    distinct: int
    prompts: int
    groups: int
    largest: list[PromptGroup]


class RatedRows(HealthPart):
    """Ratings of retained rows; ``constant`` if every rated row has the same two, so that they say nothing more."""

    rows: int
    chosen: tuple[float, float]
    rejected: tuple[float, float]
    constant: bool


class ChatMarkup(HealthPart):
    """Marks of chat templates inside texts of retained rows.

    ``turns`` counts rows whose prompt or a response opens turns in its text, ``ends`` the rows with an end token in a
    span, and ``only`` those in which one side has an end token and the other none.
    """

    turns: int
    ends: dict[str, int]
    only: dict[str, int]


class ReasoningRows(HealthPart):
    """Retained rows with reasoning in a response, by side, and those with a tag of reasoning that never ends."""

    rows: int
    sides: dict[str, int]
    unclosed: int


class TemplateFacts(HealthPart):
    """What the chat template does to every conversation.

    ``bos`` is how texts begin: ``as it should``, ``missing`` or ``doubled``; ``added`` says that a tokenizer which adds
    special tokens to rendered text doubles it; ``ends`` whether a token follows the answer, ``dated`` whether the text
    depends on the day, ``own_system`` whether a system turn is put in where a conversation has none.
    """

    bos: Literal["as it should", "missing", "doubled"]
    added: bool
    ends: bool
    dated: bool
    own_system: bool


class TrainingWindow(HealthPart):
    """Rows at the length of the training: without room for a response, alike once cut, and cut, by span.

    Rows that the audit's window alone leaves out are among them, because the training's may hold them.
    """

    length: int
    no_room: int
    identical: int
    cut: dict[str, int]
