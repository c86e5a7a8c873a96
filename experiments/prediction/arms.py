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
from anatomy.prediction.prediction_settings import PredictSettings
from anatomy.prediction.predictors import predict
from anatomy.runs.run import Run
from anatomy.stages.run_prediction import Prediction
from experiments.prediction.analyse import records, sides, validations
from experiments.prediction.by_prompt import against, mean_change, pooled, wide
from experiments.prediction.near import LIKELY, difference
from experiments.prediction.preference_sets import TRAIN, pairs_of
from experiments.prediction.run import TRACED_BY


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
            kept = carried[carried.index.isin(_row_ids(arm))]  # an audit leaves out rows that say nothing
            share, mean = float(kept.mean() / carried.mean()), float(change.mean())
            half = float(stats.t.ppf(0.975, change.count() - 1) * change.sem())
            row = rows.setdefault(name, {"arm": name, "rows": len(kept)})
            row |= {f"{cluster}: predicted": share, f"{cluster}: observed": mean, f"{cluster}: ±": half}
            points.append((share, mean))
        fits.append({"cluster": cluster, **over_arms(points)})
    return list(rows.values()), fits


def differences(folder: Path) -> list[dict[str, Any]]:
    """A row a pair of arms, without the rows that carry a cluster and without as many random ones.

    ``less``: by how much less of the traced shift is left without the former, with its interval over prompts (Student's
    t) and each training's own. ``r``: over all response clusters, of the predicted difference of the arms with the
    observed one. Both are of the mean over training seeds. Where the completions of both arms were read by the models
    of both, a second row has the same by likelihood (:mod:`near`), with how far apart the models are.
    """
    rows = []
    with Run.read(folder / "run") as run:
        made = Prediction.of(run, TRACED_BY, PredictSettings().tilt_c)
        row_ids, inside_N = np.array(made.store.row_ids), np.ones(len(made.pool), bool)
        readout = made.responses(made.settings.min_features)
        for share in sorted(folder.glob("trace-*/*-percent")):
            arms = folder / f"random-{share.name}", share.parent / f"top-{share.name}"
            parts = []
            for arm in arms if validations(share) else ():
                kept = np.flatnonzero(np.isin(row_ids, _row_ids(arm)))
                parts.append(predict(made.predictor.fit(made.data.take(kept)), made.pool, readout, inside_N))
            for how, trainings, more in _observed(run, folder, share, arms):
                observed = pooled(trainings)
                predicted = pd.Series(parts[1] - parts[0], readout.ids)[list(observed.columns)]
                found = against(predicted.to_numpy(), observed.to_numpy())
                traced = share.parent.name.removeprefix("trace-")
                away = -np.sign(artifacts.read_json(share.parent / artifacts.TRACE)["predicted"])
                told = {"arms": f"{share.name} of {traced} minus random", "by": how}
                rows.append({**told, **_less(away, trainings, traced), "clusters": len(predicted), **found, **more})
    return rows


def _observed(
    run: Run, folder: Path, share: Path, arms: tuple[Path, Path]
) -> Iterator[tuple[str, list[pd.DataFrame], dict[str, Any]]]:
    """Difference of two arms on every prompt, one table a training: of plain means, and by likelihood."""
    paths = validations(share)
    if paths:
        yield "means", [mean_change([path]) for path in paths], {"nats apart": None, "balance": None}
    paths = [path for path in paths if all((path / name).is_file() for name in LIKELY.values())]
    if paths:
        untrained, found = wide(validations(folder)[0], "before"), []
        for path in paths:
            after = path.name.replace("validate", "after")
            found.append(difference(run, path, (arms[0] / after, arms[1] / after), untrained))
        more = {"nats apart": float(np.mean([one.distance.nats for one in found])),
                "balance": ", ".join(f"{one.distance.balance:.1f}" for one in found)}  # fmt: skip
        yield "likelihood", [one.by_prompt for one in found], more


def _less(away: float, trainings: Sequence[pd.DataFrame], traced: str) -> dict[str, Any]:
    """How much less of a cluster's shift is left; nothing of a concept, which no likelihood is read of."""
    if traced not in trainings[0].columns:
        return {"less": None, "less: low": None, "less: high": None, "trainings": str(len(trainings))}
    less = away * pooled(trainings)[traced]
    half = float(stats.t.ppf(0.975, less.count() - 1) * less.sem())
    mean = float(less.mean())
    each = ", ".join(f"{away * training[traced].mean():.3g}" for training in trainings)
    return {"less": mean, "less: low": mean - half, "less: high": mean + half, "trainings": each}


def _row_ids(arm: Path) -> list[str]:
    return [row.row_id for row in pairs_of(arm / TRAIN)]


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


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    parser.add_argument("--set", required=True, help="name of a set with arms")
    arguments = parser.parse_args(words)
    folder = arguments.out / arguments.set
    if not any(validations(share) for share in folder.glob("trace-*/*-percent")):
        raise SystemExit(f"{folder}: no finished arms; run experiments.prediction.run with --leave-out")
    for rows in (*table(folder), differences(folder)):
        print(records(rows))


if __name__ == "__main__":
    main()
