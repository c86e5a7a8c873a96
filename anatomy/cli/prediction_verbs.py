"""The verbs of predictions: completions, validation, and what carries or follows a predicted shift."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from anatomy.cli.flags import RunDir, flags_of
from anatomy.prediction.prediction_settings import ForecastSettings, TraceSettings, ValidateSettings
from anatomy.progress import output
from anatomy.rollouts.rollout_settings import RolloutSettings

Target = Annotated[str, Parameter(help="A response cluster (R12, S3) or a concept of the run.")]


@flags_of(RolloutSettings)
def rollout(*, out: Annotated[Path, Parameter(help="Folder of the completions.")], **flags: Any) -> None:
    from anatomy.workflows.rollout import rollout

    output(rollout(out=out, **flags))


@flags_of(ValidateSettings)
def validate(
    run: RunDir,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder of the figures; default: RUN/validation/<after>.")] = None,
    **flags: Any,
) -> None:
    from anatomy.workflows.validate import validate

    output(validate(run, out=out, **flags))


@flags_of(TraceSettings)
def trace(
    run: RunDir,
    cluster: Target,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder in which to write contributions and lists of rows.")] = None,
    **flags: Any,
) -> None:
    from anatomy.workflows.trace import trace

    output(trace(run, cluster, out=out, **flags))


@flags_of(ForecastSettings)
def forecast(
    run: RunDir,
    cluster: Target,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="Folder in which to write all shifts, as forecast.parquet.")] = None,
    **flags: Any,
) -> None:
    from anatomy.workflows.forecast import forecast

    output(forecast(run, cluster, out=out, **flags))
