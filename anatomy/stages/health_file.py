"""What all stages share: the bar on the terminal, and the health that they add to."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from anatomy import artifacts
from anatomy.runs.run import Run


def progress_bar(what: str, unit: str, total: int | None = None) -> Any:
    """A bar on standard error; silent where that is not a terminal."""
    return tqdm(total=total, desc=what, unit=f" {unit}s", file=sys.stderr, disable=None, leave=False)


def write_health(run: Run) -> None:
    """``health.json`` from the facts of the stages that are complete: rows, SAE, baselines."""
    facts = {name: record.get("facts", {}) for name, record in run.manifest["stages"].items()}
    health = dict(facts.get("rows", {}).get("health", {}))
    health |= {"sae": facts["harvest"]["sae"]} if "sae" in facts.get("harvest", {}) else {}
    health |= {"baselines": facts["hypotheses"]["baselines"]} if "baselines" in facts.get("hypotheses", {}) else {}
    artifacts.write_json(run.file(artifacts.HEALTH), health)
