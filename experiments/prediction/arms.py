"""Do trainings without some rows do what those rows' contributions say? ``python -m experiments.prediction.arms``.

After ``run --leave-out``. Every arm, also those that were made for another cluster, is a training on part of the rows,
and has a predicted shift of every traced cluster: the contributions of its rows (``anatomy trace``), over its number of
rows. Predicted and observed are compared over arms, one cluster at a time. Arms that leave hardly anything of it out
tell how far trainings differ by themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from anatomy import artifacts
from anatomy.data.faults import Fault
from anatomy.data.load import read_pairs
from anatomy.settings import RowSettings
from experiments.prediction.analyse import markdown, sides, validations
from experiments.prediction.sets import TRAIN


def trainings(folder: Path, cluster: str) -> Iterator[tuple[str, Path, pd.Series]]:
    """Each arm: its name, its folder with the rows, and its shift on every prompt, the mean over its seeds."""
    untrained, whole = sides(folder, cluster)
    start, seen = untrained.mean(axis=1), set()
    yield "all rows", folder, whole.mean(axis=1) - start
    for share in sorted(folder.glob("trace-*/*-percent")):
        if not validations(share):
            continue
        target = share.parent.name.removeprefix("trace-")
        random, top = sides(share, cluster)
        arms = {f"without {share.name} random": (folder / f"random-{share.name}", random),
                f"without {share.name} of {target}": (share.parent / f"top-{share.name}", top)}  # fmt: skip
        for name, (rows, after) in arms.items():
            if name not in seen:
                seen.add(name)
                yield name, rows, after.mean(axis=1) - start


def table(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row an arm with every traced cluster's predicted share and observed shift; a row a cluster with r over arms."""
    rows: dict[str, dict[str, Any]] = {}
    fits = []
    for trace in sorted(folder.glob("trace-*")):
        cluster = trace.name.removeprefix("trace-")
        carried = artifacts.read_table(trace / artifacts.CONTRIBUTIONS).to_pandas().set_index("row_id")["contribution"]
        points = []
        for name, arm, change in trainings(folder, cluster):
            kept = [row.row_id for row in read_pairs(RowSettings(rows=str(arm / TRAIN))) if not isinstance(row, Fault)]
            share, mean = float(carried[kept].mean() / carried.mean()), float(change.mean())
            half = float(stats.t.ppf(0.975, change.count() - 1) * change.sem())
            row = rows.setdefault(name, {"arm": name, "rows": len(kept)})
            row |= {f"{cluster}: predicted": share, f"{cluster}: observed": mean, f"{cluster}: ±": half}
            points.append((share, mean))
        fits.append({"cluster": cluster, **over_arms(points)})
    return list(rows.values()), fits


def over_arms(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Slope of observed on predicted shares, in shares of the fit at all rows; r with its 95 % interval (Fisher)."""
    predicted, observed = np.array(points).T
    fit, r = stats.linregress(predicted, observed), stats.pearsonr(predicted, observed)
    low, high = r.confidence_interval() if len(points) > 3 else (None, None)
    slope = float(fit.slope / (fit.intercept + fit.slope))
    return {
        "arms": len(points),
        "slope": slope,
        "r": float(r.statistic),
        "low": low,
        "high": high,
        "p": float(r.pvalue),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    parser.add_argument("--set", required=True, help="name of a set with arms")
    arguments = parser.parse_args()
    for rows in table(arguments.out / arguments.set):
        print(markdown(list(rows[0]), [list(row.values()) for row in rows]))


if __name__ == "__main__":
    main()
