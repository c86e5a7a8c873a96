"""Checkpoints that count, and the log of steps.

A resumed trainer takes whatever rows, offsets and weights it is given and says nothing. So each checkpoint carries the
hash of its training's identity, written last: a checkpoint without it was cut short and does not count.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from anatomy.artifacts import write_text
from anatomy.errors import RunError
from anatomy.progress import Bar, progress_bar
from anatomy.rollouts.training_folder import TrainingIdentity, read_train_log

CHECKPOINTS = "checkpoints"
STAMP = "identity"


class Stamp(TrainerCallback):
    """Writes the identity's hash into each checkpoint when all processes have written their parts."""

    def __init__(self, identity: TrainingIdentity) -> None:
        self.hash = identity.hash

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Stamp the checkpoint that was just written."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            write_text(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / STAMP, self.hash)
        return control


def complete_checkpoints(out: Path) -> list[Path]:
    """Return the complete checkpoints of the training in ``out``, oldest first; incomplete ones are left out."""
    found = [stamp.parent for stamp in (out / CHECKPOINTS).glob(f"checkpoint-*/{STAMP}")]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def is_begun(out: Path, identity: TrainingIdentity) -> bool:
    """Return whether the training in ``out`` is finished or has a complete checkpoint."""
    return identity.finished or bool(complete_checkpoints(out))


def last_checkpoint(out: Path, identity: TrainingIdentity) -> Path | None:
    """Return the newest complete checkpoint of the training in ``out``, or None.

    Raises:
        RunError: a checkpoint belongs to another training.
    """
    found = complete_checkpoints(out)
    for path in found:
        if (path / STAMP).read_text(encoding="utf-8") != identity.hash:
            raise RunError(f"{path}: is a checkpoint of another training; use another --out, or delete it")
    return found[-1] if found else None


def remove_incomplete(out: Path) -> None:
    """Delete checkpoints that were cut short; the trainer would count them when it deletes old ones."""
    for path in (out / CHECKPOINTS).glob("checkpoint-*"):
        if not (path / STAMP).is_file():
            shutil.rmtree(path)


class StepLog(TrainerCallback):
    """Writes ``train_log.jsonl``: one line a step, with ``step``, ``loss`` and everything else that is logged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bar: Bar | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Drop the lines of steps after the checkpoint, which are done again, and half a line of a killed process."""
        self.bar = progress_bar("train", "step", state.max_steps) if state.is_world_process_zero else None
        if self.bar is not None:
            self.bar.start()
            self.bar.update(state.global_step)
            kept = [step for step in read_train_log(self.path) if step.step <= state.global_step]
            write_text(self.path, "".join(_line(step.step, step.values) for step in kept))
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> TrainerControl:
        """Add a line for an optimiser step."""
        if state.is_world_process_zero and logs and "loss" in logs:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(state.global_step, logs))
            if self.bar is not None:
                self.bar.update(1, note=f"loss {logs['loss']:.4f}")
        return control

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
        return control


def _line(step: int, values: dict[str, float]) -> str:
    return json.dumps({"step": step, **values}) + "\n"
