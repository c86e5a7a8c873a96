"""Trainings beside each other: what each arm changed, and what part of plain DPO's change it takes back.

A shift is ``after − before`` of a readout, mean over the prompts that every arm of a comparison has read. *Moved* by
plain DPO is what has an interval over prompts without 0 and passes Benjamini–Hochberg at 5 % among the readouts of its
kind; only there is a recovery (method.md §10), else it would divide by noise. All arms share the draws of prompts. An
arm is held against plain DPO's *twins* of its trainings; which readouts moved, and which way, all seeds of plain say.
Off target there are two figures: the mean of recoveries (method.md §10), which one that hardly moved can rule, and
the pooled one, in which each counts by how far plain DPO moved it in its standard errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from anatomy.rollouts.text_health import HEALTH
from anatomy.statistics.resampling import LEVEL
from anatomy.validation.capability import capability, shared_tasks
from anatomy.validation.prompt_means import VIEWS
from anatomy.validation.recovery import (
    Estimate,
    estimates,
    mean_recovery,
    moved,
    pooled_recovery,
    rate,
    recovery,
    rise,
    weights,
)
from anatomy.validation.validated import Arm, LeftOut, Validated, arms_of, read_validated, twins

OFF_TARGET = {"mean": mean_recovery, "pooled": pooled_recovery}
SHOWN = 20
"""Response clusters in a comparison, at most: those that plain DPO moved most clearly."""

NO_TWIN = "no plain DPO on the same rows, from the same start, with the same settings and seed"
NOT_MOVED = "plain DPO did not move it"
NOT_READ = "not read in this audit; a concept is read where `anatomy audit --concepts` names it"
NO_PROMPT = "fewer than two prompts have completions that could be read in every training beside it"
NO_RESPONSE = "the plan names neither a concept nor a response cluster (R) of this audit"


def compare_arms(folder: Path, clusters: str) -> dict[str, Any]:
    """All comparisons of two or more trainings under ``folder``, as JSON values, and what was left out of them.

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
        comparison = Comparison(arms)
        if comparison.used_G.sum() > 1:
            comparisons.append(comparison.told())
        else:
            left += [LeftOut(one.name, NO_PROMPT) for one in group]
    return {"comparisons": comparisons, "left_out": [gap._asdict() for gap in left]}


class Comparison:
    """Arms over the same prompts: readouts (concepts, then response clusters) and health of the text."""

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

    def told(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        one = self.arms[0].trainings[0]
        return {
            "before": one.before,
            "prompts": len(one.means.prompts),
            "read": int(self.used_G.sum()),
            "health": self.health_of([one], after=False),
            "tasks": self.tasks,
            "readouts": {view: sum(name[0] == view for name in self.names) for view in VIEWS},
            "arms": [self.arm(arm) for arm in self.arms],
        }

    def arm(self, arm: Arm) -> dict[str, Any]:
        """One line of the comparison."""
        plain, pairs = twins(arm, self.arms)
        t_M = np.zeros(len(self.names)) if plain is None else self.moved_by(plain)
        arrays = [self.shifts(side) for side in zip(*pairs, strict=True)]
        return {
            "validations": [one.name for one in arm.trainings],
            "seeds": [one.training["seed"] for one in arm.trainings],
            "twins": len(pairs),
            "rows": arm.trainings[0].training["rows"],
            "words": [item["words"] for item in arm.interventions],
            "plain": arm.is_plain,
            "health": self.health_of(arm.trainings, after=True),
            "capability": plain_values(capability([one.capability for one in arm.trainings], self.tasks)),
            **self.against_plain(arm, arrays, t_M),
        }

    def against_plain(self, arm: Arm, arrays: Sequence[Float[np.ndarray, "S G M"]], t_M: np.ndarray) -> dict[str, Any]:
        """Targets, what else moved, and the readouts worth showing.

        Args:
            arrays: shifts of plain DPO and of the arm; none where it has no twin.
            t_M: of plain DPO's shift where it is distinguishable, else 0.
        """
        place = {name: at for at, (_, name) in enumerate(self.names)}
        targets = [place.get(item["response"]) for item in arm.interventions]
        on_M = np.isin(np.arange(len(self.names)), [at for at in targets if at is not None])
        back = taken_back(arrays, np.sign(t_M), self.weight_RG) if arrays else {}
        why = None if arrays else NO_TWIN
        off = {view: np.where((self.view_M == view) & ~on_M, t_M, 0.0) for view in VIEWS}
        return {
            "on": [_target(item, at, back, why) for item, at in zip(arm.interventions, targets, strict=True)],
            "off": {view: off_target(arrays, off[view], self.weight_RG) for view in VIEWS},
            "responses": self.responses(arm, arrays, t_M, on_M, back),
        }

    def responses(
        self,
        arm: Arm,
        arrays: Sequence[Float[np.ndarray, "S G M"]],
        t_M: np.ndarray,
        on_M: np.ndarray,
        back: Mapping[int, Estimate],
    ) -> dict[str, Any]:
        """Shift, difference from plain DPO and recovery of targets, concepts and the clusters that moved most."""
        shown = np.flatnonzero(on_M | (self.view_M == "concept") | strongest(t_M, self.view_M == "global"))
        shift = estimates(rate, [self.shifts(arm.trainings)[..., shown]], self.weight_RG)
        against = estimates(rise, [shift_SGM[..., shown] for shift_SGM in arrays], self.weight_RG) if arrays else []
        return {
            self.names[at][1]: {
                "view": self.names[at][0],
                "moved": int(np.sign(t_M[at])),
                "shift": plain_values(shift[row]),
                "against": plain_values(against[row]) if against else None,
                "recovery": plain_values(back.get(int(at))),
            }
            for row, at in enumerate(shown)
        }

    def moved_by(self, plain: Arm) -> Float[np.ndarray, " M"]:
        """t of what plain DPO moved distinguishably, else 0."""
        return distinguishable(self.shifts(plain.trainings), self.view_M, self.weight_RG)

    def health_of(self, trainings: Sequence[Validated], after: bool) -> dict[str, Any]:
        """Figures of text health over all prompts."""
        sides = [one.means.after_GM if after else one.means.before_GM for one in trainings]
        values_SGM = np.stack([side_GM[:, self.health] for side_GM in sides])
        found = estimates(rate, [values_SGM], weights(values_SGM.shape[1]))
        return dict(plain_values(dict(zip(HEALTH, found, strict=True))))


def distinguishable(
    shift_SGM: Float[np.ndarray, "S G M"], view_M: np.ndarray, weight_RG: Float[np.ndarray, "R G"]
) -> Float[np.ndarray, " M"]:
    """t (mean over bootstrap deviation) of what moved, else 0: :func:`moved`, and Benjamini–Hochberg in each view."""
    value_M, spread_M = shift_SGM.mean(axis=(0, 1)), (weight_RG @ shift_SGM.mean(axis=0)).std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_M = np.where(value_M == 0, 0.0, value_M / spread_M)
    p_M = 2 * stats.t.sf(np.abs(t_M), shift_SGM.shape[1] - 1)
    kept_M = moved(np.zeros_like(shift_SGM), shift_SGM, weight_RG) != 0
    for view in np.unique(view_M):
        kept_M[view_M == view] &= stats.false_discovery_control(p_M[view_M == view], method="bh") <= 1 - LEVEL
    return np.where(kept_M, t_M, 0.0)


def strongest(t_M: Float[np.ndarray, " M"], among_M: Bool[np.ndarray, " M"]) -> Bool[np.ndarray, " M"]:
    """The ``SHOWN`` readouts of largest |t| among some; none whose t is 0."""
    size_M = np.where(among_M, np.abs(t_M), 0.0)
    best_M = np.zeros(len(t_M), bool)
    best_M[np.argsort(-size_M, kind="stable")[:SHOWN]] = True
    return best_M & (size_M > 0)


def taken_back(
    arrays: Sequence[Float[np.ndarray, "S G M"]], sign_M: Float[np.ndarray, " M"], weight_RG: Float[np.ndarray, "R G"]
) -> dict[int, Estimate]:
    """Recovery by place of each readout that moved, but those that plain DPO of these very seeds moved the other way.

    Args:
        arrays: shifts of plain DPO and of the arm.
        sign_M: which way it moved; 0: it did not.
    """
    at = np.flatnonzero(sign_M)
    found = estimates(recovery, _upwards(arrays, sign_M, at), weight_RG)
    return {int(place): value for place, value in zip(at, found, strict=True) if np.isfinite(value.value)}


def _upwards(arrays: Sequence[np.ndarray], scale_M: np.ndarray, at: np.ndarray) -> list[np.ndarray]:
    """Before, plain DPO and arm of some readouts, scaled so that plain DPO raises each."""
    plain, arm = (shift_SGM[..., at] * scale_M[at] for shift_SGM in arrays)
    return [np.zeros_like(plain), plain, arm]


def off_target(
    arrays: Sequence[Float[np.ndarray, "S G M"]], t_M: Float[np.ndarray, " M"], weight_RG: Float[np.ndarray, "R G"]
) -> dict[str, Any]:
    """Recovery over the readouts whose ``t_M`` is not 0, ``mean`` and ``pooled``; ``of``: how many those are."""
    at = np.flatnonzero(t_M)
    if not arrays or not len(at):
        return {"of": len(at), **dict.fromkeys(OFF_TARGET)}
    error_M = (weight_RG @ arrays[0].mean(axis=0)).std(axis=0, ddof=1)
    scaled = _upwards(arrays, np.sign(t_M) / np.where(error_M > 0, error_M, 1.0), at)
    return {"of": len(at)} | {
        name: plain_values(*estimates(what, scaled, weight_RG)) for name, what in OFF_TARGET.items()
    }


def _target(item: Mapping[str, Any], at: int | None, back: Mapping[int, Estimate], why: str | None) -> dict[str, Any]:
    """A target of the plan, and why it has no recovery, if it has none."""
    name = item["response"]
    reason = NO_RESPONSE if name is None else NOT_READ if at is None else why or (None if at in back else NOT_MOVED)
    return {"response": name, "direction": item["direction"], "why": reason}


def plain_values(value: Any) -> Any:
    """Figures as JSON values: ``value``, ``low``, ``high`` (over prompts), ``by_seed``, ``seeds`` (or None)."""
    if isinstance(value, Estimate):
        low, high = value.prompts
        return {"value": value.value, "low": low, "high": high, "by_seed": value.by_seed, "seeds": value.seeds}
    return {name: plain_values(part) for name, part in value.items()} if isinstance(value, dict) else value
