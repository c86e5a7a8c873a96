"""Rows that a plan names by a data or prompt cluster of its audit, by ``column=value``, or by their ids."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from anatomy import artifacts
from anatomy.errors import PlanError
from anatomy.runs.run import Run
from interventions.plan.plan import Plan

SHOWN = 5


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
            found[condition] = _of_cluster(condition, plan.run, row_ids)
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


def _of_cluster(cluster: str, run: Path, row_ids: list[str]) -> Bool[np.ndarray, " N"]:
    inside = _prompt_cluster(cluster, run) if cluster.startswith("P") else _data_cluster(cluster, run)
    unknown = sum(row_id not in inside for row_id in row_ids)
    if unknown:
        raise PlanError(
            f"{cluster}: {unknown:,} of {len(row_ids):,} rows are not in {run}, so nobody knows their cluster; audit "
            "the rows that you train on"
        )
    return np.array([inside[row_id] for row_id in row_ids], dtype=bool)


def _data_cluster(cluster: str, run: Path) -> dict[str, bool]:
    """By row id of the audit, whether the row is in the cluster."""
    table = artifacts.read_table(run / artifacts.DATA_CLUSTERS, columns=["row_id", "cluster"]).to_pydict()
    if cluster not in table["cluster"]:
        raise PlanError(f"{run}: no data cluster `{cluster}`; `anatomy show {run}` lists them")
    return {row_id: found == cluster for row_id, found in zip(table["row_id"], table["cluster"], strict=True)}


def _prompt_cluster(cluster: str, run: Path) -> dict[str, bool]:
    """By row id of the audit, whether the row is in the cluster's context: its top rows by score (method.md §6)."""
    audit = Run.at(run)
    if cluster not in audit.contexts:
        raise PlanError(f"{run}: no prompt cluster `{cluster}`; `anatomy show {run}` lists them")
    row_ids, inside = audit.features.row_ids, set(audit.contexts[cluster])
    return {row_id: row in inside for row, row_id in enumerate(row_ids)}
