"""A training from its settings to its model: what ``anatomy train`` and ``anatomy sft`` share."""

from __future__ import annotations

from pathlib import Path

from anatomy.workflows.plan_detectors import plan_detectors
from interventions.training.prepared_rows import TrainingTask, prepare, refuse_changed
from interventions.training.run_training import fit, training_processes
from interventions.training.train_settings import SFTSettings


def run_training_task(settings: SFTSettings, out: Path) -> str:
    """Train as ``settings`` say: checkpoints, log, report and the final model in ``out``.

    A killed run resumes from its last complete checkpoint; a finished one is not trained again. Returns a line for the
    terminal, empty in all processes but the first of several.

    Raises:
        SettingsError: settings that do not go together.
        PlanError: the plan is wrong, or does not fit the rows or the detectors.
        RunError: ``out`` holds a training with other rows, plan, model, template or settings, or another process trains
            there.
    """
    task = TrainingTask.of(settings, out)
    with training_processes(task) as state:
        if state.is_main_process:
            asked = task.input_hashes()
            refuse_changed(task, asked)
            prepare(task, asked, plan_detectors(task.plan, task.reader, task.rows.concepts_file))
        state.wait_for_everyone()
        return fit(task)
