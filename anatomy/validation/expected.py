"""What shift to expect of each response cluster and concept of a set, by the calibration of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from anatomy.errors import SettingsError
from anatomy.validation.calibration import Calibration
from anatomy.validation.pool import Pool, Readout
from anatomy.validation.predictors import of_the_set, predict


class Unit(NamedTuple):
    """How a shift is told: multiplied by ``scale``, in ``name``."""

    name: str
    scale: float


POINTS, TOKENS, DEVIATIONS = Unit("points of responses", 100), Unit("points of tokens", 100), Unit("sd", 1)


class Expected(NamedTuple):
    """``shifts``: id → ``shift`` ± ``half_width`` (95 %), ``unit``, ``text``, the same in words; their condition."""

    shifts: dict[str, dict[str, Any]]
    condition: str


def expected_shifts(
    data: Pool, readouts: Sequence[Readout], units: Mapping[str, Unit], calibration: Calibration, window: int | None
) -> Expected:
    """Expected change of each name of the readouts once the model is trained on the set about as strongly as then.

    Args:
        readouts: of response clusters (with the statistic of the calibrated predictor) and concepts.
        units: of every name of the readouts.
        window: the audit's ``max_response_length``.

    Raises:
        SettingsError: the calibration was measured in another window, or its predictor needs more than the set.
    """
    if window != calibration.window:
        raise SettingsError(
            f"the calibration is of the first {calibration.window} tokens of a response; audit with "
            f"--max-response-length {calibration.window}"
        )
    made = of_the_set(calibration.tilt_c)
    if calibration.predictor not in made:
        raise SettingsError(f"calibrated predictor {calibration.predictor} needs more than a set; calibrate `tilt`")
    predictor = made[calibration.predictor]().fit(data)
    found: dict[str, dict[str, Any]] = {}
    for readout in readouts:
        predicted_M = predict(predictor, data, readout, np.ones(len(data), bool))
        spread_M = np.asarray(readout.values_JM, np.float64).std(axis=0)
        shift_M, width_M = calibration.shift(predicted_M, spread_M)
        for name, shift, width in zip(readout.ids, shift_M, width_M, strict=True):
            found[name] = _told(float(shift), float(width), units[name])
    return Expected(found, calibration.condition)


def _told(shift: float, width: float, unit: Unit) -> dict[str, Any]:
    shift, width = shift * unit.scale, width * unit.scale
    return {"shift": shift, "half_width": width, "unit": unit.name, "text": f"{shift:+.2g} ± {width:.2g} {unit.name}"}
