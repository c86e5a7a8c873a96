"""How far a training moved the rewards of its responses, and whether it moved them where labels can point.

DPO's labels say which response of a pair is preferred: they speak of the *margin* (chosen minus rejected). What both
responses gain or lose *together* is not in the labels, and a predictor that reads labels cannot know it. The common
part grows with the step: noise in the weights moves a model away from its own likely text, so that both responses
become less likely (displacement).
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from anatomy.errors import RunError
from anatomy.rollouts.training_folder import read_train_log
from anatomy.settings import Settings

END = 0.25
"""Share of the steps, the last ones, that are averaged: one step has few pairs, and the last steps are short."""


class RewardDrift(Settings):
    """Length of a training and where its rewards ended, in ``β · log(π/π_ref)`` of a response, as in DPO's loss."""

    learning_rate: float = Field(ge=0, description="Largest learning rate.")
    steps: int = Field(ge=1, description="Optimiser steps.")
    margin: float = Field(description="Mean reward of chosen minus rejected in the last steps, without shaping.")
    common: float = Field(description="Mean reward of both responses in the last steps.")

    @property
    def words(self) -> str:
        """The length of the training in words."""
        return f"{self.steps:,} steps at learning rate {self.learning_rate:g}"

    @property
    def warning(self) -> str | None:
        """The reason not to trust predictions from labels: both responses moved more than they parted. None without."""
        if abs(self.common) <= self.margin:
            return None
        return (
            f"the rewards of chosen and rejected moved together by {self.common:+.2g} and parted by {self.margin:+.2g}"
            ": most of what training did is not in the labels that a prediction reads; a smaller learning rate stays "
            "closer to them"
        )


class _Line(BaseModel):
    """The part of a line of ``train_log.jsonl`` that is read here."""

    learning_rate: float
    margin: float = Field(alias="raw/margins")
    chosen: float = Field(alias="rewards/chosen")
    rejected: float = Field(alias="rewards/rejected")


def read_reward_drift(log: Path) -> RewardDrift | None:
    """The drift from ``train_log.jsonl`` of a DPO training; None if the log is missing or empty.

    Raises:
        RunError: the log is not one of a DPO training, or of one that diverged.
    """
    try:
        lines = TypeAdapter(list[_Line]).validate_python([step.values for step in read_train_log(log)])
    except ValidationError:
        raise RunError(f"{log}: not the log of a DPO training; train again") from None
    if not lines:
        return None
    if not all(isfinite(number) for line in lines for number in (line.margin, line.chosen, line.rejected)):
        raise RunError(f"{log}: rewards that are not finite: the training diverged; train with a smaller learning rate")
    last = lines[-max(1, int(len(lines) * END)) :]
    return RewardDrift(
        learning_rate=max(line.learning_rate for line in lines),
        steps=len(lines),
        margin=fmean(line.margin for line in last),
        common=fmean((line.chosen + line.rejected) / 2 for line in last),
    )
