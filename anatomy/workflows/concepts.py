"""``anatomy concepts``: the library, and a file of the user's."""

from __future__ import annotations

from pathlib import Path

from anatomy.concepts.concept import Concept, load_library
from anatomy.workflows.outcome import Where


def list_concepts(concepts_file: Where | None = None) -> list[Concept]:
    """Return the concepts of the library and of ``concepts_file``, by kind.

    Raises:
        SettingsError: as :func:`anatomy.concepts.concept.load_library`.
    """
    file = None if concepts_file is None else Path(concepts_file)
    return sorted(load_library(file).values(), key=lambda concept: concept.kind)


def show_concept(concept: str, concepts_file: Where | None = None) -> Concept:
    """Return all that the library, or ``concepts_file``, holds of one concept.

    Raises:
        SettingsError: there is no such concept, or as :func:`anatomy.concepts.concept.load_library`.
    """
    return load_library(None if concepts_file is None else Path(concepts_file)).find(concept)
