"""The rows that a plan is for and the model that reads them: by default those of the plan's audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from anatomy.run import load_manifest
from anatomy.settings import HarvestSettings, load_settings
from interventions.plan import Plan


class PlanSettings(HarvestSettings):
    """Rows, model, SAE and concepts with which a plan is carried out."""

    concepts_file: Path | None = Field(None, description="YAML file with further concepts.")


def plan_settings(plan: Plan, flags: dict[str, Any], config: Path | None = None) -> PlanSettings:
    """What is given by ``flags`` or the YAML file ``config``, and for the rest the settings of the plan's audit.

    Raises:
        RunError: the plan names an audit that is not there.
        SettingsError: a value is wrong, or no rows are named by either.
    """
    audited: dict[str, Any] = load_manifest(plan.run)["settings"] if plan.run is not None else {}
    known = {name: value for name, value in audited.items() if name in PlanSettings.model_fields}
    rows = {"rows": flags.get("rows") or known.get("rows")}
    given = load_settings(PlanSettings, {**flags, **rows}, config)
    return PlanSettings.model_validate({**known, **{name: getattr(given, name) for name in given.model_fields_set}})
