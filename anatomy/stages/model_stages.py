"""Rows → pooled features and scores: the stages that need the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.concepts.scorer import Measured, Scorer
from anatomy.concepts.scores import score_rows
from anatomy.data.ingest import ingest
from anatomy.data.sources import source_fingerprint
from anatomy.errors import RunError, SAEError, SettingsError
from anatomy.progress import logger, progress_bar
from anatomy.rollouts.rollout_set import Rollouts, own_responses, read_rollouts
from anatomy.runs.manifest import ModelIdentity, SAEIdentity, ScoredConcept
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings, RowSettings
from anatomy.stages.health_file import write_health
from anatomy.types import SIDES, content_hash


def rows_stage(run: Run, settings: AuditSettings, bundle: ModelBundle) -> None:
    """Source → ``rows.parquet`` and data health."""

    def work() -> dict[str, Any]:
        with progress_bar("rows", "row") as bar:
            health = ingest(settings, run.path, bundle.token_check, bar.update)
        return {"health": {**health, **bundle.token_check.to_dict()}}

    names = RowSettings.model_fields.keys() - {"rows"}
    depends = {
        "source": source_fingerprint(settings),
        "settings": settings.model_dump(mode="json", include=set(names)),
        "tokens": bundle.token_settings(),
    }
    run.stage("rows", depends, [artifacts.ROWS], work)
    run.save_inputs(rows=depends["source"], **bundle.token_settings())
    write_health(run)


def harvest_stage(run: Run, settings: AuditSettings, bundle: ModelBundle) -> None:
    """``rows.parquet`` → ``features/``, and the SAE's health on these rows.

    Raises:
        SAEError: the SAE is unhealthy on these rows and ``force`` is off; told after the first shard.
    """
    from anatomy.features.harvesting import harvest
    from anatomy.sae.reconstruction import HealthSums, SAEHealth

    depends = {
        "rows": run.output_hash("rows", artifacts.ROWS),
        "tokens": bundle.token_settings(),
        "model": bundle.subject.fingerprint,
        "sae": bundle.sae.fingerprint,
        "layer": bundle.sae.layer,
        "batch_tokens": settings.batch_tokens,
    }

    def measured(sums: HealthSums) -> dict[str, Any]:
        health = SAEHealth.from_sums(sums, bundle.sae.claimed)
        faults = health.faults()
        if faults and not settings.force:
            raise SAEError(
                f"{bundle.sae.name} is unhealthy on these rows: {'; '.join(faults)}; check model, layer and scale "
                "(`anatomy sae health`), or go on with --force"
            )
        return {**asdict(health), "faults": faults}

    def work() -> dict[str, Any]:
        health = run.require("rows").facts["health"]
        retained, means = health["retained"], {span: told["mean"] for span, told in health["lengths"].items()}
        read = {side: min(means[side], settings.max_response_length or means[side]) for side in SIDES}
        tokens = retained * sum(min(settings.max_length, means["prompt"] + read[side]) for side in SIDES)
        logger.info(f"harvest: {retained:,} rows, at most {tokens:,.0f} tokens through the model")
        pairs = (stored.pair for stored in run.rows())
        fingerprint = content_hash(depends)
        with progress_bar("harvest", "row", retained) as bar:
            sums = harvest(
                pairs,
                bundle.tokenizer,
                bundle.subject,
                bundle.sae,
                run.file(artifacts.FEATURES),
                fingerprint,
                settings,
                progress=bar.update,
                check=measured,
            )
        return {"sae": measured(sums), "features": bundle.sae.n_features}

    run.stage("harvest", depends, [artifacts.FEATURES], work)
    model, sae = bundle.subject, bundle.sae
    run.save_inputs(
        model=ModelIdentity(name=model.name, origin=model.origin, fingerprint=model.fingerprint),
        sae=SAEIdentity(name=sae.name, fingerprint=sae.fingerprint, layer=sae.layer),
    )
    write_health(run)


def scores_stage(run: Run, settings: AuditSettings, bundle: ModelBundle, scorers: Sequence[Scorer]) -> None:
    """``rows.parquet`` → ``scores/<concept>/``: chosen and rejected responses scored by every detector asked for."""
    made_of = {"tokens": bundle.token_settings(), "batch_tokens": settings.batch_tokens}
    if any(scorer.layer is not None for scorer in scorers):
        made_of["model"] = bundle.subject.fingerprint

    def work() -> dict[str, Any]:
        run.file(artifacts.SCORED_TOKENS).unlink(missing_ok=True)  # of other rows or detectors
        pairs = (stored.pair for stored in run.rows())
        if scorers:
            with progress_bar("scores", "row", run.require("rows").facts["health"]["retained"]) as bar:
                mark = content_hash(made_of)
                score_rows(
                    pairs,
                    scorers,
                    bundle.tokenizer,
                    lambda: bundle.subject,
                    run.file(artifacts.SCORES),
                    mark,
                    settings,
                    bar.update,
                )
        return {"concepts": {scorer.concept: _scored(scorer).model_dump() for scorer in scorers}}

    depends = {
        "rows": run.output_hash("rows", artifacts.ROWS),
        "scorers": {scorer.concept: scorer.fingerprint for scorer in scorers},
        **(made_of if scorers else {}),
    }
    run.stage("scores", depends, [f"{artifacts.SCORES}/{scorer.concept}" for scorer in scorers], work)


def own_stage(
    run: Run, settings: AuditSettings, bundle: ModelBundle, scorers: Sequence[Scorer], own: Rollouts | None
) -> None:
    """The model's own responses → ``own_features/``, ``own_scores/``, ``own_log_probs/``; none, nothing.

    Raises:
        RunError: none of the completions has a token to read.
    """
    from anatomy.features.harvesting import harvest
    from anatomy.rollouts.log_probs import log_probs

    made_of = {
        "rollouts": None if own is None else own.manifest.fingerprint,
        "harvest": run.require("harvest").fingerprint,
        "scores": run.require("scores").fingerprint,
    }

    def work() -> dict[str, Any]:
        if own is None:
            return {}
        responses = own_responses(own, bundle.has_response)
        if not responses:
            raise RunError(f"--base-rollouts {settings.base_rollouts}: every completion is empty; roll out again")
        logger.info(f"own responses: {len(responses):,} completions through the model")
        mark = content_hash(made_of)
        read = bundle.tokenizer, bundle.subject
        with progress_bar("own responses", "response", len(responses)) as bar:
            harvest(responses, *read, bundle.sae, run.file(artifacts.OWN_FEATURES), mark, settings, bar.update)
        if scorers:
            with progress_bar("their scores", "response", len(responses)) as bar:
                folder = run.file(artifacts.OWN_SCORES)
                score_rows(responses, scorers, read[0], lambda: read[1], folder, mark, settings, bar.update)
        with progress_bar("their log-probabilities", "response", len(responses)) as bar:
            log_probs(responses, *read, run.file(artifacts.OWN_LOG_PROBS), mark, settings, bar.update)
        return {"responses": len(responses)}

    outputs = [artifacts.OWN_FEATURES, artifacts.OWN_LOG_PROBS, *([artifacts.OWN_SCORES] if scorers else [])]
    run.stage("own", made_of, [] if own is None else outputs, work)


def read_own(settings: AuditSettings, bundle: ModelBundle) -> Rollouts | None:
    """The rollouts that the settings name.

    Raises:
        RunError: not finished rollouts.
        SettingsError: of another model, or one completion a prompt.
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


def _scored(scorer: Scorer) -> ScoredConcept:
    return ScoredConcept(
        detector=scorer.kind,
        layer=scorer.layer,
        pooling=scorer.pooling,
        threshold=scorer.threshold,
        held_out=artifacts.finite(dict(scorer.held_out)) if isinstance(scorer, Measured) else {},
    )
