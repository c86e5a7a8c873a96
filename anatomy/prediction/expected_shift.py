"""What shift to expect of each response cluster and concept of a set, by the calibration of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from anatomy.prediction.calibration import Calibration
from anatomy.prediction.predictors import Predictor, predict
from anatomy.prediction.readouts import Readout
from anatomy.prediction.response_pool import Pool

Read = tuple[Pool, Sequence[Readout]]
"""Responses, and what is read of them."""


class Unit(NamedTuple):
    """How a shift is written: multiplied by ``scale``, in ``name``."""

    name: str
    scale: float


POINTS, TOKENS, DEVIATIONS = Unit("points of responses", 100), Unit("points of tokens", 100), Unit("sd", 1)


class ExpectedShift(BaseModel):
    """``shift`` ± ``half_width`` (95 %) in ``unit``, and the same in words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float
    half_width: float
    unit: str
    text: str


class Expected(NamedTuple):
    """The expected shift of each response cluster and concept, and the condition under which to expect it."""

    shifts: dict[str, ExpectedShift]
    condition: str


def expected_shifts(
    predictor: Predictor, data: Read, units: Mapping[str, Unit], calibration: Calibration, own: Read | None = None
) -> Expected:
    """Expected change of each name of the readouts once the model is trained on the set about as strongly as then.

    Args:
        predictor: the calibrated one, fitted to the set.
        data: the set's responses, with readouts of response clusters (in the predictor's statistic) and concepts.
        units: of every name of the readouts.
        own: the model's own responses, for a predictor that is over them; with the same readouts.
    """
    pool, over = own or data
    found: dict[str, ExpectedShift] = {}
    for ours, read in zip(data[1], over, strict=True):
        predicted_M = predict(predictor, pool, read, np.ones(len(pool), bool))
        spread_M = np.asarray(ours.values_JM, np.float64).std(axis=0)
        shift_M, width_M = calibration.shift(predicted_M, spread_M)
        for name, shift, width in zip(ours.ids, shift_M, width_M, strict=True):
            found[name] = _in_unit(float(shift), float(width), units[name])
    return Expected(found, calibration.condition)


def _in_unit(shift: float, width: float, unit: Unit) -> ExpectedShift:
    shift, width = shift * unit.scale, width * unit.scale
    return ExpectedShift(shift=shift, half_width=width, unit=unit.name, text=f"{shift:+.2g} ± {width:.2g} {unit.name}")
