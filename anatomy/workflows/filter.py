"""``anatomy filter``: carry out the filterings of a plan: a cleaned set, and a log of every row with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.runs.out_folder import claimed
from anatomy.sae.model_bundle import ModelBundle
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.plan_detectors import plan_detectors
from interventions.backends.cleaned_set import filter_rows, filterings_of
from interventions.plan.audited_plan import plan_settings
from interventions.plan.plan import load_plan


def filter(plan: Where, *, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Write the rows that the filterings of a plan leave, as a folder for the Hub.

    Args:
        plan: YAML file of a plan.
        out: folder of the cleaned set.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`interventions.plan.audited_plan.PlanSettings`.

    Raises:
        PlanError: the plan filters nothing, leaves nothing, or does not fit the rows.
    """
    loaded = filterings_of(load_plan(Path(plan)))
    asked = plan_settings(loaded, flags, settings)
    bundle = ModelBundle(asked)
    scorers = plan_detectors(loaded, bundle, asked.concepts_file)
    with claimed(Path(out)):
        return Outcome(Path(out), filter_rows(loaded, asked, bundle, scorers, Path(out)))
