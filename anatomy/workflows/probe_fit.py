"""``anatomy probe fit``: examples of a concept → a detector, its layer and threshold, and its held-out figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.activations.spans import template_hash
from anatomy.concepts.concept import Concept, load_library
from anatomy.errors import ProbeError
from anatomy.progress import progress_bar
from anatomy.runs.out_folder import claimed
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import load_settings
from anatomy.types import content_hash
from anatomy.workflows.outcome import Outcome, Where
from probes.collect import Labelled, read_examples
from probes.detector import Detector, Provenance, package_versions
from probes.detector_files import save_detector
from probes.example_sources import gather
from probes.fit_detector import FitReport, Kind, default_layers, fit_layers, measure, part_of, split
from probes.probe_report import fit_text
from probes.probe_settings import ProbeFitSettings
from probes.resolve import cluster_estimator

REPORT = "report.json"


def probe_fit(concept: str, *, out: Where | None = None, settings: Where | None = None, **flags: Any) -> Outcome:
    """Fit a detector of a concept and save it with its report.

    Args:
        concept: id of a concept of the library, or of ``concepts_file``.
        out: folder of the detector; default: ``detectors/<concept>``.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`probes.probe_settings.ProbeFitSettings`.

    Raises:
        ProbeError: there are too few examples, or their way of making lacks something.
        AnatomyError: settings, rows or model cannot be used.
    """
    asked = load_settings(ProbeFitSettings, {"concept": concept, **flags}, settings)
    folder = Path("detectors") / asked.concept if out is None else Path(out)
    found = load_library(asked.concepts_file).find(asked.concept)
    bundle = ModelBundle(asked)
    kind = asked.detector or found.detector
    with claimed(folder):
        if kind == "sae":
            return Outcome(folder, _sae_detector(found, asked, bundle, folder))
        return Outcome(folder, _fitted(found, "linear" if kind == "text" else kind, asked, bundle, folder))


def _fitted(concept: Concept, kind: Kind, settings: ProbeFitSettings, bundle: ModelBundle, out: Path) -> str:
    found = gather(concept, settings, bundle, out)
    parts = split(found.items)
    layers = _layers(settings.layers, bundle.subject.n_layers)
    with progress_bar("activations", "sequence", len(found.items)) as bar:
        by_layer = read_examples(found.items, bundle.subject, layers, bundle.settings, bar.update)
    estimator, report = fit_layers(by_layer, parts, kind, settings.pooling, settings.seed, found.items)
    seen = sorted({item.prompt for item in found.items if part_of(item.prompt) != "test"})
    provenance = _provenance(bundle, found.items, {**found.facts, "seed": settings.seed, "prompts": seen}, report)
    detector = Detector(estimator, concept.id, report.layer, settings.pooling, report.threshold, provenance)
    save_detector(detector, out)
    artifacts.write_json(out / REPORT, {"concept": concept.id, **found.facts, **report.to_dict()})
    return fit_text(concept.id, found.facts, report, out)


def _sae_detector(concept: Concept, settings: ProbeFitSettings, bundle: ModelBundle, out: Path) -> str:
    """A detector that is a cluster of an audit: nothing is fitted; examples of another making measure it."""
    if settings.run is None or settings.cluster is None:
        raise ProbeError("an SAE detector needs --run RUN and --cluster R12")
    estimator = cluster_estimator(Run.at(settings.run), settings.cluster, bundle)
    facts: dict[str, Any] = {"run": str(settings.run), "cluster": settings.cluster}
    report = None
    items: list[Labelled] = []
    if settings.examples is not None:
        found = gather(concept, settings, bundle, out)
        items, facts = found.items, facts | found.facts
        by_layer = read_examples(items, bundle.subject, [bundle.sae.layer], bundle.settings)
        report = measure(
            estimator,
            bundle.sae.layer,
            by_layer[bundle.sae.layer],
            split(items),
            "sae",
            settings.pooling,
            settings.seed,
            items,
        )
    provenance = _provenance(bundle, items, facts, report)
    threshold = report.threshold if report else None
    save_detector(Detector(estimator, concept.id, bundle.sae.layer, settings.pooling, threshold, provenance), out)
    if report is None:
        what = f"{len(estimator.features)} features of {settings.cluster}"
        return f"{concept.id}: {what}, not measured (no --examples), so without a threshold; saved in {out}"
    artifacts.write_json(out / REPORT, {"concept": concept.id, **facts, **report.to_dict()})
    return fit_text(concept.id, facts, report, out)


def _layers(wanted: str | None, n_layers: int) -> list[int]:
    if wanted is None:
        return default_layers(n_layers)
    if wanted == "all":
        return list(range(n_layers))
    try:
        layers = sorted({int(part) for part in wanted.split(",")})
    except ValueError:
        raise ProbeError(f"--layers {wanted}: give `all`, or block numbers with commas, from 0") from None
    if not layers or layers[0] < 0 or layers[-1] >= n_layers:
        raise ProbeError(f"--layers {wanted}: the model has blocks 0 to {n_layers - 1}")
    return layers


def _provenance(
    bundle: ModelBundle, items: Sequence[Labelled], facts: dict[str, Any], report: FitReport | None
) -> Provenance:
    made_of = [[item.ids.tolist(), item.label, item.prompt] for item in items]
    return Provenance(
        model=bundle.subject.name,
        model_fingerprint=bundle.subject.fingerprint,
        template_hash=template_hash(bundle.tokenizer),
        data_hash=content_hash(made_of) if items else None,
        settings=facts,
        versions=package_versions(),
        scores=report.to_dict() if report else {},
    )
