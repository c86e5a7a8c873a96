"""``anatomy probe test``: figures of a saved detector on labelled examples that it was not fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.concepts.concept import load_library
from anatomy.errors import ProbeError
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import load_settings
from anatomy.workflows.outcome import Outcome, Where
from probes.collect import read_examples
from probes.example_sources import gather
from probes.probe_report import test_text
from probes.probe_settings import ProbeTestSettings
from probes.resolve import saved


def probe_test(detector: Where, *, settings: Where | None = None, **flags: Any) -> Outcome:
    """Measure a saved detector; prompts that it was fitted on are left out.

    Args:
        detector: folder that ``probe_fit`` wrote.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`probes.probe_settings.ProbeTestSettings`.

    Raises:
        ProbeError: the folder holds no detector of this model, or every prompt was fitted on.
        AnatomyError: settings, rows or model cannot be used.
    """
    folder = Path(detector)
    asked = load_settings(ProbeTestSettings, flags, settings)
    bundle = ModelBundle(asked)
    loaded = saved(folder, bundle)
    concept = load_library(asked.concepts_file).find(asked.concept or loaded.concept)
    found = gather(concept, asked, bundle, folder / "test")
    seen = set(loaded.provenance.settings.get("prompts", []))
    items = [item for item in found.items if item.prompt not in seen]
    if not items:
        raise ProbeError(f"{folder}: was fitted on every prompt of these examples; give others")
    examples = read_examples(items, bundle.subject, [loaded.layer], bundle.settings)[loaded.layer]
    return Outcome(None, test_text(loaded, examples, items, len(found.items) - len(items), asked.seed))
