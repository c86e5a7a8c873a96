"""Validations of a run that can stand beside each other, and the arms that they make up.

Comparable are validations with the same rollouts before training, the same readouts (clusters, statistic, window,
thresholds of concepts) and the same prompts. An *arm* is a plan with everything else equal but the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from anatomy import artifacts
from anatomy.errors import AnatomyError, RunError
from anatomy.types import content_hash
from anatomy.validation.capability import Score, read_capability
from anatomy.validation.prompt_means import PromptMeans, read_means

EARLIER = "made before validations kept means by prompt; run `anatomy validate` again"
UNKNOWN = "its model is not one that `anatomy train` left in a folder that is still there"
OTHER = "made with other clusters than the run has now; run `anatomy validate` again"


class LeftOut(NamedTuple):
    """A validation, or a file beside it, that is not compared, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Validated:
    """One validation of a known training; ``key`` is the same for those that can be compared."""

    name: str
    before: str
    training: Mapping[str, Any]
    key: str
    means: PromptMeans
    capability: Mapping[str, Score]


@dataclass(frozen=True)
class Arm:
    """Trainings with one plan that differ in their seed, by seed."""

    trainings: Sequence[Validated]

    @property
    def interventions(self) -> Sequence[Mapping[str, Any]]:
        """What its plan does, in the words of ``training.read_training``."""
        found: Sequence[Mapping[str, Any]] = self.trainings[0].training["interventions"]
        return found

    @property
    def is_plain(self) -> bool:
        """Whether it is DPO without an intervention."""
        return not self.interventions


def read_validated(folder: Path, clusters: str) -> tuple[list[Validated], list[LeftOut]]:
    """Every ``NAME/validation.json`` under ``folder`` that can be compared, by name; and those that cannot.

    Args:
        clusters: hash of the run's clusters as they are now.
    """
    found, left = [], []
    for path in sorted(folder.glob(f"*/{artifacts.VALIDATION}")):
        try:
            found.append(_validated(path, clusters))
        except AnatomyError as error:
            left.append(LeftOut(path.parent.name, str(error)))
        except (AttributeError, KeyError, TypeError, ValueError, OSError):  # ArrowInvalid is a ValueError
            left.append(LeftOut(path.parent.name, f"{path}: damaged; run `anatomy validate` again"))
    return [one for one, _ in found], left + [gap for _, gap in found if gap is not None]


def _validated(path: Path, clusters: str) -> tuple[Validated, LeftOut | None]:
    told = artifacts.read_json(path)
    if "per_prompt" not in told:
        raise RunError(EARLIER)
    if told["training"] is None:
        raise RunError(UNKNOWN)
    kept, before = told["per_prompt"], told["rollouts"]["before"]
    if kept["clusters"] != clusters:
        raise RunError(OTHER)
    _check_training(told["training"])
    means = read_means(path.parent / artifacts.PROMPT_MEANS, kept["table"])
    how = {name: value for name, value in kept.items() if name != "table"}
    key = content_hash([before["fingerprint"], how, means.names, list(means.prompts)])
    name = path.parent.name
    scores, gap = _capability(path.parent)
    return Validated(name, str(before["model"]["name"]), told["training"], key, means, scores), gap


def _check_training(training: Mapping[str, Any]) -> None:
    """What ``training.read_training`` tells, or KeyError, TypeError."""
    if not all(isinstance(training[name], str) for name in ("plan", "recipe", "twin", "rows")):
        raise TypeError
    if not isinstance(training["seed"], int):
        raise TypeError
    for item in training["interventions"]:
        if not {"words", "direction", "response"} <= item.keys():
            raise KeyError


def _capability(folder: Path) -> tuple[dict[str, Score], LeftOut | None]:
    path = folder / artifacts.CAPABILITY
    try:
        return (read_capability(path) if path.is_file() else {}), None
    except AnatomyError as error:
        return {}, LeftOut(f"{folder.name}, capability", str(error))


def arms_of(group: Sequence[Validated]) -> tuple[list[Arm], list[LeftOut]]:
    """Arms of comparable validations, plain DPO first; a training that was validated twice counts once."""
    by_arm: dict[tuple[str, str], dict[int, Validated]] = {}
    left = []
    for one in group:
        seeds = by_arm.setdefault((one.training["plan"], one.training["recipe"]), {})
        first = seeds.setdefault(one.training["seed"], one)
        if first is not one:
            left.append(LeftOut(one.name, f"the same training as {first.name}"))
    arms = [Arm([seeds[seed] for seed in sorted(seeds)]) for seeds in by_arm.values()]
    return sorted(arms, key=lambda arm: (not arm.is_plain, arm.trainings[0].name)), left


def twins(arm: Arm, arms: Sequence[Arm]) -> tuple[Arm | None, list[tuple[Validated, Validated]]]:
    """The plain arm with most twins of ``arm``'s trainings (all equal but the plan), and pairs (plain, arm)."""
    best: tuple[Arm | None, list[tuple[Validated, Validated]]] = (None, [])
    for plain in (other for other in arms if other.is_plain):
        known = {one.training["twin"]: one for one in plain.trainings}
        pairs = [(known[t], one) for one in arm.trainings if (t := one.training["twin"]) in known]
        best = max(best, (plain, pairs), key=lambda found: len(found[1]))
    return best
