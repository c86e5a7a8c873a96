"""Predicted shifts: pools of responses, readouts, predictors, calibration, attribution to rows."""
