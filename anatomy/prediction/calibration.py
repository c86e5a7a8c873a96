"""From predicted to observed shifts of one model: a slope and the spread around it, measured by ``anatomy validate``.

Shifts are divided by the readout's standard deviation over the data's responses, so that one slope serves clusters and
concepts. The line passes through the origin: no reward, no shift. It holds for the model, the predictor, the window and
roughly the length of training with which it was measured. An interval is for one new readout. ``sharpened`` predicts in
standard deviations of its reward, so the predicted size is that of the measured training, however strong the labels of
another set are.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy import stats

from anatomy.artifacts import Artifact
from anatomy.errors import SettingsError
from anatomy.prediction.predictor_specs import spec_of
from anatomy.prediction.reward_drift import RewardDrift

LEAST = 8
"""Fewest readouts of a calibration: with fewer, the spread around the line would be a guess."""


class Line(NamedTuple):
    """``observed / sd = slope · predicted / sd ± residual_sd`` over ``n`` readouts whose correlation is ``r``."""

    slope: float
    residual_sd: float
    n: int
    r: float


class Calibration(Artifact):
    """``observed / sd = slope · predicted / sd ± residual_sd``, and the model, SAE and training that it holds for."""

    NAME: ClassVar[str] = "calibration"
    REMEDY: ClassVar[str] = "`anatomy validate` writes one"

    predictor: str = Field(description="Predictor that is calibrated.")
    tilt_c: float = Field(description="Inverse ridge penalty of the predictor.")
    slope: float = Field(description="Observed shift per predicted shift.")
    residual_sd: float = Field(ge=0, description="Spread around the line, in standard deviations of a readout.")
    n: int = Field(ge=LEAST, description="Readouts that the line was fitted on.")
    r: float = Field(description="Pearson correlation over these readouts.")
    window: int = Field(ge=1, description="Tokens of a response that were read.")
    model_fingerprint: str = Field(description="Model before training.")
    sae_fingerprint: str = Field(description="Encoder.")
    data: str = Field(description="Preference set of the training.")
    reward_drift: RewardDrift | None = Field(None, description="Length and end of the training; None without its log.")

    @property
    def condition(self) -> str:
        """The assumption of an expected shift, and the reason to doubt it if there is one."""
        trained = "of unknown length" if self.reward_drift is None else self.reward_drift.words
        warning = None if self.reward_drift is None else self.reward_drift.warning
        held = f"hold for a training like the calibration's ({self.data}, {trained}); a longer one can turn a sign"
        return held if warning is None else f"{held}. There, {warning}"

    def shift(
        self, predicted_M: Float[np.ndarray, " M"], spread_M: Float[np.ndarray, " M"], level: float = 0.95
    ) -> tuple[np.ndarray, np.ndarray]:
        """Expected shift of each readout and half the width of its prediction interval, in the readout's unit."""
        width = stats.t.ppf((1 + level) / 2, self.n - 1) * self.residual_sd
        return self.slope * predicted_M, width * spread_M


def fit_line(
    predicted_M: Float[np.ndarray, " M"], observed_M: Float[np.ndarray, " M"], spread_M: Float[np.ndarray, " M"]
) -> Line | None:
    """The line through the origin over standardised shifts of M readouts; None if fewer than ``LEAST`` can be used."""
    used_M = (spread_M > 0) & np.isfinite(observed_M) & np.isfinite(predicted_M)
    x, y = predicted_M[used_M] / spread_M[used_M], observed_M[used_M] / spread_M[used_M]
    if len(x) < LEAST or not x.any() or np.ptp(y) == 0:
        return None
    slope = float(x @ y / (x @ x))
    residual = float(np.sqrt(((y - slope * x) ** 2).sum() / (len(x) - 1)))
    return Line(slope, residual, len(x), float(np.corrcoef(x, y)[0, 1]))


def read_calibration(
    path: Path, model_fingerprint: str, sae_fingerprint: str, window: int | None, has_own: bool
) -> Calibration:
    """The calibration in a file, checked against the audit that uses it.

    Args:
        window: the audit's ``max_response_length``.
        has_own: whether there are rollouts of the model before training.

    Raises:
        RunError: the file is missing or no calibration.
        SettingsError: it was measured with another model or SAE or in another window, or its predictor needs inputs
            that the audit lacks.
    """
    found = Calibration.read(path)
    if (found.model_fingerprint, found.sae_fingerprint) != (model_fingerprint, sae_fingerprint):
        raise SettingsError(f"{path}: measured with another model or SAE; run `anatomy validate` with these")
    if window != found.window:
        raise SettingsError(f"{path}: holds for the first {found.window} tokens of a response; audit with "
                            f"--max-response-length {found.window}")  # fmt: skip
    spec = spec_of(found.predictor)
    if not spec.is_auditable:
        raise SettingsError(f"{path}: predictor {found.predictor} cannot be calibrated; validate with --best tilt")
    if spec.needs_base_rollouts and not has_own:
        raise SettingsError(f"{path}: predictor {found.predictor} reads the model's own responses; make them with "
                            "`anatomy rollout` and name the folder with --base-rollouts")  # fmt: skip
    return found
