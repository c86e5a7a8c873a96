"""A plan from what a person marked among an audit's findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from anatomy.concepts.concept import load_library
from anatomy.errors import PlanError
from anatomy.runs.run import Run
from interventions.plan.plan import CLUSTER, Decision, Mark, Plan, faults_of


def decisions(marks: dict[Mark, str | None]) -> list[Decision]:
    """Decisions from targets with commas, by mark.

    Raises:
        PlanError: a target has two marks.
    """
    found = [
        Decision(target=target, mark=mark)
        for mark, targets in marks.items()
        for target in dict.fromkeys(part.strip() for part in (targets or "").split(","))
        if target
    ]
    twice = sorted({one.target for one in found if sum(other.target == one.target for other in found) > 1})
    if twice:
        raise PlanError(f"{', '.join(twice)}: marked in two ways; choose one")
    return found


def make_plan(
    run: Path, marked: Sequence[Decision], backend: str, strength: float, concepts_file: Path | None = None
) -> Plan:
    """A plan with an intervention for each mark: ``suppress`` and ``amplify`` by ``backend`` with ``strength``.

    ``remove`` filters: the rows of a data or prompt cluster, or those that teach a concept by more than one deviation.
    ``keep`` is a decision without an intervention.

    Raises:
        PlanError: a target that the audit, the library and the disk do not have, or a mark that does not fit it.
    """
    check_targets(run, [decision.target for decision in marked], concepts_file)
    items: list[dict[str, Any]] = []
    for decision in marked:
        item = {"cluster" if re.match(CLUSTER, decision.target) else "concept": decision.target}
        if decision.mark == "remove":
            items.append({**item, "direction": "suppress", "backend": "filtering"})
        elif decision.mark != "keep":
            items.append({**item, "direction": decision.mark, "strength": strength, "backend": backend})
    try:
        return Plan.model_validate({"run": run, "interventions": items, "decisions": list(marked)})
    except ValidationError as error:
        raise PlanError(faults_of(error)) from None


def check_targets(run: Path, targets: Iterable[str], concepts_file: Path | None = None) -> None:
    """Refuse what is no cluster of the audit, no concept of the library, and no saved detector; all faults at once.

    Raises:
        PlanError: some target is unknown.
    """
    clusters = Run.at(run).cluster_ids
    library = load_library(concepts_file)
    unknown = []
    for target in targets:
        if re.match(CLUSTER, target):
            if target not in clusters:
                unknown.append(f"{run} has no cluster `{target}` (`anatomy show {run}` lists them)")
        elif target not in library and not Path(target).is_dir():
            unknown.append(f"no concept `{target}` (`anatomy concepts list`) and no folder of that name")
    if unknown:
        raise PlanError("; ".join(unknown))
