"""``health.json``, which several stages add to."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.runs.run import Run


def write_health(run: Run) -> None:
    """``health.json`` from the facts of the stages that are complete: rows, SAE, baselines."""
    facts = {name: record.facts for name, record in run.manifest.stages.items()}
    health = dict(facts.get("rows", {}).get("health", {}))
    health |= {"sae": facts["harvest"]["sae"]} if "sae" in facts.get("harvest", {}) else {}
    health |= {"baselines": facts["hypotheses"]["baselines"]} if "baselines" in facts.get("hypotheses", {}) else {}
    artifacts.write_json(run.file(artifacts.HEALTH), health)
