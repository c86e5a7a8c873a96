"""Which training made a model, as far as the folder around it says; in words too.

``anatomy train`` leaves ``X/model`` next to ``training.json``: what was asked for, and hashes of all that the weights
depend on. Two trainings are *twins* if all hashes but the plan's are equal: same rows, same start, same settings and
seed, so that they differ in the interventions and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.prediction.reward_drift import read_strength
from anatomy.progress import logger
from anatomy.rollouts.training_folder import TrainedIntervention, TrainingIdentity, read_identity
from anatomy.types import content_hash

DETECTOR = "detector.json"
OPTION = 40
DOSED = ("steering", "reward_shaping")
"""Backends that do more if their strength is greater; for the others, any strength above 0 is the same."""


def read_training(model: Mapping[str, Any], run: Path) -> dict[str, Any] | None:
    """Return the DPO training that made a model, or None if its folder is gone, damaged or no DPO training.

    A damaged record is reported with its reason.

    Args:
        model: ``model`` of a rollouts' manifest.
        run: the audit; clusters of another one are no targets here.

    Returns:
        ``folder``, ``rows`` (their name), ``seed``, ``interventions`` (of strength above 0; none is plain DPO),
        ``plan`` (their hash), ``twin`` (hash of all but the plan), ``recipe`` (hash of all but plan and seed),
        ``strength`` (as in ``reward_drift.Strength``, or None without its log).
    """
    folder = Path(str(model.get("folder") or model.get("name"))).expanduser().parent
    try:
        identity = read_identity(folder)
        if identity is None or identity.kind != "dpo" or not identity.finished:
            return None
        return _record(identity, folder, run)
    except RunError as error:
        logger.warning(f"warning: the model's training is unknown, so it is compared with no other ({error})")
        return None


def _record(identity: TrainingIdentity, folder: Path, run: Path) -> dict[str, Any]:
    items = [item for item in identity.interventions if item.strength > 0]
    same = [identity.prepared.rows, identity.asked.model, identity.asked.template]
    but_seed = {name: value for name, value in identity.settings.items() if name != "seed"}
    strength = read_strength(folder / artifacts.TRAIN_LOG)
    done = [item.model_dump(mode="json") for item in items]
    return {
        "folder": str(folder),
        "rows": Path(identity.source).name,
        "seed": identity.settings["seed"],
        "interventions": [_intervention(item, identity.audit, run) for item in items],
        "plan": content_hash([done, identity.audit] if done else []),  # R12 of another audit is another cluster
        "twin": content_hash([*same, identity.asked.settings]),
        "recipe": content_hash([*same, but_seed]),
        "strength": None if strength is None else strength.model_dump(),
    }


def _intervention(item: TrainedIntervention, audit: str | None, run: Path) -> dict[str, Any]:
    """Return ``words``, ``direction``, and ``response``, a concept or R cluster of ``run``, or None."""
    response = None
    if item.concept is not None:
        target = response = _concept(item.concept)
    elif item.rows is not None:
        target = f"{len(item.rows):,} rows"
    else:
        target = str(item.cluster or item.source)
        if item.cluster is not None and item.cluster[0] == "R" and audit == str(run.resolve()):
            response = item.cluster
    given = {name: value for name, value in item.options.items() if value not in (None, False)}
    options = ", ".join(name if value is True else f"{name} {_short(value)}" for name, value in given.items())
    dose = f" {item.strength:g}" if item.backend in DOSED else ""
    how = f"{item.backend.replace('_', ' ')}{dose}" + (f" ({options})" if options else "")
    return {"words": f"{item.direction} {target}: {how}", "direction": item.direction, "response": response}


def _concept(name: str) -> str:
    """Return the concept of a saved detector's folder; any other name is one itself."""
    path = Path(name).expanduser() / DETECTOR
    card = artifacts.read_json(path) if path.is_file() else None
    return str(card["concept"]) if isinstance(card, dict) and "concept" in card else Path(name).name


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= OPTION else text[: OPTION - 1] + "…"
