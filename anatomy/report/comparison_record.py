"""``compare.json``: two runs, what each rewards, and where they differ, as a typed document."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from anatomy.artifacts import Artifact, OrNaN
from anatomy.report.summary_record import ReportRecord

DifferenceKind = Literal["cluster", "concept", "text rule"]


class RunEffect(ReportRecord):
    """The effect in one run, tested over all of its rows; above 0 it favours chosen."""

    effect: OrNaN
    low: OrNaN = Field(description="Lower end of the 95 % interval.")
    high: OrNaN
    adjusted: OrNaN = Field(description="What length and authors do not explain of the effect.")
    q: OrNaN
    found: bool = Field(description="It is a finding of this run.")


class RunDifference(ReportRecord):
    """One cluster, concept or text rule: its effect in A and in B, and the test of B − A."""

    kind: DifferenceKind
    id: str
    label: str
    a: RunEffect
    b: RunEffect
    difference: OrNaN
    low: OrNaN = Field(description="Lower end of the 95 % interval of the difference.")
    high: OrNaN
    d: OrNaN = Field(description="Difference in standard deviations.")
    z: OrNaN
    p: OrNaN
    q: OrNaN = Field(description="Benjamini–Hochberg over the differences of this kind.")
    adjusted: OrNaN = Field(description="Difference of what length and authors do not explain.")
    change: str
    mostly_explained: bool = Field(description="Less than half of the difference is left beside length and authors.")


class RunSide(ReportRecord):
    """One of the two runs; ``features`` is the fingerprint of its features."""

    path: str
    name: str
    rows: int
    prompts: int
    model: str
    sae: str
    features: str


class SharedRows(ReportRecord):
    """Rows and prompts that are in both runs."""

    rows: int
    prompts: int


class RunComparison(Artifact):
    """Two runs compared; differences are ordered by kind of change, the strongest first."""

    NAME: ClassVar[str] = "comparison"
    VERSION: ClassVar[int] = 2
    REMEDY: ClassVar[str] = "run `anatomy compare` again"

    a: RunSide
    b: RunSide
    clusters_compared: bool
    shared: SharedRows
    q_threshold: float
    counts: dict[str, int] = Field(description="Differences by kind of change.")
    not_compared: tuple[str, ...]
    differences: tuple[RunDifference, ...]
