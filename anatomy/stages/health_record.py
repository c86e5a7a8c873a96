"""``health.json``, which several stages add to."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.runs.run import Run


def write_health(run: Run) -> None:
    """Write ``health.json`` from the facts of the stages that were run: rows, SAE, trivial rules."""
    facts = {name: record.facts for name, record in run.manifest.stages.items()}
    parts = dict(facts.get("rows", {}).get("health", {}))
    parts["sae"] = facts.get("harvest", {}).get("sae")
    parts["baselines"] = facts.get("hypotheses", {}).get("baselines", {})
    Health.model_validate(artifacts.finite(parts)).write(run.file(artifacts.HEALTH))
