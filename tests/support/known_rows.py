"""Rows of which a planner knows invented scores."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from anatomy.concepts.scores import Scores
from interventions.backends.apply_plan import Detected, Known
from interventions.plan.plan import Plan


def row_id(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()[:32]


def detected(score_NS: Any, concept: str = "bold", threshold: float | None = None, ids: Any = None) -> Detected:
    score_NS = np.asarray(score_NS, dtype=np.float64)
    ids = list(ids) if ids is not None else [row_id(n) for n in range(len(score_NS))]
    return Detected(concept, Scores(ids, ids, score_NS, np.zeros_like(score_NS, dtype=np.int64)), threshold)


def known(*found: Detected, **further: Any) -> Known:
    return Known(found[0].scores.row_ids, {one.concept: one for one in found}, **further)


def plan(*items: dict[str, Any], **further: Any) -> Plan:
    """A plan; items are of ``bold``, suppressed, unless they say otherwise."""
    targets = ("concept", "cluster", "rows", "source")
    filled = [
        {"direction": "suppress", **({} if any(name in item for name in targets) else {"concept": "bold"}), **item}
        for item in items
    ]
    return Plan.model_validate({"interventions": filled, **further})
