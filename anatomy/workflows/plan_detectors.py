"""The detectors of a plan's targets."""

from __future__ import annotations

from pathlib import Path

from anatomy.concepts.scorer import Scorer
from anatomy.sae.model_bundle import ModelBundle
from interventions.plan.plan import Plan
from probes.resolve import resolve


def plan_detectors(plan: Plan, bundle: ModelBundle, concepts_file: Path | None) -> dict[str, Scorer]:
    """Return the detector of each scored target of ``plan``, by the target's name.

    Raises:
        ProbeError: an unknown concept, one without a detector, or a detector that reads another model.
    """
    names = plan.detector_names
    found = resolve(",".join(names.values()), bundle, concepts_file) if names else []
    return dict(zip(names, found, strict=True))
