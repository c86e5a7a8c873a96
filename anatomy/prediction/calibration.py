"""From predicted to observed shifts of one model: a slope and the spread about it, measured by ``anatomy validate``.

Shifts are divided by the readout's standard deviation over the data's responses, so that one slope serves clusters and
concepts. The line goes through the origin: no reward, no shift. It holds for the model, the predictor, the window and
about the length of training with which it was measured; an interval is for one new readout. ``sharpened`` predicts in
standard deviations of its reward: by it the size is that of the training measured, however strong a set's labels are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field, ValidationError
from scipy import stats

from anatomy import artifacts
from anatomy.errors import SettingsError
from anatomy.prediction.predictors import Predictor, build
from anatomy.prediction.reward_drift import Strength
from anatomy.settings import Settings

LEAST = 8
"""Readouts below which no calibration is written: the spread about the line would be a guess."""


class Calibration(Settings):
    """``observed / sd = slope · predicted / sd ± residual_sd``."""

    predictor: str = Field(description="Predictor that it belongs to.")
    tilt_c: float = Field(description="Its inverse ridge penalty.")
    slope: float = Field(description="Observed shift per predicted shift.")
    residual_sd: float = Field(ge=0, description="Spread about the line, in standard deviations of a readout.")
    n: int = Field(ge=LEAST, description="Readouts it was fitted on.")
    r: float = Field(description="Pearson correlation of those.")
    window: int = Field(ge=1, description="Tokens of a response that were read.")
    model_fingerprint: str = Field(description="Model before training.")
    sae_fingerprint: str = Field(description="Encoder.")
    data: str = Field(description="Set that it was measured on.")
    strength: Strength | None = Field(None, description="Training that it was measured with, where its log is known.")

    @property
    def condition(self) -> str:
        """What a shift by it supposes, and what speaks against it."""
        trained = "of unknown length" if self.strength is None else self.strength.words
        warning = None if self.strength is None else self.strength.warning
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
) -> dict[str, Any] | None:
    """``slope``, ``residual_sd``, ``n`` and ``r`` of standardised shifts through the origin; None for too few."""
    used_M = (spread_M > 0) & np.isfinite(observed_M) & np.isfinite(predicted_M)
    x, y = predicted_M[used_M] / spread_M[used_M], observed_M[used_M] / spread_M[used_M]
    if len(x) < LEAST or not x.any() or np.ptp(y) == 0:
        return None
    slope = float(x @ y / (x @ x))
    residual = float(np.sqrt(((y - slope * x) ** 2).sum() / (len(x) - 1)))
    return {"slope": slope, "residual_sd": residual, "n": len(x), "r": float(np.corrcoef(x, y)[0, 1])}


def calibrated(
    tilt_c: float, own_likely: Callable[[], Float[np.ndarray, "N S"]] = lambda: np.zeros((0, 2))
) -> dict[str, Callable[[], Predictor]]:
    """Predictors that an audit can predict by, unfitted; ``own_likely`` as of :func:`build`."""
    return build(tilt_c, own_likely=own_likely)


def read_calibration(
    path: Path, model_fingerprint: str, sae_fingerprint: str, window: int | None, has_own: bool
) -> Calibration:
    """A calibration, checked against the audit that asks for it.

    Args:
        window: the audit's ``max_response_length``.
        has_own: whether there are rollouts of the model before training.

    Raises:
        SettingsError: not such a file, measured with another model or SAE or in another window, or of a predictor that
            needs more than there is.
    """
    try:
        found = Calibration.model_validate(artifacts.read_json(path))
    except ValidationError:
        raise SettingsError(f"{path}: not a calibration; `anatomy validate` writes one") from None
    if (found.model_fingerprint, found.sae_fingerprint) != (model_fingerprint, sae_fingerprint):
        raise SettingsError(f"{path}: measured with another model or SAE; run `anatomy validate` with these")
    if window != found.window:
        raise SettingsError(f"{path}: of the first {found.window} tokens of a response; audit with "
                            f"--max-response-length {found.window}")  # fmt: skip
    known = calibrated(found.tilt_c)
    if found.predictor not in known:
        raise SettingsError(f"{path}: predictor {found.predictor} cannot be calibrated; validate with --best tilt")
    if known[found.predictor]().own and not has_own:
        raise SettingsError(f"{path}: predictor {found.predictor} reads the model's own responses; make them with "
                            "`anatomy rollout` and name the folder with --base-rollouts")  # fmt: skip
    return found
