"""``summary.json``: the findings of an audit as a typed document.

A finding is a tested combination of context and response cluster whose ``q`` is at most the threshold and whose two
halves agree. Effects are signed: positive effects lean to the chosen side. The raw effect is what training pushes, the
adjusted one what the labels prefer when length and authorship take what they can explain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from anatomy.artifacts import Artifact, OrNaN
from anatomy.data.health_parts import CannedText, MeasuredModel
from anatomy.hypotheses.views import Direction, RankKey
from anatomy.hypotheses.what_is_left import Survival
from anatomy.prediction.expected_shift import ExpectedShift

View = Literal["global", "feature", "prompt"]
VIEWS: tuple[View, ...] = get_args(View)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

Labels = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``labels.json``: kind (``response``, ``data``, ``prompt``) → cluster id → label."""


class ReportRecord(BaseModel):
    """Base of the parts of a document: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FindingRow(ReportRecord):
    """A row behind a finding; ``index`` is its place in the source, from 0, and the texts are excerpts."""

    row_id: str
    index: int
    chosen: str
    rejected: str


class Member(ReportRecord):
    """A finding that says the same as the one that it is listed with."""

    view: View
    context: str
    response: str
    direction: Direction
    context_label: str
    response_label: str
    effect: float
    win_rate: OrNaN
    q: float


class Lead(Member):
    """What a person can repeat of a finding and all that say the same, over all views; ``members`` are some of them."""

    sentence: str
    concept: str | None = Field(description="The concept that the response is or follows.")
    verdict: Survival
    d: float
    n_members: int
    members: tuple[Member, ...]


class Finding(ReportRecord):
    """One finding: its sentence, its test (the columns of ``hypotheses.parquet``) and the rows behind it.

    ``members`` are findings of its view that say the same (``hypotheses/same_findings.py``).
    """

    sentence: str
    context_label: str
    response_label: str
    view: View
    context: str
    response: str
    n: int = Field(description="Rows in the context.")
    prompts: int = Field(description="Distinct prompts among them.")
    effect: float
    effect_low: float = Field(description="Lower end of the 95 % interval.")
    effect_high: float
    effect_length_adjusted: OrNaN = Field(description="What length does not explain of the effect.")
    effect_length_adjusted_low: OrNaN = Field(description="Lower end of its 95 % interval.")
    effect_length_adjusted_high: OrNaN
    effect_author_adjusted: OrNaN = Field(description="What authors do not explain; NaN: authors are not known.")
    effect_author_adjusted_low: OrNaN
    effect_author_adjusted_high: OrNaN
    effect_adjusted: OrNaN = Field(description="What neither explains: what the labels prefer by itself.")
    effect_adjusted_low: OrNaN
    effect_adjusted_high: OrNaN
    support: OrNaN = Field(description="Share of the label that length and authors do not determine.")
    differ: OrNaN = Field(description="Share of the context's pairs whose sides differ in the response.")
    win_rate: OrNaN = Field(description="Share of those in which the chosen side has more of it.")
    win_rate_low: OrNaN = Field(description="Lower end of its 95 % interval.")
    win_rate_high: OrNaN
    d: float = Field(description="Effect in standard deviations.")
    z: float
    z_welch: OrNaN
    p: float
    q: float = Field(description="False discovery rate at which it is found.")
    half_a: OrNaN
    half_b: OrNaN
    delta_min: OrNaN = Field(description="Smaller effect of the two halves (method.md §5).")
    direction: Direction
    verdict: Survival = Field(description="Whether the effect holds, or length or authorship explains it.")
    stability: float | None = Field(description="How stable the response's cluster is, 0 to 1; None: a concept.")
    concept: str | None = Field(description="The concept that the response is or follows.")
    n_members: int = 0
    members: tuple[Member, ...] = ()
    rows_affected: int = Field(description="Rows of the context whose signal has the sign of the effect.")
    rows: tuple[FindingRow, ...]
    expected_shift: ExpectedShift | None = None


class ContextPower(ReportRecord):
    """How many contexts were tested, and what those of at least ``prompts`` prompts show; ``smaller`` have fewer."""

    contexts: int
    smaller: int
    prompts: int
    points: OrNaN = Field(description="Points of win rate, where half of the pairs differ, found in 80 % of cases.")

    def __str__(self) -> str:
        """The power as a sentence."""
        small = f", {self.smaller:,} of them smaller" if self.smaller else ""
        lead = f"{self.contexts:,} contexts{small}; contexts of ≥ {self.prompts:,} prompts"
        if not self.points <= 100:  # a win rate cannot move by more; NaN
            return f"{lead}: too few for any effect to be found in 80 % of cases"
        return f"{lead}: effects above {self.points:.0f} points are found in 80 % of cases"


class ViewFindings(ReportRecord):
    """The findings of one view, the strongest of each direction first; ``found`` counts all of them.

    ``repeated`` tests pass as well, but say the same as a stronger finding in nearly the same rows; ``members`` follow
    the same concept as a finding that is counted, or go with it.
    """

    tested: int
    untestable: int
    power: ContextPower | None = Field(description="What contexts can show; none in the view over the whole set.")
    repeated: int
    members: int
    found: dict[Direction, int]
    chosen: tuple[Finding, ...]
    rejected: tuple[Finding, ...]

    def leaning(self, direction: Direction) -> tuple[Finding, ...]:
        """The findings of one direction."""
        return self.chosen if direction == "chosen" else self.rejected


class NotAssessed(ReportRecord):
    """Something that the audit does not speak about; ``count`` is None if it cannot be counted."""

    what: str
    count: int | None
    why: str


class RuleAccuracy(ReportRecord):
    """Share of the pairs in which a trivial rule picks the chosen side, with its 95 % interval.

    ``decided`` is the share of pairs on which the rule decides at all.
    """

    rule: str | None = None
    accuracy: float
    low: float
    high: float
    decided: float | None = None


class Summary(Artifact):
    """What an audit found, in the order in which a person should read it."""

    NAME: ClassVar[str] = "summary"
    VERSION: ClassVar[int] = 6

    rows: int | None = Field(description="Rows of the source.")
    retained: int | None = Field(description="Rows that could be used.")
    q_threshold: float
    rank_by: RankKey
    leads: tuple[Lead, ...] = Field(description="One line for all findings that say the same, the strongest first.")
    views: dict[View, ViewFindings]
    expected_shifts: dict[str, ExpectedShift] = Field(description="By response cluster and concept.")
    baselines: dict[str, RuleAccuracy]
    explained: dict[str, MeasuredModel] = Field(description="Labels of unseen prompts that fitted models predict.")
    canned: tuple[CannedText, ...] = Field(description="Texts that win or lose under many prompts, beyond chance.")
    not_assessed: tuple[NotAssessed, ...]

    @field_validator("views")
    @classmethod
    def _all_views(cls, views: dict[View, ViewFindings]) -> dict[View, ViewFindings]:
        if set(views) != set(VIEWS):
            raise ValueError(f"has {', '.join(views) or 'none'}, and {', '.join(VIEWS)} are needed")
        return views

    def findings(self) -> Iterator[Finding]:
        """All findings kept, view by view, chosen before rejected."""
        for view in VIEWS:
            for direction in DIRECTIONS:
                yield from self.views[view].leaning(direction)

    def row_ids(self) -> list[str]:
        """Ids of the rows behind the findings, in the order of the findings; a row may come more than once."""
        return [row.row_id for finding in self.findings() for row in finding.rows]
