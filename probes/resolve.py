"""From what a user names to scorers: concepts with a text heuristic, saved detectors, clusters of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anatomy.concepts.concept import load_library
from anatomy.concepts.scorer import Scorer
from anatomy.errors import ProbeError
from anatomy.runs.reopened import require_named
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.text.visible import visible
from probes.detector import Detector, Provenance
from probes.detector_files import CARD, load_detector, read_card
from probes.sae_detector import SAEDetector
from probes.text_heuristic import TextHeuristic

CLUSTER_OF = "#"
"""Between an audit and one of its clusters."""
NO_CONCEPTS = "none"
"""What is named so that no concept is tested."""


def resolve(names: str | None, bundle: ModelBundle, concepts_file: Path | None = None) -> list[Scorer]:
    """The scorers that ``names``, separated by commas, stand for; None stands for every concept with a text heuristic.

    A name is the id of a concept with a text heuristic, a folder that ``probe fit`` wrote, or ``RUN#R12``; ``none``
    alone stands for no scorers. The model is loaded only for detectors that read it.

    Raises:
        ProbeError: an unknown name, a concept that needs a fitted detector, or two detectors of one concept.
    """
    library = load_library(concepts_file)
    if names is None:
        return [TextHeuristic(one.id, one.heuristic) for one in library.values() if one.heuristic is not None]
    scorers: list[Scorer] = []
    for name in [] if names.strip() == NO_CONCEPTS else filter(None, map(str.strip, names.split(","))):
        if (Path(name) / CARD).is_file():
            scorers.append(saved(Path(name), bundle))
            continue
        if CLUSTER_OF in name:
            scorers.append(of_cluster(name, bundle))
            continue
        concept = library.find(name)
        if concept.heuristic is None:
            raise ProbeError(f"concept `{name}` has no text heuristic; run `anatomy probe fit {name}`, name its folder")
        scorers.append(TextHeuristic(concept.id, concept.heuristic))
    repeated = {scorer.concept for scorer in scorers if sum(other.concept == scorer.concept for other in scorers) > 1}
    if repeated:
        raise ProbeError(f"two detectors of {', '.join(sorted(repeated))}; name one of them at a time")
    return scorers


def saved(folder: Path, bundle: ModelBundle) -> Detector:
    """A saved detector, checked against the bundle's model (and SAE, where it reads one)."""
    subject = bundle.subject
    sae = bundle.sae if read_card(folder).kind == SAEDetector.kind else None
    return load_detector(
        folder, model_fingerprint=subject.fingerprint, width=subject.width, n_layers=subject.n_layers, sae=sae
    )


def of_cluster(name: str, bundle: ModelBundle) -> Detector:
    """The SAE detector of ``RUN#R12``, a cluster of an audit that was made with the bundle's model and SAE.

    A response's score is the mean over its tokens and the cluster's features. There is no threshold.

    Raises:
        ProbeError: no such cluster, or the audit read another model or SAE.
    """
    folder, _, cluster = name.rpartition(CLUSTER_OF)
    estimator = cluster_estimator(Run.at(Path(folder)), cluster, bundle)
    provenance = Provenance(model=bundle.subject.name, model_fingerprint=bundle.subject.fingerprint)
    return Detector(estimator, cluster, bundle.sae.layer, "mean", None, provenance)


def cluster_estimator(run: Run, cluster: str, bundle: ModelBundle) -> SAEDetector:
    """The features of a cluster of an audit that was made with the bundle's model and SAE.

    Raises:
        RunError: the audit has no such cluster.
        SettingsError: the audit names a model or an SAE, and the bundle's settings name none.
        ProbeError: the audit read another model or SAE.
    """
    features = run.cluster_features(cluster)
    require_named(run, bundle.settings, ("model", "sae"))
    for what, made, here in (("model", run.model, bundle.subject), ("sae", run.sae, bundle.sae)):
        if made.fingerprint != here.fingerprint:
            raise ProbeError(
                f"{run.path}: made with another {what} ({visible(made.name)}) than this one or another numeric type; "
                f"give the audit's --{what} and --dtype"
            )
    return SAEDetector(bundle.sae, features)


def only(names: Sequence[Scorer]) -> Scorer:
    """The one scorer of a list.

    Raises:
        ProbeError: there are several, or none.
    """
    if len(names) != 1:
        raise ProbeError(f"{len(names)} detectors named; this takes one")
    return names[0]
