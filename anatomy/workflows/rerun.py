"""Analyse a harvested run again with some settings changed; the weights of the model are not loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.runs.reopened import ReopenedBundle, require_named
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, Settings, SubjectSettings, load_settings
from anatomy.stages.audit_stages import dependents, perform
from anatomy.stages.cluster_stage import CLUSTER_STAGE
from anatomy.stages.corpus_stage import CORPUS_STAGE
from anatomy.stages.scored_tokens_stage import SCORED_TOKENS_STAGE
from anatomy.stages.scores_stage import SCORES_STAGE
from anatomy.stages.stage import Audit, Stage
from anatomy.workflows.outcome import Where


def rerun(
    folder: Path, kind: type[Settings], flags: dict[str, Any], config: Where | None, until: Stage | None = None
) -> None:
    """Run the analysis from the clusters on, up to ``until``; settings that are not given stay as the run has them.

    Scores of single tokens need the detectors: rows keep those that they have. Up to the clusters nothing is loaded;
    after them the tokenizer that ``flags`` name, by default the laptop model's.

    Raises:
        RunError: there is no harvested run at ``folder``.
        SettingsError: a setting is wrong, or is none of ``kind``, or the run names a model, template or calibration
            that ``flags`` do not.
        ModelError: the run was made with another tokenizer.
    """
    asked = load_settings(kind, flags, config)
    subject = SubjectSettings.model_validate(asked.model_dump(include=set(SubjectSettings.model_fields)))
    kept = asked.model_fields_set - SubjectSettings.model_fields.keys()
    with Run.open(folder, new=False) as run:
        run.require("harvest")
        if until is None:
            require_named(run, asked, ("model", "chat_template", "calibration"))
        changes = {name: getattr(asked, name) for name in kept}
        settings = AuditSettings.model_validate({**run.recorded_settings.model_dump(), **changes})
        bundle = ReopenedBundle(run, subject) if until is None else ModelBundle(run.settings)
        run.save(settings=settings)
        audit = Audit(run, settings, bundle)
        if "scores" not in run.manifest.stages:  # harvested only
            perform(audit, SCORES_STAGE)
        if "response_clusters" in changes:
            perform(audit, CORPUS_STAGE)
        for stage in (CLUSTER_STAGE, *dependents(CLUSTER_STAGE)):
            if stage is not SCORED_TOKENS_STAGE:
                perform(audit, stage)
            if stage is until:
                break
