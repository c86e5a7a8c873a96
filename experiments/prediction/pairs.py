"""How many pairs a prediction needs: ``python -m experiments.prediction.pairs --out DIR --set NAME``, after ``run``.

The predictors learn from random parts of the training pairs; the observed shift stays that of the training on all of
them. Told is r over draws: mean, least, and by view.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anatomy import artifacts
from anatomy.prediction.prediction_settings import PredictSettings
from anatomy.prediction.predictors import build, predict
from anatomy.prediction.response_pool import Pool, Readout
from anatomy.runs.run import Run
from anatomy.statistics.agreement import pearson
from experiments.prediction.analyse import markdown
from experiments.prediction.reading import VIEWS, Validated, read

PREDICTORS = ("sgd", "gradient")
COUNTS, DRAWS = (30, 60, 120, 240), 20
HEADER = ("pairs", *[f"`{name}`, {view}: {what}" for name in PREDICTORS for view in ("clusters", "features")
                     for what in ("mean r", "least")])  # fmt: skip


def by_pairs(found: Validated, counts: Sequence[int], draws: int, seed: int = 0) -> list[list[Any]]:
    """A row a number of pairs, as ``HEADER`` says; the last row is all of them."""
    generator = np.random.default_rng(seed)
    n = len(found.data)
    made = build(PredictSettings().tilt_c)
    pools = {name: found.own if made[name]().own else found.data for name in PREDICTORS}
    readouts = {name: [found.readout(pool, view) for view in VIEWS] for name, pool in pools.items()}
    rows = []
    for count in [*(count for count in counts if count < n), n]:
        chosen = [np.sort(generator.permutation(n)[:count]) for _ in range(draws if count < n else 1)]
        row: list[Any] = [count]
        for name, pool in pools.items():
            r = np.array([agreement(found, name, pool, readouts[name], rows_n) for rows_n in chosen])
            row += [value for column in r.T for value in (float(column.mean()), float(column.min()))]
        rows.append(row)
    return rows


def agreement(found: Validated, name: str, pool: Pool, readouts: Sequence[Readout], rows: np.ndarray) -> list[float]:
    """r of a predictor fitted to some of the pairs, by view, over the responses of ``pool``."""
    predictor = build(PredictSettings().tilt_c)[name]().fit(found.data.take(rows))
    everywhere = np.ones(len(pool), bool)
    predicted = [predict(predictor, pool, readout, everywhere) for readout in readouts]
    return [pearson(shift, found.observed[view]) for shift, view in zip(predicted, VIEWS, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    parser.add_argument("--set", required=True, help="alpaca_eval, hh or sharegpt")
    parser.add_argument("--train-seed", type=int, default=0)
    told = parser.parse_args()
    folder = told.out / told.set
    with Run.read(folder / "run") as run:
        rows = by_pairs(read(run, folder / f"validate-{told.train_seed}"), COUNTS, DRAWS)
    text = markdown(HEADER, rows)
    artifacts.write_text(told.out / "results" / f"pairs-{told.set}-{told.train_seed}.md", text)
    print(text)


if __name__ == "__main__":
    main()
