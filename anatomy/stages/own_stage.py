"""Own responses: features, scores and log-probabilities of what the model itself answers before training."""

from __future__ import annotations

from pathlib import Path

from anatomy import artifacts
from anatomy.concepts.scores import score_rows
from anatomy.errors import RunError, SettingsError
from anatomy.progress import logger, progress_bar
from anatomy.rollouts.rollout_set import Rollouts, own_responses, read_rollouts
from anatomy.runs.stage_facts import OwnFacts
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings
from anatomy.stages.stage import Audit, Stage

NAME = "own"


def _work(audit: Audit) -> OwnFacts | None:
    """Read the responses; raise :class:`RunError` if none of them has a token to read."""
    from anatomy.features.harvesting import harvest
    from anatomy.rollouts.log_probs import log_probs

    run, settings, bundle = audit.run, audit.settings, audit.bundle
    if audit.own is None:
        return None
    responses = own_responses(audit.own, bundle.has_response)
    if not responses:
        raise RunError(f"--base-rollouts {settings.base_rollouts}: every completion is empty; roll out again")
    logger.info(f"own responses: {len(responses):,} completions through the model")
    mark = run.manifest.stages[NAME].fingerprint
    tokenizer, subject = bundle.tokenizer, bundle.subject
    with progress_bar("own responses", "response", len(responses)) as bar:
        folder = run.file(artifacts.OWN_FEATURES)
        harvest(responses, tokenizer, subject, bundle.sae, folder, mark, settings, bar.update)
    if audit.scorers:
        with progress_bar("their scores", "response", len(responses)) as bar:
            folder = run.file(artifacts.OWN_SCORES)
            score_rows(responses, audit.scorers, tokenizer, lambda: subject, folder, mark, settings, bar.update)
    with progress_bar("their log-probabilities", "response", len(responses)) as bar:
        log_probs(responses, tokenizer, subject, run.file(artifacts.OWN_LOG_PROBS), mark, settings, bar.update)
    return OwnFacts(responses=len(responses))


def _written(audit: Audit) -> list[str]:
    if audit.own is None:
        return []
    return [artifacts.OWN_FEATURES, artifacts.OWN_LOG_PROBS, *([artifacts.OWN_SCORES] if audit.scorers else [])]


def read_own(settings: AuditSettings, bundle: ModelBundle) -> Rollouts | None:
    """The rollouts that the settings name.

    Raises:
        RunError: not finished rollouts.
        SettingsError: rollouts of another model, or with one completion a prompt.
    """
    if settings.base_rollouts is None:
        return None
    own = read_rollouts(Path(settings.base_rollouts))
    if own.manifest.model.fingerprint != bundle.subject.fingerprint:
        raise SettingsError(
            f"--base-rollouts {settings.base_rollouts}: completions of another model than the audit's; roll it out"
        )
    if own.manifest.sampling.samples < 2:
        raise SettingsError(
            f"--base-rollouts {settings.base_rollouts}: one completion a prompt; roll out with --samples 2 or more"
        )
    return own


OWN_STAGE = Stage(
    name=NAME,
    work=_work,
    outputs=(artifacts.OWN_FEATURES, artifacts.OWN_SCORES, artifacts.OWN_LOG_PROBS),
    inputs=(artifacts.FEATURES, artifacts.SCORES),
    computed=lambda audit: {"rollouts": None if audit.own is None else audit.own.manifest.fingerprint},
    written=_written,
)
