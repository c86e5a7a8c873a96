"""What a plan takes from its audit: decisions on findings, the settings that rows are read with, the rows of clusters.

Rows that a plan names otherwise, by ``column=value`` or by their ids, are looked up here too.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool
from pydantic import Field, ValidationError

from anatomy.concepts.concept import load_library
from anatomy.errors import PlanError
from anatomy.hypotheses.contexts import GROUP
from anatomy.runs.reopened import require_named
from anatomy.runs.run import Run
from anatomy.settings import HarvestSettings, RowSettings, load_settings
from interventions.plan.plan import CLUSTER, Decision, DecisionKind, Plan, faults_of

SHOWN = 5
"""Values of a column that a message names."""


class PlanSettings(HarvestSettings):
    """Rows, model, SAE and concepts with which a plan is carried out."""

    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")


class _GivenSettings(PlanSettings):
    """Rows may be missing: which ones the audit read is then said in the error."""

    rows: str | None = None  # type: ignore[assignment]


LOADED = ("rows", "model", "chat_template", "concepts_file")
"""Settings that have to be named again where an audit names them; an SAE, where a detector reads it."""


def plan_settings(plan: Plan, flags: dict[str, Any], config: str | Path | None = None) -> PlanSettings:
    """Return what ``flags`` or the YAML file ``config`` give, and for windows and numeric type what the audit had.

    What is loaded is never the audit's choice, nor is how it chose and read its rows.

    Raises:
        RunError: the plan names an audit that is not there.
        PlanError: the plan names clusters of the audit, which has others now.
        SettingsError: a value is wrong, nothing names rows, or the audit names a model that is not named here.
    """
    if plan.run is None:
        return load_settings(PlanSettings, flags, config)
    run = Run.at(plan.run)
    if plan.run_id is not None and plan.clusters and plan.run_id != run.manifest.identity:
        raise PlanError(
            f"{', '.join(plan.clusters)}: {plan.run} has been made again since the plan was, and its clusters are "
            f"others; make the plan again (`anatomy plan {plan.run} …`)"
        )
    given = load_settings(_GivenSettings, flags, config)
    require_named(run, given, LOADED)
    kept = PlanSettings.model_fields.keys() - RowSettings.model_fields.keys()
    audited = run.settings.model_dump(include=set(kept))
    return PlanSettings.model_validate({**audited, **given.model_dump(include=given.model_fields_set)})


def decisions(targets_by_decision: Mapping[DecisionKind, str | None]) -> list[Decision]:
    """Return a decision for each target; those of a kind are separated by commas.

    Raises:
        PlanError: a target has two decisions, or a decision is given without a target.
    """
    found = [
        Decision(target=target, decision=decision)
        for decision, targets in targets_by_decision.items()
        for target in dict.fromkeys(part.strip() for part in (targets or "").split(","))
        if target
    ]
    empty = [kind for kind, targets in targets_by_decision.items() if targets is not None and not targets.strip(" ,")]
    if empty:
        raise PlanError(f"--{empty[0]} names no target; give clusters (R12, D4, P7) or concepts, or leave it out")
    twice = sorted({one.target for one in found if sum(other.target == one.target for other in found) > 1})
    if twice:
        raise PlanError(f"{', '.join(twice)}: decided in two ways; choose one")
    return found


def make_plan(
    run: Path, decided: Sequence[Decision], backend: str, strength: float, concepts_file: Path | None = None
) -> Plan:
    """Return a plan with an intervention for each decision.

    ``backend`` carries ``suppress`` and ``amplify`` out, with ``strength``. ``remove`` filters: the rows of a data or
    prompt cluster, or those that teach a concept by more than one deviation. ``keep`` has no intervention.

    Raises:
        PlanError: a target that the audit, the library and the disk do not have, or a decision that does not fit it.
    """
    check_targets(run, [decision.target for decision in decided], concepts_file)
    items: list[dict[str, Any]] = []
    for target, decision in ((one.target, one.decision) for one in decided):
        if target.startswith(GROUP):
            item = {"source": target.removeprefix(GROUP)}
        else:
            item = {"cluster" if re.match(CLUSTER, target) else "concept": target}
        if decision == "remove":
            items.append({**item, "direction": "suppress", "backend": "filtering"})
        elif decision != "keep":
            items.append({**item, "direction": decision, "strength": strength, "backend": backend})
    run_id = Run.at(run).manifest.identity
    try:
        return Plan.model_validate({"run": run, "run_id": run_id, "interventions": items, "decisions": list(decided)})
    except ValidationError as error:
        raise PlanError(faults_of(error)) from None


def check_targets(run: Path, targets: Iterable[str], concepts_file: Path | None = None) -> None:
    """Refuse what is no cluster of the audit, no concept of the library, and no saved detector; all faults at once.

    Raises:
        PlanError: some target is unknown.
    """
    clusters = Run.at(run).cluster_ids | Run.at(run).group_ids
    library = load_library(concepts_file)
    unknown = []
    for target in targets:
        if re.match(CLUSTER, target) or target.startswith(GROUP):
            if target not in clusters:
                unknown.append(f"{run} has no cluster `{target}` (`anatomy show {run}` lists them)")
        elif target not in library and not Path(target).is_dir():
            unknown.append(f"no concept `{target}` (`anatomy concepts list`) and no folder of that name")
    if unknown:
        raise PlanError("; ".join(unknown))


def rows_by_condition(plan: Plan, rows: pa.Table) -> dict[str, Bool[np.ndarray, " N"]]:
    """Return for each condition of the plan which of ``rows`` (columns ``row_id`` and ``metadata``, as JSON) meet it.

    Raises:
        PlanError: a row id, a column, a value or a cluster that is not there, or rows that the audit did not see.
    """
    row_ids = rows["row_id"].to_pylist()
    for item in plan.interventions:
        missing = set(item.rows or ()) - set(row_ids)
        if missing:
            raise PlanError(f"{item.name}: {len(missing)} of them not among the usable rows (e.g. {min(missing)})")
    found = {}
    for condition in dict.fromkeys(item.condition for item in plan.interventions if item.condition):
        if "=" in condition:
            found[condition] = _of_source(condition, rows)
        else:
            assert plan.run is not None  # the plan has seen to it
            found[condition] = _of_cluster(condition, Run.at(plan.run), row_ids)
    return found


def _of_source(condition: str, rows: pa.Table) -> Bool[np.ndarray, " N"]:
    column, _, value = condition.partition("=")
    metadata = [json.loads(text) if text else {} for text in rows["metadata"].to_pylist()]
    values = [None if column not in row else str(row[column]) for row in metadata]
    counts = Counter(found for found in values if found is not None)
    if not counts:
        columns = sorted({name for row in metadata for name in row})
        raise PlanError(f"{condition}: the rows have no column `{column}` (there are: {', '.join(columns) or 'none'})")
    if value not in counts:
        common = ", ".join(name[:40] for name, _ in counts.most_common(SHOWN))
        raise PlanError(f"{condition}: no row has this value (most frequent: {common})")
    return np.array([found == value for found in values], dtype=bool)


def _of_cluster(cluster: str, audit: Run, row_ids: Sequence[str]) -> Bool[np.ndarray, " N"]:
    inside = dict(zip(audit.features.row_ids, _members(cluster, audit).tolist(), strict=True))
    unknown = sum(row_id not in inside for row_id in row_ids)
    if unknown:
        raise PlanError(
            f"{cluster}: {unknown:,} of {len(row_ids):,} rows are not in {audit.path}, so nobody knows their cluster; "
            "audit the rows that you train on"
        )
    return np.array([inside[row_id] for row_id in row_ids], dtype=bool)


def _members(cluster: str, audit: Run) -> Bool[np.ndarray, " R"]:
    """Return which of the audit's rows are in a data cluster, or in a prompt cluster's context (method.md §6)."""
    if cluster.startswith("P"):
        kind, rows = "prompt", audit.contexts.get(cluster, [])
        member_R = np.isin(np.arange(audit.features.n_rows), rows)
    else:
        kind, member_R = "data", audit.clusters.rows_of(int(cluster[1:]))
    if not member_R.any():
        raise PlanError(f"{audit.path}: no {kind} cluster `{cluster}`; `anatomy show {audit.path}` lists them")
    return member_R
