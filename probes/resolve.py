"""From what a user names to scorers: ids of concepts with a text heuristic, and folders that ``probe fit`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anatomy.concepts.concept import load_library
from anatomy.concepts.scorer import Scorer
from anatomy.errors import ProbeError
from anatomy.lens import Lens
from probes.detector import Detector
from probes.sae import SAEDetector
from probes.store import CARD, load_detector, read_card
from probes.text import TextHeuristic


def resolve(names: str, lens: Lens, concepts_file: Path | None = None) -> list[Scorer]:
    """The scorers that ``names`` (separated by commas) stand for; the model is loaded only for detectors that read it.

    Raises:
        ProbeError: an unknown name, a concept that needs a fitted detector, or two detectors of one concept.
    """
    library = load_library(concepts_file)
    scorers: list[Scorer] = []
    for name in [part.strip() for part in names.split(",") if part.strip()]:
        if (Path(name) / CARD).is_file():
            scorers.append(saved(Path(name), lens))
            continue
        concept = library.find(name)
        if concept.heuristic is None:
            raise ProbeError(f"concept `{name}` has no text heuristic; run `anatomy probe fit {name}`, name its folder")
        scorers.append(TextHeuristic(concept.id, concept.heuristic))
    repeated = {scorer.concept for scorer in scorers if sum(other.concept == scorer.concept for other in scorers) > 1}
    if repeated:
        raise ProbeError(f"two detectors of {', '.join(sorted(repeated))}; name one of them at a time")
    return scorers


def saved(folder: Path, lens: Lens) -> Detector:
    """A saved detector, checked against the lens's model (and SAE, where it reads one)."""
    subject = lens.subject
    sae = lens.sae if read_card(folder).kind == SAEDetector.kind else None
    return load_detector(
        folder, model_fingerprint=subject.fingerprint, width=subject.width, n_layers=subject.n_layers, sae=sae
    )


def only(names: Sequence[Scorer]) -> Scorer:
    """The one scorer of a list.

    Raises:
        ProbeError: there are several, or none.
    """
    if len(names) != 1:
        raise ProbeError(f"{len(names)} detectors named; this takes one")
    return names[0]
