"""From a plan and rows to edits on disk: what training, filtering and the dry run start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

from anatomy import artifacts
from anatomy.concepts.concept import load_library
from anatomy.concepts.scorer import Directed, Scorer
from anatomy.concepts.scores import read_scores
from anatomy.data.faults import REASONS, RETAINED
from anatomy.data.rows_table import read_rows
from anatomy.errors import PlanError
from anatomy.progress import logger, progress_bar
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages.audit_stages import perform
from anatomy.stages.rows_stage import ROWS_STAGE
from anatomy.stages.scores_stage import SCORES_STAGE
from anatomy.stages.stage import Audit
from anatomy.types import SIDES
from interventions.backends.apply_plan import (
    ConceptDirection,
    Detected,
    Known,
    active,
    apply_plan,
    filter_outcomes,
    steering_vectors,
)
from interventions.backends.pair_edits import VECTORS, PairEdit, Ranges, SteeringVector, write_edits, write_vectors
from interventions.backends.token_masks import token_masks
from interventions.plan.audited_plan import PlanSettings, rows_by_condition
from interventions.plan.plan import Filtering, Inoculation, Plan, Steering, save_plan

UNUSABLE = "unusable"
FILTER_LOG = pa.schema(
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
are by the detector of ``target``, for the row as it stands in the source."""


PLANNED_COLUMNS = {"index": "int64", "row_id": "string?", "status": "string", "metadata": "string?"}
"""Columns of ``rows.parquet`` that a plan's conditions read."""


class PlannedRows(NamedTuple):
    """A plan with every default filled in, what is known of the rows, and the edit of each of them."""

    plan: Plan
    bundle: ModelBundle
    known: Known
    edits: list[PairEdit]
    vectors: list[SteeringVector]


def plan_rows(
    plan: Plan, settings: PlanSettings, bundle: ModelBundle, scorers: Mapping[str, Scorer], out: Path
) -> PlannedRows:
    """Read the rows, score them for the plan's concepts, and write what the plan does to each.

    ``out`` gets ``rows.parquet``, ``scores/<concept>/``, ``plan.yaml``, ``filter_log.parquet``,
    ``steering.safetensors``, ``pair_edits.parquet`` and, last, ``outputs.json``. What is complete and unchanged is not
    done again: a killed run resumes at the first shard that is missing.

    Args:
        bundle: the model and SAE that the detectors read, made from ``settings``.
        scorers: by name of the target, as ``Plan.detector_names``.

    Raises:
        PlanError: a target, a condition or an option of the plan does not fit rows, run or detectors.
    """
    if plan.run is not None and out.resolve() == plan.run.resolve():
        raise PlanError(f"{out}: is the plan's audit; choose another directory for what follows from the plan")
    full = AuditSettings.model_validate(settings.model_dump())
    with Run.open(out) as run:
        run.save(settings=full)
        plan = with_instructions(plan, scorers, full.concepts_file)
        vectors = steering_vectors(plan, directions_of(plan, scorers, bundle))
        audit = Audit(run, full, bundle, list(scorers.values()))
        perform(audit, ROWS_STAGE)
        table = artifacts.read_table(run.file(artifacts.ROWS), PLANNED_COLUMNS)
        retained = table.filter(pc.equal(table["status"], RETAINED))
        conditions = rows_by_condition(plan, retained)
        _announce(run, full, list(scorers.values()))
        perform(audit, SCORES_STAGE)
        known = _known(plan, run, bundle, retained, conditions, scorers)
        edits = apply_plan(plan, known)
        save_plan(run.file(artifacts.PLAN), plan)
        artifacts.write_table(run.file(artifacts.FILTER_LOG), filter_log(plan, known, edits, table))
        write_vectors(run.file(VECTORS), vectors)
        write_edits(run.file(artifacts.PAIR_EDITS), edits)
        artifacts.record_outputs(out, [artifacts.PLAN, artifacts.FILTER_LOG, VECTORS, artifacts.PAIR_EDITS])
    return PlannedRows(plan, bundle, known, edits, vectors)


def with_instructions(plan: Plan, scorers: Mapping[str, Scorer], concepts_file: Path | None) -> Plan:
    """Return the plan with the library's sentence in every inoculation that names none.

    Raises:
        PlanError: a saved detector's concept is not in the library.
    """
    library = load_library(concepts_file)
    items = []
    for item in plan.interventions:
        if isinstance(item, Inoculation) and item.options.instruction is None:
            concept = scorers[item.name].concept
            if concept not in library:
                raise PlanError(f"inoculation of `{concept}`: not in the library; write `options.instruction`")
            options = item.options.model_copy(update={"instruction": library[concept].inoculation})
            item = item.model_copy(update={"options": options})
        items.append(item)
    return plan.model_copy(update={"interventions": tuple(items)})


def directions_of(plan: Plan, scorers: Mapping[str, Scorer], bundle: ModelBundle) -> dict[str, ConceptDirection]:
    """Return the directions of the concepts that are steered, by name of the target.

    Raises:
        PlanError: a detector has none, or the layer is not one of the model's.
    """
    found = {}
    for item in active(plan, Steering).values():
        scorer = scorers[item.name]
        unit_D = scorer.direction_D if isinstance(scorer, Directed) else None
        if unit_D is None or scorer.layer is None:
            raise PlanError(
                f"steering {item.name}: its {scorer.kind} detector has no direction; fit one with `anatomy probe fit "
                f"{scorer.concept} --detector difference-of-means` and name its folder"
            )
        if item.options.layer is not None and item.options.layer >= bundle.subject.n_layers:
            last = bundle.subject.n_layers - 1
            raise PlanError(f"steering {item.name}: layer {item.options.layer}; the model has blocks 0 to {last}")
        found[item.name] = ConceptDirection(scorer.concept, scorer.layer, unit_D)
    return found


def filter_log(plan: Plan, known: Known, edits: Sequence[PairEdit], rows: pa.Table) -> pa.Table:
    """Return what filtering does to every row of the source, and why, in the columns of ``FILTER_LOG``.

    Args:
        known: of the retained rows, as ``edits``.
        rows: all rows in the order of the source, with columns ``index``, ``row_id`` and ``status``.
    """
    decided = iter(zip(filter_outcomes(plan, known), edits, range(len(known.row_ids)), strict=True))
    lines = []
    for index, row_id, status in zip(*(rows[name].to_pylist() for name in ("index", "row_id", "status")), strict=True):
        line = {"row_id": row_id, "index": index, "action": UNUSABLE, "reason": REASONS.get(status, status)}
        if status == RETAINED:
            outcome, edit, row = next(decided)
            line |= {"action": outcome.action, "reason": outcome.reason, "target": outcome.target}
            masked = {side: sum(stop - start for start, stop in edit.side(side).masked) for side in SIDES}
            if outcome.action == "kept" and any(masked.values()):
                counts = " and ".join(f"{count} of {side}" for side, count in masked.items() if count)
                line |= {"action": "masked", "reason": f"characters left out: {counts}"}
            if outcome.target is not None:
                chosen, rejected = known.detected[outcome.target].scores.score_NS[row]
                line |= {"score_chosen": float(chosen), "score_rejected": float(rejected)}
        lines.append(line)
    return pa.Table.from_pylist(lines, FILTER_LOG)


def _announce(run: Run, settings: AuditSettings, scorers: Sequence[Scorer]) -> None:
    """Say on standard error what scoring will cost at most."""
    if any(scorer.layer is not None for scorer in scorers):
        health = run.row_health
        mean = health.mean_length
        tokens = sum(min(settings.max_length, mean("prompt") + mean(side)) for side in SIDES)
        cost = f"{health.retained:,} rows, at most {health.retained * tokens:,.0f} tokens through the model"
        logger.info(f"scores: {cost}")


def _known(
    plan: Plan,
    run: Run,
    bundle: ModelBundle,
    retained: pa.Table,
    conditions: Mapping[str, Bool[np.ndarray, " N"]],
    scorers: Mapping[str, Scorer],
) -> Known:
    folder = run.file(artifacts.SCORES)
    detected = {
        name: Detected(scorer.concept, read_scores(folder / scorer.concept), scorer.threshold)
        for name, scorer in scorers.items()
    }
    masks: dict[int, Sequence[tuple[Ranges, Ranges]]] = {}
    for number, item in active(plan, Filtering).items():
        if item.options.drop != "examples":
            with progress_bar("tokens", "row", len(retained)) as bar:
                masks[number] = token_masks(
                    read_rows(run.file(artifacts.ROWS)),
                    scorers[item.name],
                    detected[item.name].scores,
                    item.options.threshold,
                    item.options.drop == "words",
                    bundle,
                    folder,
                    bar.update,
                )
    return Known(retained["row_id"].to_pylist(), detected, conditions, masks)
