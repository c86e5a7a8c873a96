"""Kernels of the first DPO step: ``python -m experiments.prediction.kernels --out DIR --set NAME``, after ``run``.

A first step changes a response's log-probability by a kernel between it and the pairs' responses. Every kernel here is
an inner product of what a forward pass gives of a response, and the prediction the covariance of a readout with the
reward that follows, over the model's own responses; then with certainty beside it, as ``sharpened`` has. Told is signed
r with the observed shift, of features and clusters.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from anatomy import artifacts
from anatomy.prediction.predictors import SHARPENING, Activations, Tilt
from anatomy.prediction.response_pool import paired
from anatomy.prediction.rewards import covariance_weights, standard
from anatomy.runs.run import Run
from anatomy.statistics.agreement import pearson
from anatomy.types import SIDES
from experiments.prediction.analyse import markdown
from experiments.prediction.reading import VIEWS, Validated, read

HEADER = ("kernel", "r, features", "r, response clusters")
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
RIDGE = 1.0
"""Of the mean variance, added to the covariance that is inverted."""


def kernels(found: Validated) -> Iterator[tuple[str, Float[np.ndarray, " J"]]]:
    """Names, and the reward of every own response by each kernel."""
    fitted = Activations().fit(found.data)
    longer = 2 * fitted.tokens_
    phi_JF, tokens_J = found.own.responses("freq"), paired(found.own.tokens_N2)
    count = [found.data.values(side, "freq").multiply(found.data.tokens_N2[:, [place]]) for place, side in
             enumerate(SIDES)]  # fmt: skip
    counts_F = np.asarray((count[0] - count[1]).mean(axis=0)).ravel() * found.kept_F
    average_F = np.asarray(phi_JF.T @ tokens_J).ravel() / tokens_J.sum() * found.kept_F
    shared_J, summed_J = Tilt(kind="sgd").fit(found.data).rewards(found.own), fitted.rewards(found.own)
    yield "features, share of tokens (`sgd`)", shared_J
    yield "features, number of tokens", phi_JF @ counts_F
    yield "features, number of tokens about the mean", phi_JF @ (counts_F - longer * average_F)
    residual_JD, mean_D, precision_D = fitted.scale(found.own)
    sides = [found.data.residual_by[side].astype(np.float64) for side in SIDES]
    means_D = (sides[0] - sides[1]).mean(axis=0)
    yield "residuals, mean over tokens", residual_JD @ means_D
    yield "residuals over their deviation, mean over tokens", residual_JD @ (means_D * precision_D)
    yield "residuals over their deviation, sum about the mean (`activations`)", summed_J
    whitened_DD = np.cov(residual_JD.T, bias=True)
    whitened_DD += RIDGE * whitened_DD.trace() / len(mean_D) * np.eye(len(mean_D))
    summed_D = fitted.pull_D_ - fitted.tokens_ * mean_D
    yield "residuals whitened, sum about the mean", residual_JD @ np.linalg.solve(whitened_DD, summed_D)
    if found.likely_N2 is None:
        return
    certain_J = standard(paired(found.likely_N2))
    yield "none: certainty, mean over tokens", certain_J
    for base, reward_J in (("features", shared_J), ("residuals", summed_J)):
        for weight in WEIGHTS:
            name = " (`sharpened`)" if (base, weight) == ("residuals", SHARPENING) else ""
            yield f"{base} and {weight:g} of certainty{name}", standard(reward_J) + weight * certain_J
    whole_J = standard(paired(found.likely_N2 * found.own.tokens_N2))
    yield f"residuals and {SHARPENING:g} of certainty, sum over tokens", standard(summed_J) + SHARPENING * whole_J


def agreements(found: Validated) -> list[list[Any]]:
    """A row a kernel, as ``HEADER`` says."""
    readouts = {view: found.readout(found.own, view) for view in VIEWS}
    inside_N = np.ones(len(found.own), bool)
    rows = []
    for name, reward_J in kernels(found):
        weight_J = covariance_weights(reward_J, found.own, inside_N)
        predicted = {view: np.asarray(readout.values_JM.T @ weight_J) for view, readout in readouts.items()}
        rows.append([name, *(pearson(predicted[view], found.observed[view]) for view in ("features", "global"))])
    return rows


def certainty(found: Validated) -> str:
    """How likely the model finds the data's responses, and its own."""
    if found.likely_N2 is None or found.data_likely_N2 is None:
        return ""
    chosen, rejected = found.data_likely_N2.mean(axis=0)
    return f"log-probability a token: chosen {chosen:.2f}, rejected {rejected:.2f}, own {found.likely_N2.mean():.2f}\n"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    parser.add_argument("--set", required=True, help="alpaca_eval, hh, sharegpt or xstest")
    parser.add_argument("--train-seed", type=int, default=0)
    told = parser.parse_args(words)
    folder = told.out / told.set
    with Run.read(folder / "run") as run:
        found = read(run, folder / f"validate-{told.train_seed}")
    text = markdown(HEADER, agreements(found)) + certainty(found)
    artifacts.write_text(told.out / "results" / f"kernels-{told.set}-{told.train_seed}.md", text)
    print(text)


if __name__ == "__main__":
    main()
