"""``anatomy concepts``: the library as text or JSON."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

from anatomy.concepts.concept import Concept, load_library
from anatomy.report.layout import table, wrap

_COLUMNS = ("id", "name", "kind", "direction", "detector")


def list_concepts(as_json: bool = False, extra: Path | None = None) -> str:
    """The concepts of the library and of the user's file, by kind: a table, or a JSON list of the same columns.

    Raises:
        SettingsError: as :func:`anatomy.concepts.concept.load_library`.
    """
    concepts = sorted(load_library(extra).values(), key=lambda concept: concept.kind)
    rows = [concept.model_dump(include=set(_COLUMNS)) for concept in concepts]
    if as_json:
        return json.dumps(rows, indent=2, ensure_ascii=False)
    cells = [_COLUMNS, *(tuple(row[column] for column in _COLUMNS) for row in rows)]
    header, *lines = table(cells)
    blocks = [header]
    for _, group in groupby(zip(concepts, lines, strict=True), key=lambda item: item[0].kind):
        blocks += ["", *(line for _, line in group)]
    return "\n".join([*blocks, "", "One of them: anatomy concepts show ID"])


def show_concept(concept_id: str, as_json: bool = False, extra: Path | None = None) -> str:
    """All that the library holds of one concept.

    Raises:
        SettingsError: there is no such concept, or as :func:`anatomy.concepts.concept.load_library`.
    """
    concept = load_library(extra).find(concept_id)
    if as_json:
        return json.dumps(concept.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return "\n".join(_lines(concept))


def _lines(concept: Concept) -> list[str]:
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
    return lines
