"""What a training directory says of itself: ``training.json``, its identity, and ``train_log.jsonl``, its steps.

``anatomy train`` and ``anatomy sft`` write both; readers of a trained model find here what made it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue

from anatomy import artifacts
from anatomy.artifacts import Artifact
from anatomy.errors import RunError
from anatomy.settings import Settings
from anatomy.types import content_hash


class InputHashes(Settings):
    """Hashes of what a training is asked for, known before anything is read or written."""

    rows: str = Field(description="Content of the source, and how it is read.")
    plan: str = Field(description="The plan as it is written.")
    model: str = Field(description="Weights that training starts from, in their numeric type.")
    template: str = Field(description="Chat template and tokenizer.")
    settings: str = Field(description="The settings on which the final weights depend.")

    def changed(self, other: InputHashes) -> list[str]:
        """Return the names of the hashes that differ."""
        return [name for name in InputHashes.model_fields if getattr(self, name) != getattr(other, name)]


class RowCounts(Settings):
    """How many rows there are and what the plan does to them; ``tokens`` are those of both sides in one pass."""

    retained: int = Field(description="Rows that can be trained on.")
    dropped: int = Field(description="Left out by the plan.")
    swapped: int = Field(description="Trained on with chosen and rejected swapped.")
    window: int = Field(description="Left out because the window has no room for a response.")
    trained: int = Field(description="Trained on.")
    shaped: int = Field(description="With an offset in the loss.")
    inoculated: int = Field(description="With an instruction for the policy.")
    masked: int = Field(description="With tokens left out of the loss.")
    steered: int = Field(description="With a steered policy.")
    tokens: int = Field(description="Tokens of both sides in one pass over the rows.")


class PreparedRows(Settings):
    """What was prepared for training: hashes of the content that is trained on, and counts."""

    rows: str = Field(description="Hash of the ids of the retained rows, in their order.")
    edits: str = Field(description="Hash of what the plan does to each row, and of its steering vectors.")
    table: str = Field(description="Hash of the token table's bytes.")
    detectors: dict[str, str] = Field(description="By target of the plan, the fingerprint of its detector.")
    concepts: tuple[str, ...] = Field(description="Names of the token table's `tiers`.")
    counts: RowCounts


class TrainedIntervention(Settings):
    """An intervention of the plan that a model was trained with; exactly one of the first four names its target."""

    concept: str | None = None
    cluster: str | None = None
    source: str | None = None
    rows: tuple[str, ...] | None = None
    direction: Literal["suppress", "amplify"]
    strength: float
    backend: str
    options: dict[str, JsonValue]


class TrainingIdentity(Artifact):
    """``training.json``: what was asked for, what was prepared, and whether training finished."""

    NAME = "record of a training"
    VERSION = 3
    REMEDY = "train again with another --out"

    kind: Literal["dpo", "sft"]
    source: str = Field(description="The rows as they were named.")
    seed: int
    audit: str | None = Field(description="Run directory whose clusters the plan means.")
    interventions: tuple[TrainedIntervention, ...]
    scored: dict[str, str] = Field(description="By target of the plan, the concept that its detector scores.")
    settings: dict[str, JsonValue] = Field(description="The settings on which the final weights depend.")
    asked: InputHashes
    prepared: PreparedRows
    finished: bool

    @property
    def hash(self) -> str:
        """Hash of all that the final weights depend on; each checkpoint carries it."""
        return content_hash([self.asked.model_dump(), self.prepared.rows, self.prepared.edits])


def keep_training(model: Path | None, out: Path) -> None:
    """Copy into ``out`` the records of the training that made a model: readers of what it answers open no other place.

    Args:
        model: folder of the model, as the user named it; None for one of the Hub, which leaves nothing in ``out``.

    Raises:
        RunError: a file that the training wrote is missing or changed.
    """
    kept = []
    if model is not None and (model.parent / artifacts.TRAINING).is_file():
        if (model.parent / artifacts.OUTPUTS).is_file():
            artifacts.require_outputs(model.parent)
        names = (artifacts.TRAINING, artifacts.TRAIN_LOG)
        kept = [model.parent / name for name in names if (model.parent / name).is_file()]
    for name in (artifacts.OUTPUTS, artifacts.TRAINING, artifacts.TRAIN_LOG):
        (out / name).unlink(missing_ok=True)
    for path in kept:
        artifacts.write_bytes(out / path.name, path.read_bytes())
    if kept:
        artifacts.record_outputs(out, [path.name for path in kept])


class TrainStep(NamedTuple):
    """An optimiser step: its number, from 1, and everything that was logged after it, by name."""

    step: int
    values: dict[str, float]


def read_identity(folder: Path) -> TrainingIdentity | None:
    """Return the identity of a training directory, or None if it has none.

    Raises:
        RunError: the file is damaged, or of another version.
    """
    path = folder / artifacts.TRAINING
    return TrainingIdentity.read(path) if path.is_file() else None


def is_finished(folder: Path) -> bool:
    """Return whether ``folder`` holds a finished training; raises as :func:`read_identity`."""
    identity = read_identity(folder)
    return identity is not None and identity.finished


def write_identity(folder: Path, identity: TrainingIdentity) -> None:
    """Write ``training.json``, atomically."""
    identity.write(folder / artifacts.TRAINING)


def read_train_log(path: Path) -> list[TrainStep]:
    """Return the steps of ``train_log.jsonl``; no file has none, and a last line that was left half written is none.

    Raises:
        RunError: a whole line is not a step.
    """
    steps: list[TrainStep] = []
    content = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for number, text in enumerate(content.split("\n")[:-1], 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise RunError(f"{path}: line {number} is not a step of a training; restore the file or delete it")
        steps.append(TrainStep(line.pop("step"), line))
    return steps
