"""``anatomy plan``, and the verbs that carry a plan out: ``filter``, ``train``; and ``sft``, the stage before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from anatomy.cli.flags import AT_LEAST_1, FINITE, RunDir, flags_of
from anatomy.errors import SettingsError
from anatomy.progress import output
from interventions.plan.audited_plan import PlanSettings
from interventions.training.train_settings import SFTSettings, TrainSettings

TARGETS = "with commas: clusters (R12, D4, P7) or concepts."
PlanFile = Annotated[Path, Parameter(help="YAML file of a plan.")]
Recipe = Annotated[Path | None, Parameter(help="Recipe (configs/recipes/), the same as --settings.")]
SettingsFile = Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")]
TrainOut = Annotated[Path, Parameter(help="Directory of the training.")]

plan = App(name="plan", help_format="plaintext")


@plan.default
def make(
    run: RunDir,
    /,
    *,
    suppress: Annotated[str | None, Parameter(help=f"What the model must not learn, {TARGETS}")] = None,
    amplify: Annotated[str | None, Parameter(help=f"What it is to learn more of, {TARGETS}")] = None,
    remove: Annotated[str | None, Parameter(help=f"What is taken out of the rows, {TARGETS}")] = None,
    keep: Annotated[str | None, Parameter(help=f"What was looked at and stays, {TARGETS}")] = None,
    backend: Annotated[
        Literal["reward_shaping", "steering", "inoculation", "filtering"],
        Parameter(help="How it is suppressed or amplified."),
    ] = "reward_shaping",
    strength: Annotated[float, FINITE, Parameter(help="Strength of each, 0 or more.")] = 1.0,
    concepts_file: Annotated[Path | None, Parameter(help="YAML file with further concepts.")] = None,
    out: Annotated[Path, Parameter(help="The plan; a file that is there is not overwritten.")] = Path("plan.yaml"),
) -> None:
    """Make a plan of interventions from decisions on an audit's findings."""
    from anatomy.workflows.make_plan import make_plan

    decisions = {"suppress": suppress, "amplify": amplify, "remove": remove, "keep": keep}
    output(make_plan(run, **decisions, backend=backend, strength=strength, concepts_file=concepts_file, out=out))


@plan.command
@flags_of(PlanSettings)
def check(
    plan: PlanFile,
    /,
    *,
    pairs: Annotated[int, AT_LEAST_1, Parameter(help="Pairs that try a steering vector.")] = 64,
    out: Annotated[Path | None, Parameter(help="Folder that keeps rows and scores; default: thrown away.")] = None,
    **flags: Any,
) -> None:
    """See what a plan would do to rows, and whether steering has the intended sign; trains nothing."""
    from anatomy.workflows.plan_check import plan_check

    output(plan_check(plan, pairs=pairs, out=out, **flags))


@flags_of(PlanSettings)
def filter(
    plan: PlanFile, /, *, out: Annotated[Path, Parameter(help="Folder of the cleaned set.")], **flags: Any
) -> None:
    from anatomy.workflows.filter import filter

    output(filter(plan, out=out, **flags))


@flags_of(TrainSettings)
def train(*, out: TrainOut, recipe: Recipe = None, settings: SettingsFile = None, **flags: Any) -> None:
    file = _one_of(recipe, settings)
    from anatomy.workflows.train import train

    _print(str(train(out=out, settings=file, **flags)))


@flags_of(SFTSettings)
def sft(*, out: TrainOut, recipe: Recipe = None, settings: SettingsFile = None, **flags: Any) -> None:
    file = _one_of(recipe, settings)
    from anatomy.workflows.sft import sft

    _print(str(sft(out=out, settings=file, **flags)))


def _print(text: str) -> None:
    """Nothing by the further ones of several processes."""
    output(text, end="\n" if text else "")


def _one_of(recipe: Path | None, settings: Path | None) -> Path | None:
    if recipe is not None and settings is not None:
        raise SettingsError("--recipe and --settings are the same kind of file; give one")
    return recipe or settings
