"""Settings of rollouts, predictions and their validation."""

from __future__ import annotations

from pydantic import Field

from anatomy.prediction.predictor_specs import names
from anatomy.rollouts.rollout_settings import SampleSettings
from anatomy.settings import ReaderSettings, Settings


def _listed(**facts: object) -> str:
    return ", ".join(names(**facts))


class PredictSettings(Settings):
    """How shifts are predicted."""

    tilt_c: float = Field(
        1e-3, gt=0, description="Inverse ridge penalty of the Bradley–Terry reward (the larger, the closer the fit)."
    )


class ValidateSettings(PredictSettings, SampleSettings, ReaderSettings):
    """How predicted and observed shifts are compared."""

    before: str = Field(description="Rollouts before training (folder of `anatomy rollout`), or a model.")
    after: str = Field(description="Rollouts after training, or a model.")
    prompts: str | None = Field(None, description="Held-out prompts, where a model is given: rows or a table.")
    base_rollouts: str | None = Field(
        None,
        description="Further rollouts before training (other seed or prompts), for the predictors that need the "
        "model's own responses.",
    )
    predictors: str | None = Field(
        None,
        description=f"Predictors, with commas; default: {_listed(is_default=True, needs_base_rollouts=False)}, with "
        f"base rollouts also {_listed(is_default=True, needs_base_rollouts=True)}. Further ones: "
        f"{_listed(is_default=False, is_control=False, needs_base_rollouts=False)} and, with base rollouts, "
        f"{_listed(is_default=False, is_control=False, needs_base_rollouts=True)}.",
    )
    best: str | None = Field(
        None,
        description="Predictor that is calibrated and drawn; default: `sharpened` or `tilt`, else what is asked for.",
    )
    data: str | None = Field(None, description="Name of the set in the table of shifts; default: the run's folder.")
    train_seed: int = Field(0, ge=0, description="Training seed of the model after, for the table of shifts.")
    role: str = Field("reported-on", description="chosen-on or reported-on: whether a choice was made on this set.")
    bootstrap: int = Field(1000, ge=20, description="Resamples of prompts for the intervals.")
    controls: int = Field(20, ge=1, description="Repetitions of each random control.")
    min_prompts: int = Field(10, ge=2, description="Held-out prompts that a context needs to be compared.")

    @property
    def names(self) -> list[str]:
        """The predictors asked for, the best first: ``best``, or the first of the usual ones that is asked for."""
        usual = names(is_default=True, **({"needs_base_rollouts": False} if self.base_rollouts is None else {}))
        asked = usual if self.predictors is None else [*filter(None, map(str.strip, self.predictors.split(",")))]
        best = self.best or next((name for name in usual if name in asked), "tilt")
        return list(dict.fromkeys([best, *asked]))


class TraceSettings(PredictSettings):
    """Which rows carry a predicted shift."""

    predictor: str = Field(
        "tilt",
        description="Predictor whose shift is traced; in a run audited with --base-rollouts also `sgd`, "
        "`activations` …",
    )
    top: int = Field(10, ge=1, description="Rows shown at either end.")
    seed: int = Field(0, ge=0, description="Seed of the random rows of the leave-out lists.")


class ForecastSettings(PredictSettings):
    """What goes with a concept that is suppressed."""

    predictor: str = Field(
        "tilt",
        description="Predictor with a reward: also `gradient` and, in a run audited with --base-rollouts, `sgd`.",
    )
    strength: float = Field(
        1.0, ge=0, description="1 keeps the concept where it is, 0 does nothing, more pushes it back."
    )
    top: int = Field(10, ge=1, description="Response clusters shown.")
    seed: int = Field(0, ge=0, description="Seed of the groups of prompts behind the intervals.")
