"""The training that made a model, read from the folder around the model.

``anatomy train`` leaves ``X/model`` next to ``trained.json`` (hashes of the training's inputs, and its settings),
``manifest.json`` and, if there was a plan, ``plan.yaml``. Two trainings are *twins* when all hashes but the plan's are
equal: they have the same rows, start, settings and seed, so they differ in the interventions and in nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.prediction.reward_drift import RewardDrift, read_reward_drift
from anatomy.settings import Settings, read_yaml
from anatomy.types import content_hash

DETECTOR = "detector.json"
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


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class _Trained(_File):
    """``trained.json``."""

    rows: str
    model: str
    template: str
    settings: str
    learnt_by: dict[str, Any]


class _Asked(_File):
    """Settings in ``manifest.json``."""

    rows: str


class _Manifest(_File):
    settings: _Asked


class _Item(_File):
    """One intervention in ``plan.yaml``."""

    direction: str
    backend: str
    strength: float = 1.0
    options: dict[str, Any] | None = None
    concept: str | None = None
    cluster: str | None = None
    source: str | None = None
    rows: list[str] | None = None

    @model_validator(mode="after")
    def _has_target(self) -> Self:
        if not (self.concept or self.cluster or self.source or self.rows):
            raise ValueError("names no target")
        return self


class _Plan(_File):
    run: str | None = None
    interventions: tuple[_Item, ...] = ()


class _Detector(_File):
    concept: str


FileT = TypeVar("FileT", bound=_File)


def read_training(model: Path, run: Path) -> TrainingRecord:
    """The DPO training that made a model.

    Args:
        model: folder of the model.
        run: the audit; clusters of another audit are no targets here.

    Raises:
        RunError: no training is known, with the reason.
    """
    folder = model.parent
    if not (folder / artifacts.TRAINED).is_file():
        raise RunError(f"{folder}: no {artifacts.TRAINED}; `anatomy train` leaves it next to the model")
    trained = _checked(_Trained, folder / artifacts.TRAINED, artifacts.read_json(folder / artifacts.TRAINED))
    learnt = dict(trained.learnt_by)
    if not {"beta", "seed"} <= learnt.keys():
        raise RunError(f"{folder}: supervised fine-tuning; only DPO trainings are compared")
    manifest = _checked(_Manifest, folder / artifacts.MANIFEST, artifacts.read_json(folder / artifacts.MANIFEST))
    plan = _read_plan(folder / artifacts.PLAN)
    items = [item for item in plan.interventions if item.strength > 0]
    inputs = [trained.rows, trained.model, trained.template]
    audited = None if plan.run is None else str(Path(plan.run).resolve())
    seed = int(learnt.pop("seed"))
    return TrainingRecord(
        folder=str(folder),
        rows=Path(manifest.settings.rows).name,
        seed=seed,
        interventions=tuple(_intervention(item, audited == str(run.resolve())) for item in items),
        # R12 of another audit is another cluster
        plan=content_hash([[item.model_dump(mode="json") for item in items], audited] if items else []),
        twin=content_hash([*inputs, trained.settings]),
        recipe=content_hash([*inputs, learnt]),
        reward_drift=read_reward_drift(folder / artifacts.TRAIN_LOG),
    )


def _checked(kind: type[FileT], path: Path, content: object) -> FileT:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise RunError(f"{path}: not as `anatomy train` writes it ({where}: {first['msg']}); train again") from None


def _read_plan(path: Path) -> _Plan:
    return _checked(_Plan, path, read_yaml(path, "plan", RunError)) if path.is_file() else _Plan()


def _intervention(item: _Item, same_audit: bool) -> PlannedIntervention:
    target, response = _target(item, same_audit)
    given = {name: value for name, value in (item.options or {}).items() if value not in (None, False)}
    options = ", ".join(name if value is True else f"{name} {_short(value)}" for name, value in given.items())
    dose = f" {item.strength:g}" if item.backend in DOSED else ""
    how = f"{item.backend.replace('_', ' ')}{dose}" + (f" ({options})" if options else "")
    words = f"{item.direction} {target}: {how}"
    return PlannedIntervention(words=words, direction=item.direction, response=response)


def _target(item: _Item, same_audit: bool) -> tuple[str, str | None]:
    """The target in words; and the concept or response cluster that it is, or None."""
    if item.concept:
        concept = _concept(item.concept)
        return concept, concept
    if item.cluster:
        return item.cluster, item.cluster if item.cluster[0] == "R" and same_audit else None
    return item.source or f"{len(item.rows or ()):,} rows", None


def _concept(name: str) -> str:
    """The concept of a saved detector's folder; any other name is a concept itself."""
    path = Path(name).expanduser() / DETECTOR
    return _checked(_Detector, path, artifacts.read_json(path)).concept if path.is_file() else Path(name).name


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= OPTION else text[: OPTION - 1] + "…"
