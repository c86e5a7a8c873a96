"""``anatomy train``: DPO with the interventions of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.settings import load_settings
from anatomy.workflows.outcome import Outcome, Where
from interventions.training.launch import check_launch
from interventions.training.train_settings import SFTSettings, TrainSettings


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
    return run_task(load_settings(TrainSettings, flags, settings), Path(out))


def run_task(settings: SFTSettings, out: Path) -> Outcome:
    """Train as ``settings`` say, by DPO or on chosen responses.

    A killed run resumes from its last complete checkpoint; a finished one is not trained again. The text is empty in
    all processes but the first of several.
    """
    check_launch(settings)  # before the seconds that trainers take to load
    from anatomy.workflows.plan_detectors import plan_detectors
    from interventions.training.prepared_rows import TrainingTask, prepare, refuse_changed
    from interventions.training.run_training import first_alone, fit, training_processes

    task = TrainingTask.of(settings, out)

    def prepared() -> None:
        asked = task.input_hashes()
        refuse_changed(task, asked)  # before anything is overwritten
        prepare(task, asked, plan_detectors(task.plan, task.reader, task.rows.concepts_file))

    with training_processes(task):
        first_alone(prepared)
        return Outcome(out, fit(task))
