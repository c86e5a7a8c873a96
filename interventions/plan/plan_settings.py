"""The rows that a plan is for and the model that reads them: by default those of the plan's audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from anatomy.runs.run import Run
from anatomy.settings import HarvestSettings, RowSettings, load_settings
from interventions.plan.plan import Plan


class PlanSettings(HarvestSettings):
    """Rows, model, SAE and concepts with which a plan is carried out."""

    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")


def plan_settings(plan: Plan, flags: dict[str, Any], config: str | Path | None = None) -> PlanSettings:
    """What is given by ``flags`` or the YAML file ``config``, and for the rest the settings of the plan's audit.

    Where rows are given, nothing of how the audit chose and read its own is taken over.

    Raises:
        RunError: the plan names an audit that is not there.
        SettingsError: a value is wrong, or no rows are named by either.
    """
    audited: dict[str, Any] = Run.at(plan.run).settings.model_dump(mode="json") if plan.run is not None else {}
    rows = {"rows": audited["rows"]} if audited and flags.get("rows") is None and config is None else {}
    given = load_settings(PlanSettings, {**flags, **rows}, config)
    own = {name: getattr(given, name) for name in given.model_fields_set}
    kept = PlanSettings.model_fields.keys() - (set() if rows else RowSettings.model_fields.keys())
    return PlanSettings.model_validate({name: value for name, value in audited.items() if name in kept} | own)
