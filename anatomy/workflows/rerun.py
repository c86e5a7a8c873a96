"""Analyse a harvested run again with some settings changed; the weights of the model are not loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, Settings, load_settings
from anatomy.stages.audit_stages import dependents, perform
from anatomy.stages.cluster_stage import CLUSTER_STAGE
from anatomy.stages.scored_tokens_stage import SCORED_TOKENS_STAGE
from anatomy.stages.scores_stage import SCORES_STAGE
from anatomy.stages.stage import Audit, Stage
from anatomy.workflows.outcome import Where


def rerun(
    folder: Path, kind: type[Settings], flags: dict[str, Any], config: Where | None, until: Stage | None = None
) -> None:
    """Run the analysis from the clusters on, up to ``until``; settings that are not given stay as the run has them.

    Scores of single tokens need the detectors: rows keep those that they have.

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
        audit = Audit(run, settings, ModelBundle(settings))
        if "scores" not in run.manifest.stages:  # harvested only
            perform(audit, SCORES_STAGE)
        for stage in (CLUSTER_STAGE, *dependents(CLUSTER_STAGE)):
            if stage is not SCORED_TOKENS_STAGE:
                perform(audit, stage)
            if stage is until:
                break
