"""What ``anatomy probe fit``, ``test`` and ``score`` do, as functions of settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.activations.spans import template_hash
from anatomy.concepts.concept import Concept, load_library
from anatomy.data.sources import find_sources
from anatomy.errors import ProbeError
from anatomy.progress import progress_bar
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages import rows_stage, scores_stage
from anatomy.types import content_hash
from probes.collect import Labelled, read_examples
from probes.detector import Detector, Provenance, package_versions
from probes.detector_files import save_detector
from probes.example_sources import cluster_features, gather
from probes.fit_detector import FitReport, default_layers, fit_layers, measure, part_of, split
from probes.probe_report import fit_text, test_text
from probes.probe_settings import ProbeFitSettings, ProbeScoreSettings, ProbeTestSettings
from probes.resolve import only, resolve, saved
from probes.sae_detector import SAEDetector
from probes.score_table import score_table

REPORT = "report.json"


def fit(settings: ProbeFitSettings, out: Path) -> str:
    """Fit a detector, save it with its report in ``out``, and return the report as text."""
    bundle = ModelBundle(settings)
    concept = load_library(settings.concepts_file).find(settings.concept)
    kind = settings.detector or concept.detector
    if kind == "sae":
        return _sae_detector(concept, settings, bundle, out)
    if kind == "text":
        kind = "linear"
    found = gather(concept, settings, bundle, out)
    parts = split(found.items)
    layers = _layers(settings.layers, bundle.subject.n_layers)
    with progress_bar("activations", "sequence", len(found.items)) as bar:
        by_layer = read_examples(found.items, bundle.subject, layers, bundle.settings, bar.update)
    estimator, report = fit_layers(by_layer, parts, kind, settings.pooling, settings.seed)
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
    estimator = SAEDetector(bundle.sae, cluster_features(settings.run, settings.cluster))
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
        )
    provenance = _provenance(bundle, items, facts, report)
    threshold = report.threshold if report else None
    save_detector(Detector(estimator, concept.id, bundle.sae.layer, settings.pooling, threshold, provenance), out)
    if report is None:
        what = f"{len(estimator.features)} features of {settings.cluster}"
        return f"{concept.id}: {what}, not measured (no --examples), so without a threshold; saved in {out}"
    artifacts.write_json(out / REPORT, {"concept": concept.id, **facts, **report.to_dict()})
    return fit_text(concept.id, facts, report, out)


def test(folder: Path, settings: ProbeTestSettings) -> str:
    """Measure a saved detector on labelled examples; prompts that it was fitted on are left out."""
    bundle = ModelBundle(settings)
    detector = saved(folder, bundle)
    concept = load_library(settings.concepts_file).find(settings.concept or detector.concept)
    found = gather(concept, settings, bundle, folder / "test")
    seen = set(detector.provenance.settings.get("prompts", []))
    items = [item for item in found.items if item.prompt not in seen]
    if not items:
        raise ProbeError(f"{folder}: was fitted on every prompt of these examples; give others")
    examples = read_examples(items, bundle.subject, [detector.layer], bundle.settings)[detector.layer]
    return test_text(detector, examples, len(found.items) - len(items), settings.seed)


def score(settings: ProbeScoreSettings, out: Path) -> str:
    """Score rows: a preference set into a run directory, a plain table (``prompt``, ``completion``) into a file."""
    bundle = ModelBundle(settings)
    scorers = resolve(settings.concept, bundle, settings.concepts_file)
    sources = find_sources(settings)
    first = next((record for source in sources for record in source.records()), None)
    if first is not None and "completion" in first.values and "chosen" not in first.values:
        records = (record for source in sources for record in source.records())
        with progress_bar("score", "row") as bar:
            rows = score_table(records, only(scorers), bundle, out, bar.update)
        return f"{rows:,} rows with `score` and `flag`: {out}"
    full = AuditSettings.model_validate(settings.model_dump(exclude={"concept", "concepts_file"}))
    with Run.open(out) as run:
        run.save(settings=full.model_dump(mode="json"), seed=full.seed)
        rows_stage(run, full, bundle)
        scores_stage(run, full, bundle, scorers)
    names = ", ".join(f"{artifacts.SCORES}/{scorer.concept}" for scorer in scorers)
    return f"scores of chosen and rejected by row_id: {out}/{{{names}}}"


def default_out(settings: ProbeFitSettings) -> Path:
    """``detectors/<concept>``."""
    return Path("detectors") / settings.concept


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
