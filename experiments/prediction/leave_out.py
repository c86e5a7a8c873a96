"""Trainings without some rows: how much of a shift is left, and do they do what those rows' contributions say?

After ``--part leave-out`` of the study: ``python -m experiments.prediction.leave_out compare --out DIR --set NAME``.
Every arm, also those that were made for another cluster, is a training on part of the rows, and has a predicted shift
of every traced cluster: the contributions of its rows (``anatomy trace``), over its number of rows. Predicted and
observed are compared over arms, one cluster at a time. Arms that leave hardly anything of it out show how far trainings
differ by themselves. The curve of what is left without more and more rows is in the tables of ``analyse``. The command
``trace`` is a step of the study.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from anatomy import artifacts
from anatomy.features.feature_store import FeatureStore
from anatomy.prediction.prediction_settings import PredictSettings
from anatomy.prediction.predictors import predict
from anatomy.prediction.readouts import cluster_readout
from anatomy.prediction.response_pool import Pool
from anatomy.rollouts.completion_log_probs import read_completion_log_probs
from anatomy.rollouts.rollout_set import Rollouts, read_rollouts, rollout_pair
from anatomy.runs.run import Run
from anatomy.stages.run_prediction import Prediction
from anatomy.validation.importance_weighting import Distance, distance, weighted_difference
from anatomy.workflows.trace import trace
from experiments.prediction.by_prompt import against, mean_change, pooled, validations, wide
from experiments.prediction.preference_sets import TRAIN, pairs_of
from experiments.tables import records

SUREST, AMONG = "surest", 10
LIKELY = {arm: f"likelihood-{arm}.parquet" for arm in ("random", "top")}
"""In a validation of two arms: how likely the model of either makes the completions of both."""


def surest(shifts: Path, predictor: str) -> str:
    """The response cluster that most surely went the predicted way, among the ten of the largest predicted shifts.

    A shift that training did not make cannot shrink. The arms are compared with each other, so that this choice by the
    training on all rows favours none of them.
    """
    table = artifacts.read_table(shifts).to_pandas()
    table = table[(table["predictor"] == predictor) & (table["view"] == "global")]
    table = table.iloc[np.argsort(-table["predicted"].abs().to_numpy(), kind="stable")[:AMONG]]
    went = np.sign(table["predicted"]) * table["observed"] / (table["observed_high"] - table["observed_low"])
    return str(table["response"].iloc[int(went.to_numpy().argmax())])


def curves(sets: Sequence[Path]) -> list[dict[str, Any]]:
    """Observed shift of a traced cluster or concept after training on all rows and without some, a row an arm.

    ``observed`` is the mean over trainings, ``trainings`` each of them. ``less`` says by how much less is left without
    the rows that carry the shift than without as many random ones, trainings of one seed beside each other: positive
    where the rows that were traced matter more. Intervals as in :func:`intervals`.
    """
    return [row for folder in sets for trace in sorted(folder.glob("trace-*")) for row in curve(folder, trace)]


def curve(folder: Path, trace: Path) -> Iterable[dict[str, Any]]:
    """The arms of one traced cluster or concept."""
    traced = artifacts.read_json(trace / artifacts.TRACE)
    cluster = traced["cluster"]
    untrained, whole = sides(folder, cluster)
    arms = {("none", ""): (whole, 1.0)}
    for item in traced["without"]:
        random, top = sides(trace / artifacts.share_name(item["share"]), cluster)
        share = artifacts.share_name(item["share"]).replace("-percent", " %")
        arms[share, item["kind"]] = top if item["kind"] == "top" else random, item["predicted"] / traced["predicted"]
    start, direction = untrained.mean(axis=1), float(np.sign(traced["predicted"]))
    found = {name: after.sub(start, axis="index").dropna() for name, (after, _) in arms.items() if len(after)}
    noise = training_noise(list(found.values()))
    for (share, kind), change in found.items():
        row = {"set": folder.name, "cluster": cluster, "without": f"{share} {kind}".strip(),
               "predicted, of all rows'": arms[share, kind][1],
               **named("observed", intervals(change, noise, len(change.columns))),
               "trainings": ", ".join(f"{value:.3g}" for value in change.mean())}  # fmt: skip
        less = direction * (found[share, "random"] - change).dropna() if kind == "top" else None
        # a difference of two trainings has twice the variance of one
        yield row | named("less", (None,) * 5 if less is None else intervals(less, noise, len(less.columns) / 2))


def sides(folder: Path, cluster: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean of a cluster or concept on every prompt (rows), before and after, in every validation (columns)."""
    found: dict[str, dict[str, pd.Series]] = {"before": {}, "after": {}}
    for validated in validations(folder):
        means = artifacts.read_table(validated / artifacts.PROMPT_MEANS).to_pandas()
        means = means[(means["response"] == cluster) & means["view"].isin(["global", "concept"])].set_index("prompt_id")
        for side, columns in found.items():
            columns[validated.name] = means[side]
    return pd.DataFrame(found["before"]), pd.DataFrame(found["after"])


def standard_error(values: pd.Series) -> float:
    """Standard error of the mean of the values that are there; NaN of fewer than two."""
    found = values.dropna().to_numpy()
    return float(stats.sem(found)) if len(found) > 1 else float("nan")


class Noise(NamedTuple):
    """Variance of a mean shift among trainings of one arm, pooled over the arms, and its degrees of freedom."""

    variance: float
    freedom: int


def training_noise(arms: Sequence[pd.DataFrame]) -> Noise:
    """From the trainings of each arm about their mean; no degrees of freedom where each arm was trained once."""
    means = [change.mean().to_numpy() for change in arms]
    freedom = sum(len(values) - 1 for values in means)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in means)
    return Noise(squares / freedom if freedom else float("nan"), freedom)


def intervals(change: pd.DataFrame, noise: Noise, trainings: float) -> tuple[float | None, ...]:
    """Mean over prompts and trainings, its 95 % interval over prompts, and over trainings, both by Student's t.

    The first takes the trainings as they are, the second the prompts: it holds the noise of dealing rows into batches
    and of sampling the completions after.
    """
    by_prompt = change.mean(axis=1)
    mean = float(by_prompt.mean())
    half = float(stats.t.ppf(0.975, len(by_prompt) - 1)) * standard_error(by_prompt)
    if not noise.freedom:
        return mean, mean - half, mean + half, None, None
    wide = float(stats.t.ppf(0.975, noise.freedom) * np.sqrt(noise.variance / trainings))
    return mean, mean - half, mean + half, mean - wide, mean + wide


def named(what: str, values: Sequence[float | None]) -> dict[str, float | None]:
    """A mean and its two intervals, as columns."""
    names = ("", ", prompts: low", ", prompts: high", ", trainings: low", ", trainings: high")
    return {what + name: value for name, value in zip(names, values, strict=True)}


def trainings(folder: Path, cluster: str) -> Iterator[tuple[str, Path, pd.Series]]:
    """Each arm: its name, its file of rows, and its shift on every prompt, the mean over its seeds."""
    untrained, whole = sides(folder, cluster)
    start = untrained.mean(axis=1)
    yield "all rows", folder / "rows" / TRAIN, whole.mean(axis=1) - start
    for share, target in finished(folder):
        random, top = sides(share, cluster)
        yield f"without {share.name} random beside {target}", share / "random" / TRAIN, random.mean(axis=1) - start
        yield f"without {share.name} of {target}", share / "top" / TRAIN, top.mean(axis=1) - start


def finished(folder: Path) -> Iterator[tuple[Path, str]]:
    """The compared shares of every traced cluster, with the cluster's name."""
    for share in sorted(folder.glob("trace-*/*-percent")):
        if validations(share):
            yield share, str(artifacts.read_json(share.parent / artifacts.TRACE)["cluster"])


def table(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row an arm with every traced cluster's predicted share and observed shift; a row a cluster with r over arms."""
    rows: dict[str, dict[str, Any]] = {}
    fits = []
    for traced in sorted(folder.glob("trace-*")):
        cluster = str(artifacts.read_json(traced / artifacts.TRACE)["cluster"])
        carried = artifacts.read_table(traced / artifacts.CONTRIBUTIONS).to_pandas().set_index("row_id")["contribution"]
        points = []
        for name, path, change in trainings(folder, cluster):
            kept = carried[carried.index.isin(_row_ids(path))]  # an audit leaves out rows that say nothing
            share, mean = float(kept.mean() / carried.mean()), float(change.mean())
            half = float(stats.t.ppf(0.975, change.count() - 1)) * standard_error(change)
            row = rows.setdefault(name, {"arm": name, "rows": len(kept)})
            row |= {f"{cluster}: predicted": share, f"{cluster}: observed": mean, f"{cluster}: ±": half}
            points.append((share, mean))
        fits.append({"cluster": cluster, **over_arms(points)})
    return list(rows.values()), fits


def differences(folder: Path, predictor: str) -> list[dict[str, Any]]:
    """A row a pair of arms, without the rows that carry a cluster and without as many random ones.

    ``less``: by how much less of the traced shift is left without the former, with its interval over prompts (Student's
    t) and each training's own. ``r``: over all response clusters, of the predicted difference of the arms with the
    observed one. Both are means over training seeds. If the models of both arms have read the completions of
    both, a second row has the same by likelihood (:func:`difference`), with how far apart the models are.
    """
    rows = []
    with Run.read(folder / "run") as run:
        made = Prediction.of(run, predictor, PredictSettings().tilt_c)
        row_ids, inside_N = np.array(made.store.row_ids), np.ones(len(made.pool), bool)
        readout = made.responses(made.settings.min_features)
        for share, traced in finished(folder):
            away = -np.sign(artifacts.read_json(share.parent / artifacts.TRACE)["predicted"])
            kept = [np.flatnonzero(np.isin(row_ids, _row_ids(share / arm / TRAIN))) for arm in LIKELY]
            random_M, top_M = (
                predict(made.predictor.fit(made.data.take(rows_n)), made.pool, readout, inside_N) for rows_n in kept
            )
            for how, trainings, more in _observed(run, folder, share):
                observed = pooled(trainings)
                predicted = pd.Series(top_M - random_M, list(readout.ids))[list(observed.columns)]
                found = against(predicted.to_numpy(), observed.to_numpy())
                row = {"arms": f"{share.name} of {traced} minus random", "by": how}
                rows.append({**row, **_less(away, trainings, traced), "clusters": len(predicted), **found, **more})
    return rows


def _observed(run: Run, folder: Path, share: Path) -> Iterator[tuple[str, list[pd.DataFrame], dict[str, Any]]]:
    """Difference of two arms on every prompt, one table a training: of plain means, and by likelihood."""
    paths = validations(share)
    yield "means", [mean_change([path]) for path in paths], {"nats apart": None, "balance": None}
    paths = [path for path in paths if all((path / name).is_file() for name in LIKELY.values())]
    if paths:
        untrained, found = wide(validations(folder)[0], "before"), []
        for path in paths:
            after = path.name.replace("validate", "after")
            found.append(difference(run, path, (share / "random" / after, share / "top" / after), untrained))
        more = {"nats apart": float(np.mean([one.distance.nats for one in found])),
                "balance": ", ".join(f"{one.distance.balance:.1f}" for one in found)}  # fmt: skip
        yield "likelihood", [one.by_prompt for one in found], more


def _less(away: float, trainings: Sequence[pd.DataFrame], traced: str) -> dict[str, Any]:
    """How much less of a cluster's shift is left; None for a concept, which is not read by likelihood."""
    if traced not in trainings[0].columns:
        return {"less": None, "less: low": None, "less: high": None, "trainings": str(len(trainings))}
    less = away * pooled(trainings)[traced]
    half = float(stats.t.ppf(0.975, less.count() - 1)) * standard_error(less)
    mean = float(less.mean())
    each = ", ".join(f"{away * training[traced].mean():.3g}" for training in trainings)
    return {"less": mean, "less: low": mean - half, "less: high": mean + half, "trainings": each}


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


class Difference(NamedTuple):
    """Two arms, after minus before: response clusters' means on every prompt, and how far apart the models are."""

    by_prompt: pd.DataFrame
    distance: Distance


def difference(run: Run, validated: Path, rollouts: tuple[Path, Path], untrained: pd.DataFrame) -> Difference:
    """Response clusters' means after minus before in a validation of two arms.

    Args:
        rollouts: the completions before and after.
        untrained: means of yet other completions by prompt (rows) and cluster (columns), the baseline; prompts and
            clusters that it lacks are left out.

    Raises:
        RunError: the log-probabilities are of other completions.
    """
    before, after = map(read_rollouts, rollouts)
    store = FeatureStore(validated / "rollout-features")
    keys = samples(store.row_ids, before, after)
    settings, labels_F = run.settings, run.clusters.response_F
    readout = cluster_readout(Pool.read(store, ["freq"], settings.tau), labels_F, "freq", settings.min_features)
    values = pd.DataFrame(np.asarray(readout.values_JM, np.float64), columns=list(readout.ids))[untrained.columns]
    sides = (before, after)
    under = {side: read_completion_log_probs(validated / name, keys, sides) for side, name in LIKELY.items()}
    # completions after come first: the difference is after minus before
    log_ratio_J = np.concatenate([(under["top"] - under["random"])[side] for side in (1, 0)])
    prompts, code_N = np.unique([prompt for prompt, _ in keys], return_inverse=True)
    baseline_NM = untrained.reindex(prompts).to_numpy()[code_N]
    found = weighted_difference(values.to_numpy(), log_ratio_J, baseline_NM, code_N)
    return Difference(pd.DataFrame(found, prompts, untrained.columns).dropna(), distance(log_ratio_J, code_N))


def samples(row_ids: Sequence[str], before: Rollouts, after: Rollouts) -> list[tuple[str, int]]:
    """Prompt and sample of every row of a validation's store."""
    shared = before.texts.keys() & after.texts.keys()
    known = {rollout_pair(before, after, key).row_id: key for key in shared}
    return [known[row] for row in row_ids]


def _row_ids(path: Path) -> list[str]:
    return [row.row_id for row in pairs_of(path)]


def main(words: Sequence[str] | None = None) -> int:
    """Trace a cluster, or print the tables of finished arms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    tracing = verbs.add_parser("trace", help="write lists of the rows to leave out")
    tracing.add_argument("run", type=Path, help="run directory of an audit")
    tracing.add_argument("cluster", help=f"a response cluster or a concept; `{SUREST}`: that of a finished validation")
    tracing.add_argument("--shifts", type=Path, required=True, help=f"the validation's shifts, which `{SUREST}` reads")
    comparing = verbs.add_parser("compare", help="print tables of finished arms")
    comparing.add_argument("--set", required=True, help="name of a set with arms")
    for verb in (tracing, comparing):
        verb.add_argument("--out", type=Path, required=True, help="what is written, or the folder of the study")
        verb.add_argument("--predictor", default="gradient")
    given = parser.parse_args(words)
    if given.verb == "trace":
        cluster = surest(given.shifts, given.predictor) if given.cluster == SUREST else given.cluster
        trace(given.run, cluster, out=given.out, predictor=given.predictor)
        return 0
    folder = given.out / given.set
    if not list(finished(folder)):
        raise SystemExit(f"{folder}: no finished arms; run the study with --part leave-out")
    for rows in (*table(folder), differences(folder, given.predictor)):
        print(records(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
