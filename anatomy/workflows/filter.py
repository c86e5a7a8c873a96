"""``anatomy filter``: carry out the filterings of a plan: a cleaned set, and a log of every row with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.workflows.outcome import Outcome, Where
from interventions.backends.cleaned_set import filter_rows
from interventions.plan.plan import load_plan
from interventions.plan.plan_settings import plan_settings
from probes.resolve import resolve


def filter(plan: Where, *, out: Where, settings: Where | None = None, **flags: Any) -> Outcome:
    """Write the rows that the filterings of a plan leave, as a folder for the Hub.

    Args:
        plan: YAML file of a plan.
        out: folder of the cleaned set.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`interventions.plan.plan_settings.PlanSettings`.

    Raises:
        PlanError: the plan filters nothing, leaves nothing, or does not fit the rows.
    """
    loaded = load_plan(Path(plan))
    return Outcome(Path(out), filter_rows(loaded, plan_settings(loaded, flags, settings), Path(out), resolve))
