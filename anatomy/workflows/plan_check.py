"""``anatomy plan check``: what a plan would do to rows, and whether steering has the intended sign."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import load_settings
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.plan_detectors import plan_detectors
from interventions.backends.planned_rows import plan_rows
from interventions.plan.audited_plan import PlanSettings, plan_settings
from interventions.plan.plan import load_plan, to_yaml
from interventions.training.plan_preview import preview


def plan_check(
    plan: Where, *, pairs: int = 64, out: Where | None = None, settings: Where | None = None, **flags: Any
) -> Outcome:
    """Return what a plan says alone, if nothing names rows, else what it does to them; train nothing.

    Args:
        plan: YAML file of a plan.
        pairs: pairs on which a steering vector is tried.
        out: folder that keeps rows and scores; default: they are thrown away.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`interventions.plan.audited_plan.PlanSettings`.

    Raises:
        PlanError: the plan is wrong, or does not fit the rows.
    """
    loaded = load_plan(Path(plan))
    if loaded.run is None and not flags.get("rows") and settings is None:
        load_settings(PlanSettings, {"rows": "none", **flags})  # faults of flags are said all the same
        count = len(loaded.interventions)
        return Outcome(None, f"{to_yaml(loaded)}\n{count} interventions; name --rows to see what they do")
    asked = plan_settings(loaded, flags, settings)
    bundle = ModelBundle(asked)
    scorers = plan_detectors(loaded, bundle, asked.concepts_file)
    with tempfile.TemporaryDirectory(prefix="anatomy-") as temporary:
        folder = Path(temporary if out is None else out)
        planned = plan_rows(loaded, asked, bundle, scorers, folder)
        return Outcome(None if out is None else folder, preview(planned, folder, pairs, asked.seed))
