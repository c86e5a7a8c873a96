"""Validations of a run that can be compared, and the arms that they make up.

Validations can be compared if they share the rollouts before training, the readouts (clusters, statistic, window,
thresholds of concepts) and the prompts. An *arm* is the set of trainings that differ in nothing but the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anatomy import artifacts
from anatomy.errors import AnatomyError, RunError
from anatomy.types import content_hash
from anatomy.validation.capability import Score, read_capability
from anatomy.validation.prompt_means import PromptMeans, read_means
from anatomy.validation.training_record import PlannedIntervention, TrainingRecord
from anatomy.validation.validation_record import Validation

OTHER = "made with other clusters than the run has now; run `anatomy validate` again"


@dataclass(frozen=True)
class LeftOut:
    """A validation, or a file next to it, that is not compared, and the reason."""

    name: str
    why: str


@dataclass(frozen=True)
class Validated:
    """One validation of a known training; validations with the same ``key`` can be compared."""

    name: str
    before: str
    training: TrainingRecord
    key: str
    means: PromptMeans
    capability: Mapping[str, Score]


@dataclass(frozen=True)
class Arm:
    """Trainings with one plan that differ in their seed, in the order of the seeds."""

    trainings: Sequence[Validated]

    @property
    def interventions(self) -> Sequence[PlannedIntervention]:
        """The interventions of its plan."""
        return self.trainings[0].training.interventions

    @property
    def is_plain(self) -> bool:
        """Whether the arm is DPO without an intervention."""
        return not self.interventions


def read_validated(folder: Path, clusters: str) -> tuple[list[Validated], list[LeftOut]]:
    """Every ``NAME/validation.json`` under ``folder`` that can be compared, by name; and those that cannot be.

    Args:
        clusters: hash of the run's clusters as they are now.
    """
    found, left = [], []
    for path in sorted(folder.glob(f"*/{artifacts.VALIDATION}")):
        try:
            found.append(_validated(path, clusters))
        except AnatomyError as error:
            left.append(LeftOut(path.parent.name, str(error)))
    return [one for one, _ in found], left + [gap for _, gap in found if gap is not None]


def _validated(path: Path, clusters: str) -> tuple[Validated, LeftOut | None]:
    record = Validation.read(path)
    if record.training is None:
        raise RunError(f"the training of its model is not known: {record.training_unknown}")
    if record.per_prompt.clusters != clusters:
        raise RunError(OTHER)
    before = record.rollouts.before
    means = read_means(path.parent / artifacts.PROMPT_MEANS, record.per_prompt.table)
    how = record.per_prompt.model_dump(exclude={"table"})
    key = content_hash([before.fingerprint, how, means.names, list(means.prompts)])
    scores, gap = _capability(path.parent)
    return Validated(path.parent.name, before.model.name, record.training, key, means, scores), gap


def _capability(folder: Path) -> tuple[dict[str, Score], LeftOut | None]:
    path = folder / artifacts.CAPABILITY
    try:
        return (read_capability(path) if path.is_file() else {}), None
    except AnatomyError as error:
        return {}, LeftOut(f"{folder.name}, capability", str(error))


def arms_of(group: Sequence[Validated]) -> tuple[list[Arm], list[LeftOut]]:
    """Arms of validations with one key, plain DPO first; a training that was validated twice counts once."""
    by_arm: dict[tuple[str, str], dict[int, Validated]] = {}
    left = []
    for one in group:
        seeds = by_arm.setdefault((one.training.plan, one.training.recipe), {})
        first = seeds.setdefault(one.training.seed, one)
        if first is not one:
            left.append(LeftOut(one.name, f"the same training as {first.name}"))
    arms = [Arm([seeds[seed] for seed in sorted(seeds)]) for seeds in by_arm.values()]
    return sorted(arms, key=lambda arm: (not arm.is_plain, arm.trainings[0].name)), left


def twins(arm: Arm, arms: Sequence[Arm]) -> tuple[Arm | None, list[tuple[Validated, Validated]]]:
    """The plain arm with most twins of ``arm``'s trainings (all equal but the plan), and pairs (plain, arm)."""
    best: tuple[Arm | None, list[tuple[Validated, Validated]]] = (None, [])
    for plain in (other for other in arms if other.is_plain):
        known = {one.training.twin: one for one in plain.trainings}
        pairs = [(known[t], one) for one in arm.trainings if (t := one.training.twin) in known]
        best = max(best, (plain, pairs), key=lambda found: len(found[1]))
    return best
