"""What a plan takes from its audit: decisions on the audit's findings, and the settings that rows are read with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from anatomy.concepts.concept import load_library
from anatomy.errors import PlanError
from anatomy.runs.run import Run
from anatomy.settings import HarvestSettings, RowSettings, load_settings
from interventions.plan.plan import CLUSTER, Decision, Mark, Plan, faults_of


class PlanSettings(HarvestSettings):
    """Rows, model, SAE and concepts with which a plan is carried out."""

    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")


def plan_settings(plan: Plan, flags: dict[str, Any], config: str | Path | None = None) -> PlanSettings:
    """Return what ``flags`` or the YAML file ``config`` give, and for the rest the settings of the plan's audit.

    If rows are given, nothing is taken over of how the audit chose and read its own.

    Raises:
        RunError: the plan names an audit that is not there.
        SettingsError: a value is wrong, or neither names rows.
    """
    audited: dict[str, Any] = Run.at(plan.run).settings.model_dump(mode="json") if plan.run is not None else {}
    rows = {"rows": audited["rows"]} if audited and flags.get("rows") is None and config is None else {}
    given = load_settings(PlanSettings, {**flags, **rows}, config)
    own = {name: getattr(given, name) for name in given.model_fields_set}
    kept = PlanSettings.model_fields.keys() - (set() if rows else RowSettings.model_fields.keys())
    return PlanSettings.model_validate({name: value for name, value in audited.items() if name in kept} | own)


def decisions(targets_by_mark: Mapping[Mark, str | None]) -> list[Decision]:
    """Return a decision for each target; targets of a mark are separated by commas.

    Raises:
        PlanError: a target has two marks.
    """
    found = [
        Decision(target=target, mark=mark)
        for mark, targets in targets_by_mark.items()
        for target in dict.fromkeys(part.strip() for part in (targets or "").split(","))
        if target
    ]
    twice = sorted({one.target for one in found if sum(other.target == one.target for other in found) > 1})
    if twice:
        raise PlanError(f"{', '.join(twice)}: marked in two ways; choose one")
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
    for decision in decided:
        item = {"cluster" if re.match(CLUSTER, decision.target) else "concept": decision.target}
        if decision.mark == "remove":
            items.append({**item, "direction": "suppress", "backend": "filtering"})
        elif decision.mark != "keep":
            items.append({**item, "direction": decision.mark, "strength": strength, "backend": backend})
    try:
        return Plan.model_validate({"run": run, "interventions": items, "decisions": list(decided)})
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
