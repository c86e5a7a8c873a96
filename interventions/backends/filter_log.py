"""``filter_log.parquet``: what filtering did to every row of the source, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from anatomy.artifacts import write_table
from anatomy.data.faults import REASONS, RETAINED
from anatomy.types import SIDES
from interventions.backends.apply_plan import filter_outcomes
from interventions.backends.pair_edits import PairEdit
from interventions.backends.row_selection import Known
from interventions.plan.plan import Plan

UNUSABLE = "unusable"
SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("index", pa.int64()),
        ("action", pa.string()),
        ("reason", pa.string()),
        ("target", pa.string()),
        ("score_chosen", pa.float64()),
        ("score_rejected", pa.float64()),
    ]
)
"""``action``: kept, masked (some tokens left out), dropped, swapped, or unusable (no pair to train on); the two scores
are those of ``target``, of the row as it stood in the source."""


def write_filter_log(path: Path, plan: Plan, known: Known, edits: Sequence[PairEdit], rows: pa.Table) -> None:
    """One line a row of ``rows`` (columns ``index``, ``row_id``, ``status``), in their order.

    ``known`` and ``edits`` are of the retained rows.
    """
    decided = iter(zip(filter_outcomes(plan, known), edits, range(len(known.row_ids)), strict=True))
    lines = []
    for index, row_id, status in zip(*(rows[name].to_pylist() for name in ("index", "row_id", "status")), strict=True):
        line = {"row_id": row_id, "index": index, "action": UNUSABLE, "reason": REASONS.get(status, status)}
        if status == RETAINED:
            outcome, edit, row = next(decided)
            masked = {side: sum(stop - start for start, stop in edit.side(side).masked) for side in SIDES}
            line |= {"action": outcome.action, "reason": outcome.reason, "target": outcome.target}
            if outcome.action == "kept" and any(masked.values()):
                told = " and ".join(f"{count} of {side}" for side, count in masked.items() if count)
                line |= {"action": "masked", "reason": f"characters left out: {told}"}
            if outcome.target is not None:
                chosen, rejected = known.detected[outcome.target].scores.score_NS[row]
                line |= {"score_chosen": float(chosen), "score_rejected": float(rejected)}
        lines.append(line)
    write_table(path, pa.Table.from_pylist(lines, SCHEMA))
