"""``anatomy train``: DPO with the interventions of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.settings import load_settings
from anatomy.workflows.outcome import Outcome, Where
from interventions.training import run_training
from interventions.training.train_settings import TrainSettings
from probes.resolve import resolve


def train(*, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Train by DPO into ``out`` (checkpoints, log, report, model); a killed one resumes.

    Args:
        out: directory of the training.
        settings: YAML file with settings (a recipe); ``flags`` win over it.
        **flags: settings of :class:`interventions.training.train_settings.TrainSettings`.

    Raises:
        SettingsError: settings are wrong, or do not go together.
        RunError: ``out`` holds a training of other rows, model or settings, or another process trains there.
    """
    asked = load_settings(TrainSettings, flags, settings)
    return Outcome(Path(out), run_training.train(asked, Path(out), resolve))
