"""``anatomy validate``: predicted shifts of a run beside those observed in rollouts before and after training."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from anatomy import artifacts
from anatomy.clusters.feature_clusters import default_min_fires, shift_moments
from anatomy.concepts.scorer import Scorer
from anatomy.errors import AnatomyError, RunError, SettingsError
from anatomy.prediction.calibration import Calibration, Line
from anatomy.prediction.prediction_settings import ValidateSettings
from anatomy.prediction.predictor_specs import PredictorInputs, PredictorSpec, names, spec_of
from anatomy.prediction.predictors import Predictor
from anatomy.prediction.readouts import Cut
from anatomy.prediction.response_pool import Pool
from anatomy.prediction.reward_drift import RewardDrift
from anatomy.progress import logger, progress_bar
from anatomy.rollouts.rollout_set import (
    Rollouts,
    is_rollouts,
    own_responses,
    read_rollouts,
    rollout_pairs,
)
from anatomy.rollouts.rollout_settings import SampleSettings
from anatomy.rollouts.trained_model import ADAPTER
from anatomy.runs.reopened import reopened_settings, require_same_model
from anatomy.runs.run import Run
from anatomy.settings import ModelSettings, expanded, load_settings
from anatomy.stages.rollout_reader import RolloutReader, RunInWindow, encoded, run_in_window
from anatomy.statistics.resampling import resampling
from anatomy.types import Response, Row
from anatomy.validation import shift_tables as results
from anatomy.validation.context_rule import ContextRule
from anatomy.validation.prompt_means import PromptMeans, prompt_means, write_means
from anatomy.validation.shift_comparison import Definition, ShiftComparison, Trained
from anatomy.validation.training_record import TrainingRecord, read_training
from anatomy.validation.validation_record import PromptReading, RolloutSides, Validation
from anatomy.workflows.outcome import Outcome, Where
from anatomy.workflows.rollout import rollout
from anatomy.workflows.run_detectors import run_detectors

BASE = "base"
"""In place of a model: the one that the run was made with."""


class Facts(NamedTuple):
    """What a validation says apart from predicted and observed shifts."""

    left_out: dict[str, int]
    rollouts: RolloutSides
    training: TrainingRecord | None
    training_unknown: str | None
    per_prompt: PromptReading


def default_out(run_dir: Path, settings: ValidateSettings) -> Path:
    """``RUN/validation/<name of the folder after>``, where the report finds it; of ``X/model`` the name is X."""
    after = Path(os.path.abspath(expanded(settings.after)))  # `..` is no name
    name = after.parent.name if after.name == "model" else after.name
    return run_dir / artifacts.VALIDATIONS / (name or "model")


def validate(run: Where, *, out: Where | None = None, settings: Where | None = None, **flags: Any) -> Outcome:
    """Write predicted beside observed shifts of a run; ``validation.json`` is written last.

    Args:
        run: run directory of the audit that predicts.
        out: folder of the figures; default: ``RUN/validation/<name of the folder after>``.
        settings: YAML file with settings; ``flags`` win over it.
        **flags: settings of :class:`anatomy.prediction.prediction_settings.ValidateSettings`.

    Raises:
        RunError: ``out`` holds the validation of other completions.
        SettingsError: an unknown predictor, or one without what it needs.
    """
    asked = load_settings(ValidateSettings, flags, settings)
    _check_names(asked)
    folder = default_out(Path(run), asked) if out is None else Path(out)
    with Run.read(Path(run)) as opened, Run.open(folder):
        before = _rollouts("before", asked.before, opened, asked, folder)
        after = _rollouts("after", asked.after, opened, asked, folder)
        _refuse_other(folder / artifacts.VALIDATION, before, after)
        base = None
        if asked.base_rollouts is not None:
            base = _rollouts("base-rollouts", asked.base_rollouts, opened, asked, folder)
        _check_base(base, before, asked.names)
        audited_run = run_in_window(opened, before.manifest.sampling.max_new_tokens, folder, asked)
        detectors = run_detectors(opened, audited_run.bundle, asked)
        return Outcome(folder, _validated(audited_run, asked, (before, after, base), detectors))


def _refuse_other(path: Path, before: Rollouts, after: Rollouts) -> None:
    """Two trainings whose folders have one name would take each other's place."""
    if not path.is_file():
        return
    rollouts = Validation.read(path).rollouts
    for name, kept, side in (("before", rollouts.before, before), ("after", rollouts.after, after)):
        if kept.fingerprint != side.manifest.fingerprint:
            raise RunError(f"{path.parent}: holds the validation of other completions {name}; use another --out")


def _rollouts(name: str, which: str, run: Run, settings: ValidateSettings, out: Path) -> Rollouts:
    """Rollouts that ``which`` names, or those of the model that it names, made under ``out/name``."""
    if is_rollouts(which):
        return read_rollouts(expanded(which))
    if settings.prompts is None:
        raise SettingsError(f"--{name} {which}: no rollouts there; for a model, name held-out prompts with --prompts")
    audited = reopened_settings(run, settings)
    sampling = settings.model_dump(include=set(SampleSettings.model_fields))
    shared = audited.model_dump(include=set(ModelSettings.model_fields)) | sampling
    if which == BASE:
        require_same_model(run, audited)
    elif (expanded(which) / ADAPTER).is_file():
        shared |= {"adapter": which}
    else:
        shared |= {"model": which, "model_revision": None}
    rollout(out=out / name, **shared, prompts=settings.prompts)
    return read_rollouts(out / name)


def _validated(
    audited_run: RunInWindow,
    settings: ValidateSettings,
    sides: tuple[Rollouts, Rollouts, Rollouts | None],
    scorers: Sequence[Scorer],
) -> str:
    before, after, base = sides
    audited, original = audited_run.settings, audited_run.run.features
    seen = set(original.prompt_ids)
    pairs, left = rollout_pairs(before, after, seen, audited_run.bundle.has_response)
    logger.info("left out: " + ", ".join(f"{count:,} {what}" for what, count in left.items()))
    own_window = audited_run.run.settings.max_response_length
    store = original
    if own_window != audited.max_response_length:
        store = encoded(audited_run, audited_run.rows(), original.n_rows, "data")
    clusters = audited_run.run.clusters
    residuals = any(spec.reads_residuals for spec in _specs(settings))
    reader = RolloutReader(audited_run, ContextRule.of(store, clusters, audited), scorers, residuals)
    data = reader.data(store)
    completions = encoded(audited_run, pairs, len(pairs), "rollout")
    rollouts = reader.other(completions, pairs, "rollout")
    own, responses = None, list[Response]()
    if base is not None:
        responses = own_responses(base, audited_run.bundle.has_response)
        own = reader.other(encoded(audited_run, responses, len(responses), "base"), responses, "base")
    definition = Definition(
        clusters=clusters,
        kept_F=data.pool.fires_F >= default_min_fires(store.n_rows),
        std_F=shift_moments(store.shards(), audited.prompt_statistic).std_F,
        min_features=audited.min_features,
        min_rows=audited.min_rows,
        prompt_statistic=audited.prompt_statistic,
    )
    weights = resampling(len(rollouts.pool.prompts.half_G), settings.seed, settings.bootstrap)
    comparison = ShiftComparison(definition, data, rollouts, weights, settings.min_prompts, own)
    fitted = _fitted(settings, data.pool, audited_run, responses)
    statistic = fitted[0].statistic
    means = prompt_means(rollouts, definition, statistic, completions.prompt_ids, (before, after), seen)
    cuts = {scorer.concept: cut for scorer, cut in zip(scorers, reader.cuts, strict=True)}
    training, unknown = _training(after, audited_run.run)
    facts = Facts(
        left_out=left,
        rollouts=RolloutSides(before=before.manifest, after=after.manifest),
        training=training,
        training_unknown=unknown,
        per_prompt=_per_prompt(audited_run, statistic, cuts, means),
    )
    return _reported(audited_run, settings, comparison, fitted, facts)


def _training(after: Rollouts, run: Run) -> tuple[TrainingRecord | None, str | None]:
    """The training that made the model after, or the reason why it is not known."""
    records = after.folder / artifacts.TRAINED_BY
    if (records / artifacts.OUTPUTS).is_file():
        artifacts.require_outputs(records)
    try:
        return read_training(records, run.path, str(after.manifest.model.place.parent)), None
    except AnatomyError as error:
        logger.info(f"training not known: {error}")
        return None, str(error)


def _per_prompt(audited_run: RunInWindow, statistic: str, cuts: Mapping[str, Cut], means: PromptMeans) -> PromptReading:
    """Write the means of each prompt; return how they were read."""
    flags = ((name, f"{cut.spread:.4g}" if cut.threshold is None else cut.threshold) for name, cut in cuts.items())
    return PromptReading(
        statistic=statistic,
        window=audited_run.settings.max_response_length,
        clusters=audited_run.run.manifest.cluster_hashes()[artifacts.CLUSTERS],
        concepts=tuple(flags),
        table=write_means(audited_run.out / artifacts.PROMPT_MEANS, means),
    )


def _specs(settings: ValidateSettings) -> list[PredictorSpec]:
    """The predictors asked for, the best one first, and the controls."""
    return [spec_of(name) for name in dict.fromkeys([*settings.names, *names(is_control=True)])]


def _check_names(settings: ValidateSettings) -> None:
    """Refuse wrong names before anything expensive."""
    specs = _specs(settings)
    if not specs[0].is_auditable:
        raise SettingsError(f"--best {specs[0].name}: no audit can predict by it; "
                            "use `tilt` or, with --base-rollouts, `sharpened`")  # fmt: skip
    needy = [spec.name for spec in specs if spec.needs_base_rollouts]
    if needy and settings.base_rollouts is None:
        raise SettingsError(f"predictor {needy[0]} needs --base-rollouts: rollouts before training, of another seed")


def _check_base(base: Rollouts | None, before: Rollouts, names: Sequence[str]) -> None:
    if base is None:
        return
    if base.manifest.fingerprint == before.manifest.fingerprint:
        raise SettingsError("--base-rollouts: these are the rollouts of --before, whose noise would be in both shifts")
    if "adam" in names and base.manifest.sampling.samples < 2:
        raise SettingsError(
            "predictor adam compares a prompt's responses; --base-rollouts needs `rollout --samples 2` or more"
        )


def _fitted(
    settings: ValidateSettings, data: Pool, audited_run: RunInWindow, responses: Sequence[Response]
) -> list[Predictor]:
    """The predictors asked for, the best one first, and the controls, fitted to the data."""

    inputs = PredictorInputs(
        settings.tilt_c,
        cache(lambda: _log_probs(audited_run, audited_run.rows(), artifacts.LOG_PROBS)),
        cache(lambda: _log_probs(audited_run, responses, artifacts.OWN_LOG_PROBS)),
    )
    return [spec.build(inputs).fit(data) for spec in _specs(settings)]


def _log_probs(audited_run: RunInWindow, rows: Iterable[Row], name: str) -> np.ndarray:
    from anatomy.rollouts.log_probs import log_probs

    bundle = audited_run.bundle
    with progress_bar("log-probabilities", "row") as bar:
        return log_probs(
            rows,
            bundle.tokenizer,
            bundle.subject,
            audited_run.out / name,
            audited_run.mark(),
            bundle.settings,
            bar.update,
        )


def _reported(
    audited_run: RunInWindow,
    settings: ValidateSettings,
    comparison: ShiftComparison,
    predictors: Sequence[Predictor],
    facts: Facts,
) -> str:
    out, run, best = audited_run.out, audited_run.run, predictors[0]
    drift = None if facts.training is None else facts.training.reward_drift
    warning = None if drift is None else drift.warning
    if warning is not None:
        logger.warning(f"warning: {warning}")
    data = settings.data or run.path.name
    found = results.all_shifts(comparison, predictors)
    agreements = results.all_agreements(found, settings.seed)
    results.write_shifts(out, found, Trained(data, settings.train_seed, settings.role))
    calibration = _calibration(
        audited_run, settings, data, best, results.calibration_line(comparison, best, found), drift
    )
    written = [artifacts.SHIFTS, artifacts.PROMPT_MEANS, artifacts.VALIDATION]
    if calibration is not None:
        calibration.write(out / artifacts.CALIBRATION)
        written.append(artifacts.CALIBRATION)
    else:
        (out / artifacts.CALIBRATION).unlink(missing_ok=True)
    results.plots(out, run.words, best.name, found, agreements)
    validation = Validation(
        data=data,
        seed=settings.train_seed,
        role=settings.role,
        run=str(run.path),
        window=int(audited_run.settings.max_response_length or 0),
        pairs=len(comparison.rollouts.pool),
        prompts=len(comparison.rollouts.pool.prompts.half_G),
        **facts._asdict(),
        agreements=agreements,
        controls=results.controls(settings, comparison, best, found),
        calibration=calibration,
        warning=warning,
    )
    validation.write(out / artifacts.VALIDATION)
    artifacts.record_outputs(out, written, run.manifest.cluster_hashes())
    return results.as_text(agreements) + f"\nall numbers: {out / artifacts.VALIDATION}"


def _calibration(
    audited_run: RunInWindow,
    settings: ValidateSettings,
    data: str,
    best: Predictor,
    line: Line | None,
    drift: RewardDrift | None,
) -> Calibration | None:
    if line is None:
        logger.info("no calibration: too few response clusters, or nothing changed")
        return None
    return Calibration(
        predictor=best.name,
        tilt_c=settings.tilt_c,
        **line._asdict(),
        window=int(audited_run.settings.max_response_length or 0),
        model_fingerprint=audited_run.read_with.model,
        sae_fingerprint=audited_run.read_with.sae,
        data=data,
        reward_drift=drift,
    )
