"""What a predictor misses, in one training and in another: ``python -m experiments.prediction.residuals``.

Reads the shifts under ``results``. All trainings were read by the same SAE, so that a feature is the same in each. The
residual of a training is what is left of its features' observed shifts after a straight line on what was predicted. If
residuals of different sets agree, what is missed is neither noise nor the labels of one set.

Trainings that share the completions before training share their noise too: at most ``√(n₁ n₂)/2`` of r, with ``n`` the
noise's share of each residual's variance, told beside.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anatomy import artifacts
from experiments.prediction.analyse import records

RESULTS = Path(__file__).parent / "results"
WIDTH = 2 * 1.96
"""Standard errors in a 95 % interval."""


def trainings(shifts: pd.DataFrame, predictor: str) -> dict[str, pd.DataFrame]:
    """Features' shifts of each training, as ``data-seed``, with their ``residual``; none without the predictor."""
    shifts = shifts[(shifts["view"] == "features") & (shifts["predictor"] == predictor)].dropna(subset=["predicted"])
    found = {}
    for (data, seed), part in shifts.groupby(["data", "seed"]):
        part = part.set_index("response")
        line = np.polynomial.Polynomial.fit(part["predicted"], part["observed"], 1)
        found[f"{data}-{seed}"] = part.assign(residual=part["observed"] - line(part["predicted"]))
    return found


def noise(part: pd.DataFrame) -> float:
    """Share of the observed shifts' squared standard errors in the variance of the residual."""
    errors = (part["observed_high"] - part["observed_low"]) / WIDTH
    return float((errors**2).mean() / part["residual"].var())


def explained(observed: pd.Series, *by: pd.Series) -> float:
    """R² of an affine fit."""
    table = pd.concat([observed, *by], axis=1).dropna().to_numpy()
    columns = np.column_stack([np.ones(len(table)), table[:, 1:]])
    rest = table[:, 0] - columns @ np.linalg.lstsq(columns, table[:, 0], rcond=None)[0]
    return 1 - float(rest.var() / table[:, 0].var())


def table(shifts: pd.DataFrame, predictor: str) -> list[dict[str, Any]]:
    """A row a training: what noise allows, R² by the predictor, and with the residual of each other training beside."""
    found = trainings(shifts, predictor)
    rows = []
    for name, part in found.items():
        alone = explained(part["observed"], part["predicted"])
        row = {"training": name, "noise in the residual": noise(part), "R² by labels": alone}
        for other, beside in found.items():
            r = part["residual"].corr(beside["residual"])
            more = explained(part["observed"], part["predicted"], beside["residual"])
            row[other] = "" if other == name else f"{r:+.2f}, {more:.2f}"
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shifts", type=Path, nargs="+", default=[RESULTS / artifacts.SHIFTS])
    parser.add_argument("--predictor", default="sharpened")
    arguments = parser.parse_args()
    shifts = pd.concat([artifacts.read_table(path).to_pandas() for path in arguments.shifts])
    rows = table(shifts, arguments.predictor)
    print(records(rows))


if __name__ == "__main__":
    main()
