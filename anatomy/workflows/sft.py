"""``anatomy sft``: supervised fine-tuning on the chosen responses, the stage before DPO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.settings import load_settings
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.train import run_task
from interventions.training.train_settings import SFTSettings


def sft(*, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Fine-tune on the chosen responses into ``out`` (checkpoints, log, report, model); a killed one resumes.

    Args:
        out: directory of the training.
        settings: YAML file with settings (a recipe); ``flags`` win over it.
        **flags: settings of :class:`interventions.training.train_settings.SFTSettings`.

    Raises:
        SettingsError: settings are wrong, or do not go together.
        RunError: ``out`` holds a training of other rows, model or settings, or another process trains there.
    """
    return run_task(load_settings(SFTSettings, flags, settings), Path(out))
