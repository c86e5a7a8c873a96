"""The leave-out curve: how much of a cluster's shift is left without the rows that carry it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from anatomy import artifacts
from experiments.prediction.by_prompt import validations


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
