"""``health.json``, which several stages add to."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.runs.run import Run
from anatomy.runs.stage_facts import HarvestFacts, HypothesesFacts, RowsFacts


def write_health(run: Run) -> None:
    """Write ``health.json`` from the facts of the stages that were run: rows, SAE, trivial rules."""
    rows, harvest = run.facts("rows", RowsFacts), run.facts("harvest", HarvestFacts)
    tests = run.facts("hypotheses", HypothesesFacts)
    health = Health.of(
        None if rows is None else rows.health,
        None if harvest is None else harvest.sae,
        None if tests is None else tests.baselines,
        None if tests is None else tests.explained,
    )
    health.write(run.file(artifacts.HEALTH))
