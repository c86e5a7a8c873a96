"""The detectors of a run's concepts, resolved again from what this command line names."""

from __future__ import annotations

from pathlib import Path

from anatomy.concepts.concept import load_library
from anatomy.concepts.scorer import Scorer
from anatomy.errors import SettingsError
from anatomy.runs.reopened import flags_of_run, require_named
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import ReaderSettings
from anatomy.stages.scores_stage import scored_concept
from probes.detector_files import CARD
from probes.resolve import NO_CONCEPTS, resolve


def run_detectors(run: Run, bundle: ModelBundle, settings: ReaderSettings) -> list[Scorer]:
    """Return the detectors of the run's concepts as ``settings`` name them; rules on text need no naming.

    Raises:
        SettingsError: a detector is not named here, or is not the one that the run was made with.
    """
    names = settings.concepts
    if names is None:
        names = run.recorded_settings.concepts
        library = load_library(settings.concepts_file)
        for name in filter(None, map(str.strip, (names or "").split(","))):
            if name != NO_CONCEPTS and (
                name not in library or library[name].heuristic is None or (Path(name) / CARD).exists()
            ):
                require_named(run, settings, ("concepts",))
    detectors = resolve(names, bundle, settings.concepts_file)
    if names is None:
        detectors = [scorer for scorer in detectors if scorer.concept in run.concepts]
    found = {scorer.concept: scored_concept(scorer) for scorer in detectors}
    if found != run.concepts:
        flags = flags_of_run(run, ("concepts", "concepts_file"))
        raise SettingsError(f"{run.path}: not the detectors that the run was made with; give those, if any: {flags}")
    return detectors
