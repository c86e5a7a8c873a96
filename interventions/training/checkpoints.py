"""Which checkpoint a run goes on from, and whether it is the same run.

A resumed trainer takes whatever rows, offsets and weights it is given and says nothing. So each checkpoint holds what
made it, written last: a checkpoint without it was cut short and does not count.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from anatomy.artifacts import read_json, read_log, write_json, write_text
from anatomy.errors import RunError
from anatomy.progress import Bar, progress_bar

STAMP = "made_of.json"


class Stamp(TrainerCallback):
    """Writes into each checkpoint what it was made of, when all processes have written their parts."""

    def __init__(self, made_of: Mapping[str, str]) -> None:
        self.made_of = dict(made_of)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """After every checkpoint."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            write_json(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / STAMP, self.made_of)
        return control


def last_checkpoint(folder: Path, made_of: Mapping[str, str]) -> Path | None:
    """The newest complete checkpoint in ``folder``; None where there is none. Incomplete ones are ignored.

    Raises:
        RunError: a checkpoint was made of other rows, another plan, model or settings.
    """
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{STAMP}")]
    for path in complete:
        refuse_changed(path / STAMP, made_of)
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def refuse_changed(manifest: Path, made_of: Mapping[str, str]) -> None:
    """Compare a manifest with what would be trained now.

    Raises:
        RunError: they differ; one line names in what.
    """
    found = read_json(manifest)
    changed = [name for name, value in made_of.items() if found.get(name) != value]
    if changed:
        raise RunError(
            f"{manifest.parent}: was trained with other {' and '.join(changed)}; use another --out, or delete it to "
            "start again"
        )


def remove_incomplete(folder: Path) -> None:
    """Delete checkpoints that were cut short; the trainer would count them when it deletes old ones."""
    for path in folder.glob("checkpoint-*"):
        if not (path / STAMP).is_file():
            shutil.rmtree(path)


class StepLog(TrainerCallback):
    """``train_log.jsonl``: one line a step, with ``step``, ``loss`` and everything else that is logged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bar: Bar | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Steps after the checkpoint will be done again: drop their lines, and half a line of a killed process."""
        self.bar = progress_bar("train", "step", state.max_steps) if state.is_world_process_zero else None
        if self.bar is not None:
            self.bar.start()
            self.bar.update(state.global_step)
            kept = [line for line in read_log(self.path) if line["step"] <= state.global_step]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> TrainerControl:
        """A line for each optimiser step."""
        if state.is_world_process_zero and logs and "loss" in logs:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")
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
