"""A detector: a fitted estimator with all that must be known to use it, as the rest of the project sees detectors."""

from __future__ import annotations

import hashlib
import inspect
import math
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from anatomy.concepts.scorer import Pooling, Span
from anatomy.errors import ProbeError
from anatomy.settings import Settings
from anatomy.types import content_hash

PACKAGES = ("preference-anatomy", "numpy", "torch", "transformers")


class Estimator(Protocol):
    """Gives the tokens of one sequence their scores; tensors that it learned have names that end in ``_``."""

    kind: ClassVar[str]

    def decision(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, " T"]:
        """Score of each token; may depend on earlier tokens, not on later ones."""


class Provenance(Settings):
    """The origin of a detector: what it fits, what it was fitted on, and how well it did there."""

    model: str = Field(description="Name of the model whose residuals it reads.")
    model_fingerprint: str = Field(description="Fingerprint of that model's weights and numeric type.")
    template_hash: str | None = Field(None, description="Hash of the chat template.")
    data_hash: str | None = Field(None, description="Hash of the examples it was fitted on.")
    settings: dict[str, Any] = Field({}, description="How the examples were made and split.")
    versions: dict[str, str] = Field({}, description="Versions of the packages that it was fitted with.")
    scores: dict[str, Any] = Field({}, description="Measured scores on held-out prompts.")


@dataclass(frozen=True)
class Detector:
    """One concept's detector at one layer: an :class:`anatomy.concepts.scorer.Scorer`.

    ``layer`` counts blocks from 0 and means the residual stream after the block. A span is flagged where its pooled
    score is at least ``threshold``.
    """

    estimator: Estimator
    concept: str
    layer: int
    pooling: Pooling
    threshold: float | None
    provenance: Provenance = field(compare=False)

    def __post_init__(self) -> None:
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ProbeError(f"detector of {self.concept}: threshold {self.threshold} is not a number; fit it again")

    @property
    def kind(self) -> str:
        """Kind of its estimator."""
        return self.estimator.kind

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of estimator, settings, learned tensors, layer and pooling."""
        tensors = {
            name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
            for name, tensor in learned_of(self.estimator).items()
        }
        model = self.provenance.model_fingerprint
        made_of = [self.estimator.kind, settings_of(self.estimator), tensors, model, self.layer, self.pooling]
        return content_hash(made_of)

    @property
    def direction_D(self) -> Float[Tensor, " D"] | None:
        """Direction of length 1 along which the concept grows, float32; None where the estimator has none."""
        find = getattr(self.estimator, "direction", None)
        return None if find is None else torch.nn.functional.normalize(find().detach().float().cpu(), dim=0)

    @property
    def held_out(self) -> dict[str, float]:
        """Figures on held-out prompts, and the AUROC of length alone there; empty where none were kept."""
        test, length = self.provenance.scores.get("test"), self.provenance.scores.get("length")
        if not test or not length or not test["auroc"] or not length["auroc"]:  # none, or too few examples for an AUROC
            return {}
        names = {"auroc": "AUROC", "pr_auc": "PR-AUC", "f1": "F1"}
        figures = {name: float(test[key]["value"]) for key, name in names.items()}
        return {**figures, "length alone AUROC": float(length["auroc"]["value"])}

    @torch.inference_mode()
    def score_tokens(self, span: Span) -> Float[np.ndarray, " T"]:
        """One score per token, float64.

        Raises:
            ProbeError: the span lacks this layer's residuals, or they have another length or width.
        """
        x_TD = span.hidden.get(self.layer)
        if x_TD is None or len(x_TD) != len(span):
            found = f"residuals of {sorted(span.hidden)}" if x_TD is None else f"{len(x_TD)} residuals"
            raise ProbeError(f"detector of {self.concept}: needs layer {self.layer} of {len(span)} tokens, got {found}")
        width = width_of(self.estimator)
        if width not in (None, x_TD.shape[1]):
            raise ProbeError(f"detector of {self.concept}: fitted at width {width}, got residuals of {x_TD.shape[1]}")
        if not len(span):
            return np.zeros(0)
        return self.estimator.decision(x_TD).double().cpu().numpy()


def learned_names(kind: type[Estimator]) -> list[str]:
    """Names of the tensors that an estimator learns, as its class declares them."""
    return [name for name in inspect.get_annotations(kind) if name.endswith("_")]


def learned_of(estimator: Estimator) -> dict[str, Tensor]:
    """What an estimator learned, by name.

    Raises:
        ProbeError: it was not fitted.
    """
    names = learned_names(type(estimator))
    if missing := [name for name in names if not hasattr(estimator, name)]:
        raise ProbeError(f"{type(estimator).__name__} was not fitted (no {', '.join(missing)}); call fit first")
    return {name: getattr(estimator, name) for name in names}


def settings_of(estimator: Estimator) -> dict[str, Any]:
    """The arguments that an estimator was made with; what has a ``fingerprint`` (an SAE) stands as that."""
    if type(estimator).__init__ is object.__init__:
        return {}
    values = {name: getattr(estimator, name) for name in inspect.signature(type(estimator)).parameters}
    return {name: getattr(value, "fingerprint", value) for name, value in values.items()}


def width_of(estimator: Estimator) -> int | None:
    """Residual width that an estimator reads or edits; None where it does not know."""
    for name in ("w_", "down_"):
        if (learned := getattr(estimator, name, None)) is not None:
            return int(learned.shape[-1])
    return getattr(getattr(estimator, "encoder", None), "width", None)


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide what a fit gives, for :class:`Provenance`."""
    return {package: version(package) for package in PACKAGES}
