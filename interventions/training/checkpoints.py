"""Checkpoints that count, and the log of steps.

A resumed trainer takes whatever rows, offsets and weights it is given and says nothing. So each checkpoint carries a
stamp, written last: the hash of its training's identity and of all its files. One without it was cut short and does not
count, and one with other files is damaged.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from anatomy.artifacts import write_text
from anatomy.data.stamped_folder import STAMP, read_stamp, stamp_folder
from anatomy.errors import RunError
from anatomy.progress import Bar, logger, progress_bar
from anatomy.rollouts.training_folder import TrainingIdentity

CHECKPOINTS = "checkpoints"


class Stamp(TrainerCallback):
    """Stamps each checkpoint with the identity's hash when all processes have written their parts."""

    def __init__(self, identity: TrainingIdentity) -> None:
        self.hash = identity.hash

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Stamp the checkpoint that was just written."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            stamp_folder(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self.hash)
        return control


def complete_checkpoints(out: Path) -> list[Path]:
    """Return the stamped checkpoints of the training in ``out``, oldest first; none that was cut short is one."""
    return [path for path in _checkpoints(out) if (path / STAMP).is_file()]


def _checkpoints(out: Path) -> list[Path]:
    found = {int(path.name.rpartition("-")[2]): path for path in (out / CHECKPOINTS).glob("checkpoint-*")
             if re.fullmatch(r"checkpoint-\d+", path.name) and path.is_dir() and not path.is_symlink()}  # fmt: skip
    return [found[step] for step in sorted(found)]


def is_begun(out: Path, identity: TrainingIdentity) -> bool:
    """Return whether the training in ``out`` is finished or has a complete checkpoint."""
    return identity.finished or bool(complete_checkpoints(out))


def last_checkpoint(out: Path) -> Path | None:
    """Return the newest stamped checkpoint of the training in ``out`` that it can resume from, or None.

    From a last step in the middle of an epoch a resumed trainer would take one step too many: it asks whether it is at
    its end after a step. The checkpoint before it leads to the same weights.
    """
    newest_first = reversed(complete_checkpoints(out))
    return next((path for path in newest_first if not _ends_within_an_epoch(path)), None)


def _ends_within_an_epoch(checkpoint: Path) -> bool:
    state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    return state.global_step >= state.max_steps and not float(state.epoch or 0).is_integer()


def remove_unusable(out: Path, identity: TrainingIdentity) -> None:
    """Delete checkpoints that were cut short, and from the newest back damaged ones, until one can be resumed from.

    The trainer would count them when it deletes old ones.

    Raises:
        RunError: a checkpoint belongs to another training.
    """
    stamped = complete_checkpoints(out)
    for path in _checkpoints(out):
        if path not in stamped:
            shutil.rmtree(path)
    for path in reversed(stamped):
        stamp = read_stamp(path)
        if stamp is not None and stamp.made_of != identity.hash:
            raise RunError(f"{path}: is a checkpoint of another training; use another --out, or delete it")
        if stamp is not None and not _ends_within_an_epoch(path):
            break
        if stamp is not None:
            continue
        logger.warning(f"warning: {path}: damaged; training resumes from the checkpoint before it, if there is one")
        shutil.rmtree(path)


def tokens_until(checkpoint: Path | None) -> int:
    """Return how many tokens had been trained on when a checkpoint was written, as its log says; None has none."""
    if checkpoint is None:
        return 0
    history = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME)).log_history
    return max((int(entry["num_tokens"]) for entry in history if "num_tokens" in entry), default=0)


class StepLog(TrainerCallback):
    """Writes ``train_log.jsonl``: one line a step, with ``step``, ``loss`` and everything else that is logged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bar: Bar | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Write the lines of the steps until the checkpoint from what it holds; those after it are done again."""
        self.bar = progress_bar("train", "step", state.max_steps) if state.is_world_process_zero else None
        if self.bar is not None:
            self.bar.start()
            self.bar.update(state.global_step)
            kept = [dict(entry) for entry in state.log_history if "loss" in entry]
            write_text(self.path, "".join(_line(int(entry.pop("step")), entry) for entry in kept))
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
    return json.dumps({"step": step, **dict(sorted(values.items()))}) + "\n"
