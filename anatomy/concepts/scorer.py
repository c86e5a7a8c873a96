"""The protocol of a detector: it scores the tokens of a span for one concept.

Detectors are fitted in ``probes`` and used in ``interventions``; the two meet here only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from torch import Tensor

Pooling = Literal["max", "mean", "last"]


@dataclass(frozen=True)
class Span:
    """A response (or a prompt) as a detector sees it.

    ``offsets_T2`` are the characters ``[start, stop)`` of each token in ``text``; ``hidden`` maps a block, counted from
    0, to the residual stream after it, ``[T, D]``, and holds at least the layers that were asked for.
    """

    text: str
    offsets_T2: Int[np.ndarray, "T 2"]
    hidden: Mapping[int, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets_T2)


@runtime_checkable
class Scorer(Protocol):
    """A detector of one concept. Higher scores mean more of the concept; scores need not be probabilities."""

    @property
    def concept(self) -> str:
        """Id of the concept in the library, or the user's own name."""

    @property
    def kind(self) -> str:
        """Kind of detector: ``text``, ``difference-of-means``, ``linear``, ``attention`` or ``sae``."""

    @property
    def layer(self) -> int | None:
        """Block whose residual stream is read, counted from 0; None for a detector that reads text alone."""

    @property
    def pooling(self) -> Pooling:
        """How token scores become one score: maximum, mean, or the last token's."""

    @property
    def threshold(self) -> float | None:
        """Score of a span from which on it is flagged; None where none was fitted."""

    @property
    def fingerprint(self) -> str:
        """Content hash of everything that decides its scores."""

    def score_tokens(self, span: Span) -> Float[np.ndarray, " T"]:
        """One score per token of the span."""


@runtime_checkable
class Directed(Protocol):
    """A scorer whose concept may be a direction of the residual stream after its layer, along which one can steer."""

    @property
    def direction_D(self) -> Float[Tensor, " D"] | None:
        """Direction of length 1 along which the concept grows, float32 on the CPU; None where there is none."""


@runtime_checkable
class Measured(Protocol):
    """A scorer that was measured on prompts that it was not fitted on."""

    @property
    def held_out(self) -> Mapping[str, float]:
        """Figures by name, as AUROC; empty where none were kept."""


def pool_scores(scores_T: Float[np.ndarray, " T"], pooling: Pooling) -> float:
    """Score of a span from its tokens' scores; NaN for a span without tokens (method.md §8)."""
    if not len(scores_T):
        return float("nan")
    if pooling == "last":
        return float(scores_T[-1])
    return float(scores_T.max() if pooling == "max" else scores_T.mean())


def score_span(scorer: Scorer, span: Span) -> float:
    """The scorer's one score of a span."""
    return pool_scores(scorer.score_tokens(span), scorer.pooling)
