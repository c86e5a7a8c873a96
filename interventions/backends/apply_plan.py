"""From a plan and what is known of the rows to one edit for each row (method.md §9).

Interventions compose, whatever their order in the plan: filtering decides first, on the rows as they are, and dropping
wins over swapping; everything else sees the sides after the swaps. Offsets add, masks unite, instructions follow each
other in the order of the plan, and every steering vector of a side is added. Means and deviations are those of all rows
given, dropped ones included, so that one intervention does not change the strength of another.

An intervention acts on rows by their score gap, by a threshold on a side, or because the plan names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from anatomy.concepts.scores import Scores
from anatomy.errors import PlanError
from anatomy.types import SIDES
from interventions.backends.pair_edits import PairEdit, Ranges, SideEdit, SteeringVector
from interventions.plan.plan import Direction, Filtering, Inoculation, Plan, RewardShaping, Steering

T = TypeVar("T", Filtering, Inoculation, Steering, RewardShaping)


@dataclass(frozen=True)
class Detected:
    """The detector of a target, and the scores of all rows by it.

    Raises:
        PlanError: a response has no score (NaN).
    """

    concept: str
    scores: Scores
    threshold: float | None = None

    def __post_init__(self) -> None:
        bad_N = ~np.isfinite(self.scores.score_NS).all(axis=1)
        if bad_N.any():
            raise PlanError(
                f"{self.concept}: {int(bad_N.sum())} of {len(bad_N)} rows have a response without a score (first: row "
                f"{self.scores.row_ids[int(bad_N.argmax())]}); fit the detector again, or leave these rows out"
            )

    @property
    def gap_N(self) -> Float[np.ndarray, " N"]:
        """Chosen minus rejected in standard deviations over all responses of all rows."""
        return self.scores.standardised_difference()

    def flags(self, threshold: float | None = None) -> Bool[np.ndarray, "N 2"]:
        """Responses at the threshold: the one given, the detector's, or one deviation above the mean of all."""
        score_NS = self.scores.score_NS
        limit = self.threshold if threshold is None else threshold
        if limit is None:
            flat = score_NS.min() == score_NS.max()
            limit = np.inf if flat else score_NS.mean() + score_NS.std()
        return np.asarray(score_NS >= limit)

    def swapped(self, rows_N: Bool[np.ndarray, " N"]) -> Detected:
        """The same with chosen and rejected of ``rows_N`` in each other's place."""
        score_NS, at_NS = (
            np.where(rows_N[:, None], value_N2[:, ::-1], value_N2)
            for value_N2 in (self.scores.score_NS, self.scores.at_NS)
        )
        return replace(self, scores=self.scores._replace(score_NS=score_NS, at_NS=at_NS))


@dataclass(frozen=True)
class Known:
    """All that a plan needs to know of its ``N`` rows; every sequence and array is in the order of ``row_ids``.

    Attributes:
        detected: by name of the target.
        conditions: by cluster of rows or ``column=value``, the rows that belong to it.
        masks: by number of a token filtering in the plan, the character ranges of each row's chosen and rejected
            response that pass its threshold.
    """

    row_ids: Sequence[str]
    detected: Mapping[str, Detected] = field(default_factory=dict)
    conditions: Mapping[str, Bool[np.ndarray, " N"]] = field(default_factory=dict)
    masks: Mapping[int, Sequence[tuple[Ranges, Ranges]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, detected in self.detected.items():
            if list(detected.scores.row_ids) != list(self.row_ids):
                raise PlanError(f"{name}: its scores are of other rows than these; score them again")

    def swapped(self, rows_N: Bool[np.ndarray, " N"]) -> Known:
        """What is known after chosen and rejected of ``rows_N`` have changed places."""
        return replace(
            self,
            detected={name: detected.swapped(rows_N) for name, detected in self.detected.items()},
            masks={
                number: [pair[::-1] if swap else pair for pair, swap in zip(pairs, rows_N, strict=True)]
                for number, pairs in self.masks.items()
            },
        )


class FilterOutcome(NamedTuple):
    """What filtering decides of a row; ``target`` is the one whose scores decided, if any did."""

    action: Literal["kept", "dropped", "swapped"]
    reason: str
    target: str | None


class ConceptDirection(NamedTuple):
    """A concept's unit direction in the residual stream after block ``layer``."""

    concept: str
    layer: int
    unit_D: Float[Tensor, " D"]


def apply_plan(plan: Plan, known: Known) -> list[PairEdit]:
    """One edit for each row of ``known``, in its order.

    ``offset`` is ``Σ ±strength · (s̃⁺ − s̃⁻)``, positive where a suppressed concept is shown more by the chosen side;
    scores are standardised by one mean and deviation over all responses. ``gaps`` are ``s̃⁺ − s̃⁻`` by concept, after
    any swap.
    """
    found = filter_outcomes(plan, known)
    swapped_N = np.array([outcome.action == "swapped" for outcome in found], dtype=bool)
    after = known.swapped(swapped_N)
    offset_N = offsets(plan, after)
    sides = {name: _sides(plan, after, name) for name in SIDES}
    gaps = {detected.concept: detected.gap_N for detected in after.detected.values()}
    return [
        PairEdit(
            row_id=row_id,
            offset=float(offset_N[row]),
            dropped=found[row].reason if found[row].action == "dropped" else None,
            swapped=bool(swapped_N[row]),
            chosen=sides["chosen"][row],
            rejected=sides["rejected"][row],
            gaps={concept: float(gap_N[row]) for concept, gap_N in gaps.items()},
        )
        for row, row_id in enumerate(known.row_ids)
    ]


def filter_outcomes(plan: Plan, known: Known) -> list[FilterOutcome]:
    """What the filterings of whole rows decide; the first of them in the plan that acts on a row gives the reason."""
    filterings = [item for item in active(plan, Filtering).values() if item.options.drop == "examples"]
    scored = next((item.name for item in filterings if item.is_scored), None)
    found = [FilterOutcome("kept", "", scored)] * len(known.row_ids)
    for item in sorted(filterings, key=lambda item: item.options.swap):  # stable: dropping first
        for row, reason in filtered_rows(item, known).items():
            if found[row].action == "kept":
                action: Literal["dropped", "swapped"] = "swapped" if item.options.swap else "dropped"
                found[row] = FilterOutcome(action, reason, item.name if item.is_scored else None)
    return found


def offsets(plan: Plan, known: Known) -> Float[np.ndarray, " N"]:
    """Offset of every row, the sum over the reward shapings of the plan."""
    offset_N = np.zeros(len(known.row_ids))
    for item in active(plan, RewardShaping).values():
        m = item.strength if item.direction == "suppress" else -item.strength
        shaped_N = known.conditions[item.condition] if item.condition else np.ones(len(offset_N), bool)
        offset_N += np.where(shaped_N, m * known.detected[item.name].gap_N, 0.0)  # method.md §9, o = m·(s̃⁺ − s̃⁻)
    return offset_N


def steering_vectors(plan: Plan, directions: Mapping[str, ConceptDirection]) -> list[SteeringVector]:
    """The vectors of the plan's steerings, in the order that ``SideEdit.steered`` counts.

    Towards the concept when suppressing, away from it when amplifying, ``strength`` long (method.md §9, α·v).
    """
    vectors = []
    for item in active(plan, Steering).values():
        found = directions[item.name]
        alpha = item.strength if item.direction == "suppress" else -item.strength
        layer = found.layer if item.options.layer is None else item.options.layer
        vectors.append(SteeringVector(found.concept, layer, alpha * found.unit_D))
    return vectors


def lean(gap_N: Float[np.ndarray, " N"], direction: Direction) -> Float[np.ndarray, " N"]:
    """How much a row works against the direction: the gap when suppressing, its negative when amplifying."""
    return gap_N if direction == "suppress" else -gap_N


def top_rows(lean_N: Float[np.ndarray, " N"], share: float, row_ids: Sequence[str]) -> Bool[np.ndarray, " N"]:
    """The ``share`` of rows (rounded down) with the largest lean; a row whose lean is 0 or negative is never picked.

    Ties are broken by ``row_id``, a hash: at random, and the same whatever the order of the rows. Rows of one id are
    picked together.
    """
    order = np.lexsort((np.asarray(row_ids), -lean_N))[: int(share * len(lean_N) + 1e-9)]
    picked = {row_ids[row] for row in order if lean_N[row] > 0}
    return np.array([row_id in picked for row_id in row_ids], dtype=bool)


def filtered_rows(item: Filtering, known: Known) -> dict[int, str]:
    """Rows that a filtering of whole rows picks, each with the reason in words."""
    if item.rows is not None:
        wanted = set(item.rows)
        return {row: "named in the plan" for row, row_id in enumerate(known.row_ids) if row_id in wanted}
    if not item.is_scored:
        return {int(row): f"of {item.name}" for row in np.flatnonzero(known.conditions[item.name])}
    options, detected = item.options, known.detected[item.name]
    lean_N = lean(detected.gap_N, item.direction)
    if options.top is not None:
        rows_N, rule = top_rows(lean_N, options.top, known.row_ids), f"among the top {options.top:.3g} of rows"
    elif options.threshold is not None or options.side is not None:
        side = options.side or ("chosen" if item.direction == "suppress" else "rejected")
        rows_N, rule = on_side(detected.flags(options.threshold), side), f"{side} at the threshold"
    else:
        rows_N, rule = lean_N > 1, "over one deviation"
    return {
        int(row): f"{item.direction} {item.name}: {rule}, gap {detected.gap_N[row]:+.2f}"
        for row in np.flatnonzero(rows_N)
    }


def inoculated_rows(item: Inoculation, known: Known) -> Bool[np.ndarray, " N"]:
    """Rows whose policy prompt gets the instruction."""
    return on_side(known.detected[item.name].flags(item.options.threshold), item.options.flagged)


def on_side(flags_N2: Bool[np.ndarray, "N 2"], side: str) -> Bool[np.ndarray, " N"]:
    """Rows flagged on ``chosen``, on ``rejected``, or on ``either``."""
    columns = [0, 1] if side == "either" else [SIDES.index(side)]
    return np.asarray(flags_N2[:, columns].any(axis=1))


def steered_rows(item: Steering, known: Known) -> Bool[np.ndarray, " N"]:
    """Rows that are steered: all, or those whose chosen side shows the concept most beyond the rejected."""
    if item.options.top is None:
        return np.ones(len(known.row_ids), bool)
    return top_rows(known.detected[item.name].gap_N, item.options.top, known.row_ids)


def active(plan: Plan, kind: type[T]) -> dict[int, T]:
    """Interventions of one backend whose strength is above 0, by their number in the plan."""
    return {
        number: item for number, item in enumerate(plan.interventions) if isinstance(item, kind) and item.strength > 0
    }


def united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges by start, those that overlap or touch as one; empty ones left out."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)


def _sides(plan: Plan, known: Known, side: str) -> list[SideEdit]:
    instructions = _instructions(plan, known, side)
    masks, steered = _masks(plan, known, side), _steered(plan, known, side)
    return [
        SideEdit(" ".join(said) or None, united(ranges), tuple(numbers))
        for said, ranges, numbers in zip(instructions, masks, steered, strict=True)
    ]


def _instructions(plan: Plan, known: Known, side: str) -> list[list[str]]:
    said: list[list[str]] = [[] for _ in known.row_ids]
    for item in active(plan, Inoculation).values():
        if item.options.side in (side, "both"):
            for row in np.flatnonzero(inoculated_rows(item, known)):
                said[row].append(str(item.options.instruction))
    return said


def _masks(plan: Plan, known: Known, side: str) -> list[list[tuple[int, int]]]:
    masked: list[list[tuple[int, int]]] = [[] for _ in known.row_ids]
    for number, item in active(plan, Filtering).items():
        if item.options.drop != "examples" and (item.options.side or "either") in (side, "either"):
            for row, pair in enumerate(known.masks[number]):
                masked[row].extend(pair[SIDES.index(side)])
    return masked


def _steered(plan: Plan, known: Known, side: str) -> list[list[int]]:
    steered: list[list[int]] = [[] for _ in known.row_ids]
    for place, item in enumerate(active(plan, Steering).values()):
        if item.options.side in (side, "both"):
            for row in np.flatnonzero(steered_rows(item, known)):
                steered[row].append(place)
    return steered
