"""The training that made a model, read from the records that its completions keep of it.

``anatomy train`` leaves ``training.json`` next to ``X/model``, and ``anatomy rollout`` a copy next to what it answers:
what was asked for, and hashes of all that the weights depend on. Two trainings are *twins* when all hashes but the
plan's are equal: they have the same rows, start, settings and seed, so they differ in the interventions and in nothing
else.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, StrictInt

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.prediction.reward_drift import RewardDrift, read_reward_drift
from anatomy.rollouts.training_folder import TrainedIntervention, TrainingIdentity, read_identity
from anatomy.settings import Settings
from anatomy.types import content_hash

OPTION = 40
DOSED = ("steering", "reward_shaping")
"""Backends that do more if their strength is greater; for the others, any strength above 0 is the same."""


class PlannedIntervention(Settings):
    """One intervention of a training's plan, as reports show it."""

    words: str = Field(description="Direction, target and backend in words.")
    direction: str = Field(description="suppress or amplify.")
    response: str | None = Field(description="Target: a concept, or a response cluster of the audit; None for others.")


class TrainingRecord(Settings):
    """A DPO training; no intervention means plain DPO."""

    folder: str = Field(description="Folder of the training.")
    rows: str = Field(description="Name of its rows.")
    seed: StrictInt = Field(description="Training seed.")
    interventions: tuple[PlannedIntervention, ...] = Field(description="Interventions of strength above 0.")
    plan: str = Field(description="Hash of the interventions and of the audit that they refer to.")
    twin: str = Field(description="Hash of everything but the plan.")
    recipe: str = Field(description="Hash of everything but plan and seed.")
    reward_drift: RewardDrift | None = Field(description="Length and end of the training; None without its log.")


def read_training(folder: Path, run: Path, name: str) -> TrainingRecord:
    """The DPO training that made a model.

    Args:
        folder: of its records.
        run: the audit; clusters of another audit are no targets here.
        name: where it was made, as reports show it.

    Raises:
        RunError: no training is known, with the reason.
    """
    identity = read_identity(folder)
    if identity is None:
        raise RunError(f"{folder}: no {artifacts.TRAINING}; `anatomy rollout` keeps it of a model by `anatomy train`")
    if identity.kind != "dpo":
        raise RunError(f"{folder}: supervised fine-tuning; only DPO trainings are compared")
    if not identity.finished:
        raise RunError(f"{folder}: a training that is not finished; run the same `anatomy train` again")
    artifacts.require_recorded(folder / artifacts.TRAIN_LOG)
    items = [item for item in identity.interventions if item.strength > 0]
    inputs = [identity.prepared.rows, identity.asked.model, identity.asked.template]
    but_seed = {name: value for name, value in identity.settings.items() if name != "seed"}
    return TrainingRecord(
        folder=name,
        rows=Path(identity.source).name,
        seed=identity.seed,
        interventions=tuple(_intervention(item, identity, run) for item in items),
        # R12 of another audit is another cluster
        plan=content_hash([[item.model_dump(mode="json") for item in items], identity.audit] if items else []),
        twin=content_hash([*inputs, identity.asked.settings]),
        recipe=content_hash([*inputs, but_seed]),
        reward_drift=read_reward_drift(folder / artifacts.TRAIN_LOG),
    )


def _intervention(item: TrainedIntervention, identity: TrainingIdentity, run: Path) -> PlannedIntervention:
    target, response = _target(item, identity, run)
    given = {name: value for name, value in item.options.items() if value not in (None, False)}
    options = ", ".join(name if value is True else f"{name} {_short(value)}" for name, value in given.items())
    dose = f" {item.strength:g}" if item.backend in DOSED else ""
    how = f"{item.backend.replace('_', ' ')}{dose}" + (f" ({options})" if options else "")
    words = f"{item.direction} {target}: {how}"
    return PlannedIntervention(words=words, direction=item.direction, response=response)


def _target(item: TrainedIntervention, identity: TrainingIdentity, run: Path) -> tuple[str, str | None]:
    """The target in words; and the concept or response cluster that it is, or None."""
    if item.concept:
        concept = identity.scored.get(item.concept, item.concept)
        return concept, concept
    if item.cluster:
        same_audit = identity.audit == str(run.resolve())
        return item.cluster, item.cluster if item.cluster[0] == "R" and same_audit else None
    return item.source or f"{len(item.rows or ()):,} rows", None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= OPTION else text[: OPTION - 1] + "…"
