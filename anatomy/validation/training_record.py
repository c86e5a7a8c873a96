"""Which training made a model, as far as the folder around it tells; in words too.

``anatomy train`` leaves ``X/model`` beside ``trained.json`` (hashes of what it was made of, and its settings),
``manifest.json`` and, where there was a plan, ``plan.yaml``. Two trainings are *twins* when all hashes but the plan's
are equal: same rows, same start, same settings and seed, so that they differ in the interventions and in nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.errors import AnatomyError, RunError
from anatomy.prediction.reward_drift import read_strength
from anatomy.settings import read_yaml
from anatomy.types import content_hash

DETECTOR = "detector.json"
SAME = ("rows", "model", "template", "settings")
TARGETS = ("concept", "cluster", "source", "rows")
OPTION = 40
DOSED = ("steering", "reward_shaping")
"""Backends that do more where their strength is greater; of the others, any above 0 is the same."""


def read_training(model: Path, run: Path) -> dict[str, Any] | None:
    """The DPO training that made a model, or None where its folder is gone or tells of none.

    Args:
        model: folder of the model.
        run: the audit; clusters of another one are no targets here.

    Returns:
        ``folder``, ``rows`` (their name), ``seed``, ``interventions`` (of strength above 0; none is plain DPO),
        ``plan`` (their hash), ``twin`` (hash of all but the plan), ``recipe`` (hash of all but plan and seed),
        ``strength`` (as in ``strength.Strength``, or None without its log).
    """
    folder = model.parent
    try:
        return _read(folder, run) if (folder / artifacts.TRAINED).is_file() else None
    except (AnatomyError, OSError, AttributeError, KeyError, TypeError, ValueError, StopIteration):
        return None  # damaged, or made by something else


def _read(folder: Path, run: Path) -> dict[str, Any] | None:
    made = artifacts.read_json(folder / artifacts.TRAINED)
    learnt = dict(made["learnt_by"])
    if "beta" not in learnt:
        return None  # supervised fine-tuning
    asked = artifacts.read_json(folder / artifacts.MANIFEST)["settings"]
    plan = read_yaml(folder / artifacts.PLAN, "plan", RunError) if (folder / artifacts.PLAN).is_file() else {}
    items = [item for item in plan.get("interventions") or () if item.get("strength", 1) > 0]
    same = [made[name] for name in SAME]
    strength = read_strength(folder / artifacts.TRAIN_LOG)
    audited = None if plan.get("run") is None else str(Path(plan["run"]).resolve())
    return {
        "folder": str(folder),
        "rows": Path(str(asked["rows"])).name,
        "seed": int(learnt.pop("seed")),
        "interventions": [_intervention(item, audited, run) for item in items],
        "plan": content_hash([items, audited] if items else []),  # R12 of another audit is another cluster
        "twin": content_hash(same),
        "recipe": content_hash([*same[:3], learnt]),
        "strength": None if strength is None else strength.model_dump(),
    }


def _intervention(item: Mapping[str, Any], audited: str | None, run: Path) -> dict[str, Any]:
    """One intervention: ``words``, ``direction``, and ``response``, a concept or R cluster of ``run``, or None."""
    kind, target = next((name, item[name]) for name in TARGETS if item.get(name))
    response = None
    if kind == "concept":
        target = response = _concept(str(target))
    elif kind == "cluster" and target[0] == "R" and audited == str(run.resolve()):
        response = target
    elif kind == "rows":
        target = f"{len(target):,} rows"
    told = {name: value for name, value in (item.get("options") or {}).items() if value not in (None, False)}
    options = ", ".join(name if value is True else f"{name} {_short(value)}" for name, value in told.items())
    dose = f" {item.get('strength', 1):g}" if item["backend"] in DOSED else ""
    how = f"{item['backend'].replace('_', ' ')}{dose}" + (f" ({options})" if options else "")
    words = f"{item['direction']} {target}: {how}"
    return {"words": words, "direction": item["direction"], "response": response}


def _concept(name: str) -> str:
    """The concept of a saved detector's folder; any other name is one itself."""
    told = Path(name).expanduser() / DETECTOR
    return str(artifacts.read_json(told)["concept"]) if told.is_file() else Path(name).name


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= OPTION else text[: OPTION - 1] + "…"
