"""Which rows an intervention acts on: by score gap, by a threshold on a side, or because they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from anatomy.concepts.scores import Scores
from anatomy.errors import PlanError
from anatomy.types import SIDES
from interventions.plan.plan import Direction, Filtering, Inoculation

Ranges = tuple[tuple[int, int], ...]
"""Characters ``[start, stop)`` of a response, by start."""


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


def lean(gap_N: Float[np.ndarray, " N"], direction: Direction) -> Float[np.ndarray, " N"]:
    """How much a row works against the direction: the gap when suppressing, its negative when amplifying."""
    return gap_N if direction == "suppress" else -gap_N


def top_rows(lean_N: Float[np.ndarray, " N"], share: float, row_ids: Sequence[str]) -> Bool[np.ndarray, " N"]:
    """The ``share`` of rows (rounded down) with the largest lean, those with none or the other sign never.

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
