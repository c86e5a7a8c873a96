"""From a plan and what is known of the rows to one edit a row (method.md §9).

Interventions compose, whatever their order in the plan: filtering decides first, on the rows as they are, and dropping
wins over swapping; everything else sees the sides after the swaps. Offsets add, masks unite, instructions follow each
other in the order of the plan, and every steering vector of a side is added. Means and deviations are those of all rows
given, dropped ones included, so that one intervention does not change the strength of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from anatomy.types import SIDES
from interventions.backends.pair_edits import PairEdit, SideEdit, SteeringVector
from interventions.backends.row_selection import Known, Ranges, filtered_rows, inoculated_rows, top_rows
from interventions.plan.plan import Filtering, Inoculation, Plan, RewardShaping, Steering

T = TypeVar("T", Filtering, Inoculation, Steering, RewardShaping)


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
    """One edit a row of ``known``, in its order.

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


def steered_rows(item: Steering, known: Known) -> Bool[np.ndarray, " N"]:
    """Rows that are steered: all, or those whose chosen side shows the concept most beyond the rejected."""
    if item.options.top is None:
        return np.ones(len(known.row_ids), bool)
    return top_rows(known.detected[item.name].gap_N, item.options.top, known.row_ids)


def active(plan: Plan, kind: type[T]) -> dict[int, T]:
    """Interventions of one backend that do anything, by their number in the plan."""
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
