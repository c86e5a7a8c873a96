"""``anatomy concepts``: concepts as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from anatomy.concepts.concept import Concept
from anatomy.report.layout import table, wrap

_COLUMNS = ("id", "name", "kind", "direction", "detector")


def concepts_text(concepts: Sequence[Concept]) -> str:
    """A table of concepts that are sorted by kind."""
    header, *lines = table([_COLUMNS, *(tuple(getattr(one, column) for column in _COLUMNS) for one in concepts)])
    blocks = [header]
    for _, group in groupby(zip(concepts, lines, strict=True), key=lambda item: item[0].kind):
        blocks += ["", *(line for _, line in group)]
    return "\n".join([*blocks, "", "One of them: anatomy concepts show ID"])


def concepts_json(concepts: Sequence[Concept]) -> str:
    """A JSON list of the columns of :func:`concepts_text`."""
    return _json([concept.model_dump(include=set(_COLUMNS)) for concept in concepts])


def concept_json(concept: Concept) -> str:
    """All of one concept as JSON."""
    return _json(concept.model_dump(mode="json"))


def concept_text(concept: Concept) -> str:
    """All of one concept as lines."""
    fields = {
        "kind": concept.kind,
        "direction": concept.direction,
        "inoculation": concept.inoculation,
        "positives": concept.positives,
        "heuristic": concept.heuristic or "none",
        "detector": concept.detector,
        "judge": concept.judge_question,
    }
    lines = [*wrap(f"{concept.id}: {concept.name}"), *wrap(concept.description, "  ", "  ")]
    for name, value in fields.items():
        lines += wrap(value or "", f"  {name}: ", "    ")
    for number, contrast in enumerate(concept.contrasts, 1):
        lines += wrap(contrast.positive, f"  contrast {number} for: ", "    ")
        lines += wrap(contrast.negative, f"  contrast {number} against: ", "    ")
    return "\n".join(lines)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
