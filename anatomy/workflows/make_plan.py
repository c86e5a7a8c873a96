"""``anatomy plan``: a plan of interventions from decisions on the findings of an audit."""

from __future__ import annotations

from pathlib import Path

from anatomy.runs.out_folder import refuse_existing
from anatomy.runs.reopened import flags_of_run
from anatomy.runs.run import Run
from anatomy.workflows.outcome import Outcome, Where
from interventions.plan import audited_plan
from interventions.plan.plan import save_plan, to_yaml


def make_plan(
    run: Where,
    *,
    suppress: str | None = None,
    amplify: str | None = None,
    remove: str | None = None,
    keep: str | None = None,
    backend: str = "reward_shaping",
    strength: float = 1.0,
    concepts_file: Where | None = None,
    out: Where = "plan.yaml",
) -> Outcome:
    """Write a plan with an intervention for each target that is decided on.

    Args:
        run: run directory whose clusters are meant.
        suppress, amplify, remove, keep: targets with commas: clusters (``R12``, ``D4``, ``P7``) or concepts.
        backend: ``reward_shaping``, ``steering``, ``inoculation`` or ``filtering``: how suppress and amplify work.
        strength: strength of each, 0 or more; what it means depends on the backend.
        concepts_file: YAML file with further concepts.
        out: the plan; a file that is there already is not overwritten.

    Raises:
        RunError: ``out`` is there already.
        PlanError: a target or a decision is wrong.
    """
    path = Path(out)
    refuse_existing(path)
    decided = audited_plan.decisions({"suppress": suppress, "amplify": amplify, "remove": remove, "keep": keep})
    file = None if concepts_file is None else Path(concepts_file)
    plan = audited_plan.make_plan(Path(run), decided, backend, strength, file)
    save_plan(path, plan)
    flags = flags_of_run(Run.at(Path(run)), audited_plan.LOADED)
    return Outcome(
        path, f"{to_yaml(plan)}\n{path}: read it, then see what it would do: `anatomy plan check {path} {flags}`"
    )
