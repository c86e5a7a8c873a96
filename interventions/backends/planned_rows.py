"""From a plan and rows to edits on disk: what training, filtering and the dry run start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from anatomy.data.faults import RETAINED
from anatomy.data.rows_table import read_rows
from anatomy.errors import PlanError
from anatomy.progress import logger, progress_bar
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages import rows_stage, scores_stage
from anatomy.types import SIDES
from interventions.backends.apply_plan import ConceptDirection, active, apply_plan, steering_vectors
from interventions.backends.filter_log import write_filter_log
from interventions.backends.pair_edits import PairEdit, SteeringVector, write_edits
from interventions.backends.row_selection import Detected, Known, Ranges
from interventions.backends.steering_vectors import VECTORS, write_vectors
from interventions.backends.token_masks import token_masks
from interventions.plan.plan import Filtering, Inoculation, Plan, Steering, save_plan
from interventions.plan.plan_settings import PlanSettings
from interventions.plan.row_groups import row_groups

Resolve = Callable[[str, ModelBundle, Path | None], Sequence[Scorer]]
"""From names with commas to scorers: ``probes.resolve.resolve``, given by the command line."""


class PlannedRows(NamedTuple):
    """A plan with every default filled in, what is known of the rows, and what follows for each of them."""

    plan: Plan
    bundle: ModelBundle
    known: Known
    edits: list[PairEdit]
    vectors: list[SteeringVector]


def plan_rows(plan: Plan, settings: PlanSettings, out: Path, resolve: Resolve) -> PlannedRows:
    """Read the rows, score them for the plan's concepts, and write what the plan does to each.

    ``out`` gets ``rows.parquet``, ``scores/<concept>/``, ``plan.yaml``, ``filter_log.parquet``,
    ``steering.safetensors`` and, last, ``pair_edits.parquet``. What is complete and unchanged is not done again; a
    killed run goes on where it was.

    Raises:
        PlanError: a target, a condition or an option of the plan does not fit rows, run or detectors.
    """
    if plan.run is not None and out.resolve() == plan.run.resolve():
        raise PlanError(f"{out}: is the plan's audit; choose another directory for what follows from the plan")
    full = AuditSettings.model_validate(settings.model_dump())
    with Run.open(out) as run:
        run.save(settings=full)
        bundle = ModelBundle(full)
        scorers = scorers_of(
            plan, bundle, resolve, full.concepts_file
        )  # a wrong name is told before anything expensive
        plan = with_instructions(plan, scorers, full.concepts_file)
        vectors = steering_vectors(plan, directions_of(plan, scorers, bundle))
        rows_stage(run, full, bundle)
        table = artifacts.read_table(run.file(artifacts.ROWS), columns=["index", "row_id", "status", "metadata"])
        retained = table.filter(pc.equal(table["status"], RETAINED))
        groups = row_groups(plan, retained)
        _announce(run, full, list(scorers.values()))
        scores_stage(run, full, bundle, list(scorers.values()))
        known = _known(plan, run, bundle, retained, groups, scorers)
        edits = apply_plan(plan, known)
        save_plan(run.file(artifacts.PLAN), plan)
        write_filter_log(run.file(artifacts.FILTER_LOG), plan, known, edits, table)
        write_vectors(run.file(VECTORS), vectors)
        write_edits(run.file(artifacts.PAIR_EDITS), edits)
    return PlannedRows(plan, bundle, known, edits, vectors)


def with_instructions(plan: Plan, scorers: Mapping[str, Scorer], concepts_file: Path | None) -> Plan:
    """The plan with the library's sentence in every inoculation that names none.

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


def scorers_of(plan: Plan, bundle: ModelBundle, resolve: Resolve, concepts_file: Path | None) -> dict[str, Scorer]:
    """Scorers by name of the target; a cluster's is asked for as ``RUN#R12``."""
    scored = [item for item in plan.interventions if item.is_scored]
    names = {item.name: f"{plan.run}#{item.cluster}" if item.cluster else item.name for item in scored}
    found = resolve(",".join(names.values()), bundle, concepts_file) if names else []
    return dict(zip(names, found, strict=True))


def directions_of(plan: Plan, scorers: Mapping[str, Scorer], bundle: ModelBundle) -> dict[str, ConceptDirection]:
    """Directions of the concepts that are steered.

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


def _announce(run: Run, settings: AuditSettings, scorers: Sequence[Scorer]) -> None:
    """What scoring will cost at most, on standard error."""
    if any(scorer.layer is not None for scorer in scorers):
        health = run.require("rows").facts["health"]
        lengths = {span: told["mean"] for span, told in health["lengths"].items()}
        tokens = sum(min(settings.max_length, lengths["prompt"] + lengths[side]) for side in SIDES)
        told = f"{health['retained']:,} rows, at most {health['retained'] * tokens:,.0f} tokens through the model"
        logger.info(f"scores: {told}")


def _known(
    plan: Plan,
    run: Run,
    bundle: ModelBundle,
    retained: pa.Table,
    groups: Mapping[str, Bool[np.ndarray, " N"]],
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
    return Known(retained["row_id"].to_pylist(), detected, groups, masks)
