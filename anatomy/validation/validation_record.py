"""``validation.json``: everything that a validation found, but for the table of shifts and the means by prompt."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from anatomy.artifacts import Artifact
from anatomy.prediction.calibration import Calibration
from anatomy.rollouts.rollout_set import RolloutManifest
from anatomy.settings import Settings
from anatomy.validation.controls import ControlSpread
from anatomy.validation.shift_comparison import NoAgreement, ViewAgreement
from anatomy.validation.training_record import TrainingRecord


class RolloutSides(Settings):
    """Manifests of the rollouts before and after training."""

    before: RolloutManifest
    after: RolloutManifest


class PromptReading(Settings):
    """How the means of each prompt were read; validations can be compared if all but the table are equal."""

    statistic: str = Field(description="Statistic of a cluster's features.")
    window: int | None = Field(description="Tokens of a response that were read.")
    clusters: str = Field(description="Hash of the run's clusters.")
    concepts: tuple[tuple[str, float | str], ...] = Field(description="Concepts with their threshold or deviation.")
    table: str = Field(description="Hash of the table of means.")


class Validation(Artifact):
    """Predicted next to observed shifts of one training."""

    NAME: ClassVar[str] = "validation"
    REMEDY: ClassVar[str] = "run `anatomy validate` again"

    data: str = Field(description="Name of the preference set.")
    seed: int = Field(description="Training seed of the model after.")
    role: str = Field(description="Whether a choice was made on this set.")
    run: str = Field(description="Folder of the audit.")
    window: int = Field(description="Tokens of a response that were read.")
    pairs: int = Field(description="Pairs of completions, before and after.")
    prompts: int = Field(description="Held-out prompts.")
    left_out: dict[str, int] = Field(description="Completions that were left out, by reason.")
    rollouts: RolloutSides
    training: TrainingRecord | None = Field(description="Training that made the model after.")
    training_unknown: str | None = Field(None, description="Reason why the training is not known.")
    per_prompt: PromptReading
    agreements: dict[str, dict[str, ViewAgreement | NoAgreement]] = Field(description="By predictor and view.")
    controls: dict[str, dict[str, ControlSpread]] = Field(description="By view and control.")
    calibration: Calibration | None = Field(description="Line of the best predictor; None for too few readouts.")
    warning: str | None = Field(description="Reason not to trust predictions for this training.")
