"""Analyse a harvested run again with some settings changed; the weights of the model are not loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, Settings, load_settings
from anatomy.stages import analysis_stages, scores_stage
from anatomy.workflows.outcome import Where


def rerun(folder: Path, kind: type[Settings], flags: dict[str, Any], config: Where | None, until: str) -> None:
    """Run the stages from the clusters up to ``until``; settings that are not given stay as the run has them.

    Raises:
        RunError: there is no harvested run at ``folder``.
        SettingsError: a setting is wrong, or is none of ``kind``.
    """
    asked = load_settings(kind, flags, config)
    changes = {name: getattr(asked, name) for name in asked.model_fields_set}
    with Run.open(folder, new=False) as run:
        run.require("harvest")
        settings = AuditSettings.model_validate({**run.settings.model_dump(), **changes})
        run.save(settings=settings)
        bundle = ModelBundle(settings)
        if "scores" not in run.manifest.stages:  # harvested only
            scores_stage(run, settings, bundle, ())
        run.require("scores")
        analysis_stages(run, settings, bundle, None, until)
