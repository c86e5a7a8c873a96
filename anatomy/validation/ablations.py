"""Trainings compared: the change that each arm made, and the part of plain DPO's change that it takes back.

A shift is ``after − before`` of a readout, as a mean over the prompts that every arm of a comparison has read. Plain
DPO *moved* a readout if the interval over prompts excludes 0 and the readout passes Benjamini–Hochberg at 5 % among
those of its kind. Only moved readouts have a recovery (method.md §10); for the others it would divide by noise. All
arms share the draws of prompts. An arm is compared with plain DPO's *twins* of its trainings, while all seeds of plain
DPO decide which readouts moved and in which direction. There are two estimates off target: the mean of recoveries
(method.md §10), which a single readout that hardly moved can dominate, and the pooled recovery, in which each readout
is weighted by how far plain DPO moved it, in standard errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from anatomy.rollouts.text_health import HEALTH
from anatomy.statistics.resampling import LEVEL
from anatomy.validation.capability import Capability, capability, shared_tasks
from anatomy.validation.prompt_means import VIEWS
from anatomy.validation.recovery import (
    ArmEstimate,
    estimates,
    mean_recovery,
    moved,
    pooled_recovery,
    rate,
    recovery,
    rise,
    weights,
)
from anatomy.validation.training_record import PlannedIntervention
from anatomy.validation.validated import Arm, LeftOut, Validated, arms_of, read_validated, twins

SHOWN = 20
"""Most response clusters in a comparison: those that plain DPO moved most clearly."""

NO_TWIN = "no plain DPO on the same rows, from the same start, with the same settings and seed"
NOT_MOVED = "plain DPO did not move it"
NOT_READ = "not read in this audit; a concept is read where `anatomy audit --concepts` names it"
NO_PROMPT = "fewer than two prompts have completions that could be read in every training beside it"
NO_RESPONSE = "the plan names neither a concept nor a response cluster (R) of this audit"


@dataclass(frozen=True)
class TargetRecovery:
    """A target of a plan, and the reason why it has no recovery, if it has none."""

    response: str | None
    direction: str
    why: str | None


@dataclass(frozen=True)
class OffTarget:
    """Recovery over the ``of`` readouts that plain DPO moved off target, as a mean and pooled; None for no readout."""

    of: int
    mean: ArmEstimate | None
    pooled: ArmEstimate | None


@dataclass(frozen=True)
class ReadoutShift:
    """Shift of one readout in an arm, its difference from plain DPO, and its recovery.

    ``moved`` is 1 if plain DPO raised the readout, −1 if it lowered it, else 0.
    """

    view: str
    moved: int
    shift: ArmEstimate
    against: ArmEstimate | None
    recovery: ArmEstimate | None


@dataclass(frozen=True)
class ArmSummary:
    """One arm of a comparison: its trainings, its plan in words, the text's health, and what it changed."""

    validations: list[str]
    seeds: list[int]
    twins: int
    rows: str
    words: list[str]
    plain: bool
    health: dict[str, ArmEstimate]
    capability: Capability | None
    on: list[TargetRecovery]
    off: dict[str, OffTarget]
    responses: dict[str, ReadoutShift]


@dataclass(frozen=True)
class ArmComparison:
    """Arms with the same model before training, prompts and readouts; ``read`` prompts were read in every arm."""

    before: str
    prompts: int
    read: int
    health: dict[str, ArmEstimate]
    tasks: list[str]
    readouts: dict[str, int]
    arms: list[ArmSummary]


@dataclass(frozen=True)
class ArmComparisons:
    """All comparisons of a run's validations, and the validations that are in none."""

    comparisons: list[ArmComparison]
    left_out: list[LeftOut]


def compare_arms(folder: Path, clusters: str) -> ArmComparisons:
    """All comparisons of two or more trainings under ``folder``.

    Args:
        clusters: hash of the run's clusters as they are now.
    """
    found, left = read_validated(folder, clusters)
    groups: dict[str, list[Validated]] = {}
    for one in found:
        groups.setdefault(one.key, []).append(one)
    comparisons = []
    for group in groups.values():
        arms, twice = arms_of(group)
        left += twice
        if sum(len(arm.trainings) for arm in arms) < 2:
            continue
        compared = ComparedArms(arms)
        if compared.used_G.sum() > 1:
            comparisons.append(compared.summary())
        else:
            left += [LeftOut(one.name, NO_PROMPT) for one in group]
    return ArmComparisons(comparisons, left)


class ComparedArms:
    """Arms over the same prompts, with their readouts (concepts, then response clusters) and the text's health."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        self.arms = arms
        every = [one for arm in arms for one in arm.trainings]
        means = every[0].means
        read, self.health = means.of(VIEWS), means.of(["health"])
        self.names = [means.names[place] for place in read]
        self.view_M = np.array([view for view, _ in self.names])
        shift_by = {one.name: (one.means.after_GM - one.means.before_GM)[:, read] for one in every}
        self.used_G = np.isfinite(np.stack(list(shift_by.values()))).all(axis=(0, 2))
        self.shift_by = {name: shift_GM[self.used_G] for name, shift_GM in shift_by.items()}
        self.weight_RG = weights(max(int(self.used_G.sum()), 1))
        self.tasks = shared_tasks([one.capability for one in every])

    def shifts(self, trainings: Sequence[Validated]) -> Float[np.ndarray, "S G M"]:
        """Shifts of trainings, prompt by prompt."""
        return np.stack([self.shift_by[one.name] for one in trainings])

    def summary(self) -> ArmComparison:
        """The comparison of all arms."""
        one = self.arms[0].trainings[0]
        return ArmComparison(
            before=one.before,
            prompts=len(one.means.prompts),
            read=int(self.used_G.sum()),
            health=self.health_of([one], after=False),
            tasks=self.tasks,
            readouts={view: sum(name[0] == view for name in self.names) for view in VIEWS},
            arms=[self.arm(arm) for arm in self.arms],
        )

    def arm(self, arm: Arm) -> ArmSummary:
        """The summary of one arm."""
        plain, pairs = twins(arm, self.arms)
        t_M = np.zeros(len(self.names)) if plain is None else self.moved_by(plain)
        arrays = [self.shifts(side) for side in zip(*pairs, strict=True)]
        place = {name: at for at, (_, name) in enumerate(self.names)}
        targets = [None if item.response is None else place.get(item.response) for item in arm.interventions]
        on_M = np.isin(np.arange(len(self.names)), [at for at in targets if at is not None])
        back = taken_back(arrays, np.sign(t_M), self.weight_RG) if arrays else {}
        why = None if arrays else NO_TWIN
        off = {view: np.where((self.view_M == view) & ~on_M, t_M, 0.0) for view in VIEWS}
        return ArmSummary(
            validations=[one.name for one in arm.trainings],
            seeds=[one.training.seed for one in arm.trainings],
            twins=len(pairs),
            rows=arm.trainings[0].training.rows,
            words=[item.words for item in arm.interventions],
            plain=arm.is_plain,
            health=self.health_of(arm.trainings, after=True),
            capability=capability([one.capability for one in arm.trainings], self.tasks),
            on=[_target(item, at, back, why) for item, at in zip(arm.interventions, targets, strict=True)],
            off={view: off_target(arrays, off[view], self.weight_RG) for view in VIEWS},
            responses=self.responses(arm, arrays, t_M, on_M, back),
        )

    def responses(
        self,
        arm: Arm,
        arrays: Sequence[Float[np.ndarray, "S G M"]],
        t_M: np.ndarray,
        on_M: np.ndarray,
        back: Mapping[int, ArmEstimate],
    ) -> dict[str, ReadoutShift]:
        """Shifts of targets, concepts and the response clusters that moved most, by name.

        Args:
            arrays: shifts of plain DPO and of the arm; none if the arm has no twin.
            t_M: t of plain DPO's shift if it is distinguishable, else 0.
        """
        shown = np.flatnonzero(on_M | (self.view_M == "concept") | strongest(t_M, self.view_M == "global"))
        shift = estimates(rate, [self.shifts(arm.trainings)[..., shown]], self.weight_RG)
        against = estimates(rise, [shift_SGM[..., shown] for shift_SGM in arrays], self.weight_RG) if arrays else []
        return {
            self.names[at][1]: ReadoutShift(
                view=self.names[at][0],
                moved=int(np.sign(t_M[at])),
                shift=shift[row],
                against=against[row] if against else None,
                recovery=back.get(int(at)),
            )
            for row, at in enumerate(shown)
        }

    def moved_by(self, plain: Arm) -> Float[np.ndarray, " M"]:
        """t of the readouts that plain DPO moved distinguishably, else 0."""
        return distinguishable(self.shifts(plain.trainings), self.view_M, self.weight_RG)

    def health_of(self, trainings: Sequence[Validated], after: bool) -> dict[str, ArmEstimate]:
        """Health of the text over all prompts."""
        sides = [one.means.after_GM if after else one.means.before_GM for one in trainings]
        values_SGM = np.stack([side_GM[:, self.health] for side_GM in sides])
        found = estimates(rate, [values_SGM], weights(values_SGM.shape[1]))
        return dict(zip(HEALTH, found, strict=True))


def distinguishable(
    shift_SGM: Float[np.ndarray, "S G M"], view_M: np.ndarray, weight_RG: Float[np.ndarray, "R G"]
) -> Float[np.ndarray, " M"]:
    """t (mean over bootstrap deviation) of the readouts that moved, else 0.

    A readout moved if :func:`moved` says so and it passes Benjamini–Hochberg in its view.
    """
    value_M, spread_M = shift_SGM.mean(axis=(0, 1)), (weight_RG @ shift_SGM.mean(axis=0)).std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_M = np.where(value_M == 0, 0.0, value_M / spread_M)
    p_M = 2 * stats.t.sf(np.abs(t_M), shift_SGM.shape[1] - 1)
    kept_M = moved(np.zeros_like(shift_SGM), shift_SGM, weight_RG) != 0
    for view in np.unique(view_M):
        kept_M[view_M == view] &= stats.false_discovery_control(p_M[view_M == view], method="bh") <= 1 - LEVEL
    return np.where(kept_M, t_M, 0.0)


def strongest(t_M: Float[np.ndarray, " M"], among_M: Bool[np.ndarray, " M"]) -> Bool[np.ndarray, " M"]:
    """Whether a readout is one of the ``SHOWN`` with the largest |t| among some; never one whose t is 0."""
    size_M = np.where(among_M, np.abs(t_M), 0.0)
    best_M = np.zeros(len(t_M), bool)
    best_M[np.argsort(-size_M, kind="stable")[:SHOWN]] = True
    return best_M & (size_M > 0)


def taken_back(
    arrays: Sequence[Float[np.ndarray, "S G M"]], sign_M: Float[np.ndarray, " M"], weight_RG: Float[np.ndarray, "R G"]
) -> dict[int, ArmEstimate]:
    """Recovery of each readout that moved, by its place; without those that the twins moved the other way.

    Args:
        arrays: shifts of plain DPO and of the arm.
        sign_M: direction in which plain DPO moved each readout; 0 if it did not.
    """
    at = np.flatnonzero(sign_M)
    found = estimates(recovery, _upwards(arrays, sign_M, at), weight_RG)
    return {int(place): value for place, value in zip(at, found, strict=True) if np.isfinite(value.value)}


def _upwards(arrays: Sequence[np.ndarray], scale_M: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
    """Shifts before training (0), of plain DPO and of the arm, scaled so that plain DPO raises each readout."""
    plain, arm = (shift_SGM[..., at] * scale_M[at] for shift_SGM in arrays)
    return [np.zeros_like(plain), plain, arm]


def off_target(
    arrays: Sequence[Float[np.ndarray, "S G M"]], t_M: Float[np.ndarray, " M"], weight_RG: Float[np.ndarray, "R G"]
) -> OffTarget:
    """Recovery over the readouts whose ``t_M`` is not 0."""
    at = np.flatnonzero(t_M)
    if not arrays or not len(at):
        return OffTarget(len(at), None, None)
    error_M = (weight_RG @ arrays[0].mean(axis=0)).std(axis=0, ddof=1)
    scaled = _upwards(arrays, np.sign(t_M) / np.where(error_M > 0, error_M, 1.0), at)
    (mean,), (pooled,) = (estimates(what, scaled, weight_RG) for what in (mean_recovery, pooled_recovery))
    return OffTarget(len(at), mean, pooled)


def _target(
    item: PlannedIntervention, at: int | None, back: Mapping[int, ArmEstimate], why: str | None
) -> TargetRecovery:
    reason = why or (None if at in back else NOT_MOVED)
    if at is None:
        reason = NO_RESPONSE if item.response is None else NOT_READ
    return TargetRecovery(item.response, item.direction, reason)
