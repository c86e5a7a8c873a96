"""``labels.json``: the words for clusters and concepts that need no language model, as a typed file."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NotRequired

from typing_extensions import TypedDict

from anatomy.artifacts import Artifact, closed


@closed
class TopToken(TypedDict):
    """A token on which a cluster fires, and its share of the cluster's activity."""

    token: str
    weight: float
    z: float


@closed
class TypicalNgram(TypedDict):
    """Words that are frequent in the texts of a cluster."""

    ngram: str
    z: float
    n_texts: int


@closed
class Correlate(TypedDict):
    """A text rule and its correlation with a cluster."""

    concept: str
    r: float


@closed
class LabelExemplar(TypedDict):
    """An excerpt of a row, and the tokens of its span on which the cluster fires, strongest first."""

    row_id: str
    index: int
    side: str
    kind: Literal["nearest", "random"]
    text: str
    positions: list[int]
    tokens: list[str]


@closed
class NameTest(TypedDict):
    """Phrases that may name a cluster, and the area under the curve with which they find it on other prompts.

    They are shown as its name if ``low``, the lower end of the 95 % interval, is above 0.5.
    """

    phrases: list[str]
    auc: float | None
    low: float | None
    high: float | None


@closed
class ClusterLabel(TypedDict):
    """The label of a cluster or a concept.

    Clusters of features say how many features they have, on how many of the sampled spans they fire, and how stable
    they are (``clusters.parquet``); clusters of rows how many rows they have; concepts what is known of their detector.
    """

    label: str
    top_tokens: list[TopToken]
    ngrams: list[TypicalNgram]
    correlates: list[Correlate]
    exemplars: list[LabelExemplar]
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
    held_out: NotRequired[dict[str, Any]]


class ClusterLabels(Artifact):
    """Labels by cluster id: of response and shift clusters and concepts, of data clusters, and of prompt clusters."""

    NAME: ClassVar[str] = "file of labels"
    VERSION: ClassVar[int] = 3
    REMEDY: ClassVar[str] = "run `anatomy audit` again"

    response: dict[str, ClusterLabel]
    data: dict[str, ClusterLabel]
    prompt: dict[str, ClusterLabel]

    def kinds(self) -> dict[str, dict[str, ClusterLabel]]:
        """Return the labels by kind: ``response``, ``data``, ``prompt``."""
        return {"response": self.response, "data": self.data, "prompt": self.prompt}
