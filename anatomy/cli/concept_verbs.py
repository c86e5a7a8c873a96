"""``anatomy concepts``: the library of concepts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from anatomy.progress import output

Json = Annotated[bool, Parameter(negative=(), help="As JSON.")]
ConceptsFile = Annotated[Path | None, Parameter(help="YAML file with further concepts.")]

concepts = App(name="concepts", help_format="plaintext")


@concepts.command(name="list")
def list_concepts(*, json: Json = False, concepts_file: ConceptsFile = None) -> None:
    """List the concepts that can be asked about by name."""
    from anatomy.report.concept_text import concepts_json, concepts_text
    from anatomy.workflows.concepts import list_concepts

    output((concepts_json if json else concepts_text)(list_concepts(concepts_file)))


@concepts.command(name="show")
def show_concept(
    concept: Annotated[str, Parameter(help="Id of a concept.")],
    /,
    *,
    json: Json = False,
    concepts_file: ConceptsFile = None,
) -> None:
    """Show one concept: what it means, how its detector is made, what asks for it."""
    from anatomy.report.concept_text import concept_json, concept_text
    from anatomy.workflows.concepts import show_concept

    output((concept_json if json else concept_text)(show_concept(concept, concepts_file)))
