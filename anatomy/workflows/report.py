"""``anatomy report``: write the page of a run again, from its artifacts."""

from __future__ import annotations

from pathlib import Path

from anatomy import artifacts
from anatomy.features.feature_store import FeatureStore
from anatomy.runs.run import Run, load_manifest
from anatomy.settings import AuditSettings
from anatomy.stages import report_stage, run_signals
from anatomy.workflows.outcome import Where


def report(run: Where) -> Path:
    """Write the page of a run where something changed, without the model; return its path.

    Raises:
        RunError: there is no complete run there.
    """
    load_manifest(Path(run))
    with Run.open(Path(run)) as opened:
        opened.require("summary")
        settings = AuditSettings.model_validate(opened.manifest["settings"])
        store = FeatureStore(opened.file(artifacts.FEATURES))
        report_stage(opened, settings, store, lambda: run_signals(opened, settings, store))
    return Path(run) / artifacts.REPORT / artifacts.REPORT_PAGE
