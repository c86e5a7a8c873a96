"""The list of all predictors: names, needs and how each is made; defaults, messages and help texts derive from it.

Importing this module loads no numerical library, so that settings and help texts can read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from anatomy.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from anatomy.prediction.predictors import Predictor


class PredictorInputs(NamedTuple):
    """Inputs of predictors beyond the labels.

    ``data_log_probs`` and ``base_log_probs`` give mean log-probabilities per token: of the data's responses, and of the
    model's own ones. They are called only for the predictors that read them.
    """

    tilt_c: float
    data_log_probs: Callable[[], Float[np.ndarray, "N 2"]] | None = None
    base_log_probs: Callable[[], Float[np.ndarray, "N S"]] | None = None


Build = Callable[[PredictorInputs], "Predictor"]


@dataclass(frozen=True)
class PredictorSpec:
    """One predictor: its name, what it reads, and how an unfitted one is built.

    ``needs_base_rollouts`` means that it predicts over the model's own responses instead of the data's. ``has_reward``
    means that it is a covariance with a reward, from which a concept can be taken away.
    """

    name: str
    description: str
    build: Build
    needs_base_rollouts: bool = False
    reads_log_probs: Literal["data", "base"] | None = None
    reads_residuals: bool = False
    has_reward: bool = False
    statistic: Literal["freq", "present"] = "freq"
    is_default: bool = False
    is_control: bool = False

    @property
    def is_auditable(self) -> bool:
        """Whether an audit can predict by it: an audit has no log-probabilities of the data's responses."""
        return self.reads_log_probs != "data"


def _tilt(
    name: str,
    kind: Literal["ridge", "gradient", "adam", "sgd"] = "ridge",
    within: bool = False,
    own: bool = False,
) -> Build:
    def build(inputs: PredictorInputs) -> Predictor:
        from anatomy.prediction.predictors import Tilt

        return Tilt(name, inputs.tilt_c, kind=kind, within=within, own=own)

    return build


def _difference(name: str, statistic: Literal["freq", "present"] = "freq", weighted: bool = False) -> Build:
    def build(inputs: PredictorInputs) -> Predictor:
        from anatomy.prediction.predictors import MeanDifference

        likely_N2 = inputs.data_log_probs() if weighted and inputs.data_log_probs is not None else None
        return MeanDifference(name, statistic, likely_N2=likely_N2)

    return build


def _activations(inputs: PredictorInputs) -> Predictor:
    from anatomy.prediction.predictors import Activations

    return Activations()


def _sharpened(inputs: PredictorInputs) -> Predictor:
    from anatomy.prediction.predictors import Sharpened

    assert inputs.base_log_probs is not None  # `reads_log_probs` says so
    return Sharpened(inputs.base_log_probs())


def _temperature(inputs: PredictorInputs) -> Predictor:
    from anatomy.prediction.predictors import Temperature

    assert inputs.base_log_probs is not None  # `reads_log_probs` says so
    return Temperature(inputs.base_log_probs())


def _length(inputs: PredictorInputs) -> Predictor:
    from anatomy.prediction.predictors import LengthTilt

    return LengthTilt()


def _base_rate(inputs: PredictorInputs) -> Predictor:
    from anatomy.prediction.predictors import BaseRate

    return BaseRate()


SPECS = (
    PredictorSpec("sharpened", "the reward of `activations`, and half as much of the model's own certainty", _sharpened,
                  needs_base_rollouts=True, reads_log_probs="base", reads_residuals=True, is_default=True),
    PredictorSpec("activations", "first step of DPO with the residual stream as the kernel", _activations,
                  needs_base_rollouts=True, reads_residuals=True, has_reward=True, is_default=True),
    PredictorSpec("sgd", "first step of gradient descent with pooled frequencies as the kernel",
                  _tilt("sgd", "sgd", own=True), needs_base_rollouts=True, has_reward=True, is_default=True),
    PredictorSpec("tilt", "covariance with a ridge Bradley-Terry reward", _tilt("tilt"),
                  has_reward=True, is_default=True),
    PredictorSpec("disparity", "difference of mean presence between chosen and rejected",
                  _difference("disparity", "present"), statistic="present", is_default=True),
    PredictorSpec("continuous", "difference of mean frequency between chosen and rejected", _difference("continuous"),
                  is_default=True),
    PredictorSpec("tilt-within", "as `tilt`, with the covariance within prompts", _tilt("tilt-within", within=True),
                  has_reward=True, is_default=True),
    PredictorSpec("gradient", "first gradient step of `tilt` from 0", _tilt("gradient", "gradient"),
                  has_reward=True, is_default=True),
    PredictorSpec("on-policy", "as `continuous`, with pairs weighted by the probability of their responses",
                  _difference("on-policy", weighted=True), reads_log_probs="data"),
    PredictorSpec("adam", "first steps of Adam, with the covariance within prompts",
                  _tilt("adam", "adam", within=True, own=True), needs_base_rollouts=True, has_reward=True),
    PredictorSpec("tilt-policy", "as `tilt`, over the model's own responses", _tilt("tilt-policy", own=True),
                  needs_base_rollouts=True, has_reward=True),
    PredictorSpec("temperature", "sampling at a higher temperature; reads no labels", _temperature,
                  needs_base_rollouts=True, reads_log_probs="base"),
    PredictorSpec("length", "control: a reward that knows only the length of a response", _length, is_control=True),
    PredictorSpec("base-rate", "control: what responses show before training", _base_rate, is_control=True),
)  # fmt: skip
"""Every predictor, best first."""


def spec_of(name: str) -> PredictorSpec:
    """The predictor of a name.

    Raises:
        SettingsError: there is none; the message names all of them.
    """
    for spec in SPECS:
        if spec.name == name:
            return spec
    raise SettingsError(f"no predictor {name}; there are {', '.join(spec.name for spec in SPECS)}")


def names(**facts: object) -> list[str]:
    """Names of the predictors with some facts (``is_default=True``), best first."""
    return [spec.name for spec in SPECS if all(getattr(spec, fact) == value for fact, value in facts.items())]
