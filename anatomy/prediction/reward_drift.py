"""How far a training went, as its log tells, and whether it went where labels can point.

DPO's labels say which response of a pair is preferred: they speak of the *margin* (chosen minus rejected). What both
responses gain or lose *together* is not in the labels, and a predictor that reads labels cannot know of it. It grows
with the step: noise in the weights moves a model off its own likely text, and both fall with it (displacement).
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from pydantic import Field

from anatomy import artifacts
from anatomy.settings import Settings

END = 0.25
"""Share of the steps, the last ones, that are averaged: one step has few pairs, and the last ones are short."""


class Strength(Settings):
    """Length of a training and where it ended; rewards are ``β · log(π/π_ref)`` of a response, as in DPO's loss."""

    learning_rate: float = Field(ge=0, description="The largest.")
    steps: int = Field(ge=1, description="Optimiser steps.")
    margin: float = Field(description="Mean reward of chosen minus rejected in the last steps, without shaping.")
    common: float = Field(description="Mean reward of both responses in the last steps.")

    @property
    def words(self) -> str:
        """Its length, as it is told."""
        return f"{self.steps:,} steps at learning rate {self.learning_rate:g}"

    @property
    def warning(self) -> str | None:
        """Why predictions from labels cannot be trusted for it, or None: both responses moved more than they parted."""
        if abs(self.common) <= self.margin:
            return None
        return (
            f"the rewards of chosen and rejected moved together by {self.common:+.2g} and parted by {self.margin:+.2g}"
            ": most of what training did is not in the labels, by which a prediction goes; a smaller "
            "learning rate keeps to it"
        )


def read_strength(log: Path) -> Strength | None:
    """From ``train_log.jsonl`` of a DPO training; None where there is none, or an empty one.

    Raises:
        KeyError, TypeError: the log of something else.
    """
    lines = artifacts.read_log(log)
    if not lines:
        return None
    last = lines[-max(1, int(len(lines) * END)) :]
    return Strength(
        learning_rate=max(line["learning_rate"] for line in lines),
        steps=len(lines),
        margin=fmean(line["raw/margins"] for line in last),
        common=fmean((line["rewards/chosen"] + line["rewards/rejected"]) / 2 for line in last),
    )
