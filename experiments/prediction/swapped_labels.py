"""How much of a shift is the labels' doing: ``python -m experiments.prediction.swapped_labels``.

After ``--part swapped`` of the study: the same pairs trained on as they are (``+``) and with every label flipped
(``−``). The *odd* part, ``½ (shift₊ − shift₋)``, turns with the labels; the *even* part, ``½ (shift₊ + shift₋)``, does
not. A predictor that reads labels alone is odd in them (up to fit), so that it explains at best the odd part,
however good it is; ``sharpened`` and ``temperature`` have a part that is even. Predictions are those of the
training on the labels as they are, over completions that no shift was observed in. Writes ``DIR/results/labels.md`` and
``DIR/all-shifts-labels.parquet``: every response cluster's prediction, its whole shift and both parts.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float

from anatomy import artifacts
from anatomy.statistics.agreement import ceiling
from anatomy.statistics.resampling import Resampling, jackknife, resampling
from experiments.prediction.analyse import short
from experiments.prediction.by_prompt import against, average, wide
from experiments.tables import records

SWAPPED = "swapped"
Means = Mapping[str, Float[np.ndarray, "G M"]]


def parts(folder: Path, validated: str) -> tuple[list[str], Means]:
    """Names of the response clusters, and of each held-out prompt the shift, its odd and its even part.

    Args:
        folder: of the set; the validation in it is of before training → after it, the one under ``swapped`` of after
            training on swapped labels → after training.
    """
    whole, swapped = folder / validated, folder / SWAPPED / validated
    sides = [wide(whole, "before"), wide(swapped, "before"), wide(swapped, "after")]
    joined = pd.concat(sides, axis=1, keys=("before", "minus", "plus")).dropna()
    before, minus, plus = (joined[side].to_numpy() for side in ("before", "minus", "plus"))
    return list(joined["plus"].columns), {
        "whole": plus - before,
        "odd": (plus - minus) / 2,
        "even": (plus + minus) / 2 - before,
    }


def spread(means: Means, seed: int = 0) -> list[dict[str, Any]]:
    """A row a part: variance of its shifts over clusters, without the prompts' noise, as a share of the whole shift's
    [95 % by leaving out a twentieth of the prompts at a time]; and the largest r that the noise allows.

    The shares do not sum to 1 where the parts are correlated.
    """
    weights = resampling(len(means["whole"]), seed, draws=20)
    everyone_G = np.ones(len(means["whole"]))
    rows = []
    for name, values_GM in means.items():
        share, *others = (
            _clean(values_GM, weights, kept_G)["variance"] / _clean(means["whole"], weights, kept_G)["variance"]
            for kept_G in (everyone_G, *weights.without_WG)
        )
        half = float(jackknife(np.array(others)))
        allowed = _clean(values_GM, weights, everyone_G)["attainable_r"]
        rows.append(
            {"part": name, "share": share, "low": share - half, "high": share + half, "noise allows r": allowed}
        )
    return rows


def _clean(values_GM: np.ndarray, weights: Resampling, kept_G: np.ndarray) -> dict[str, float]:
    """Reliability by halves of the prompts, and the variance of the means times it."""
    found = ceiling(*(average(values_GM, half_SG * kept_G) for half_SG in (weights.half_SG, 1 - weights.half_SG)))
    variance = float(average(values_GM, kept_G[None]).var()) * found.attainable_r2
    return {"attainable_r": found.attainable_r, "variance": variance}


def table(names: list[str], means: Means, shifts: pd.DataFrame) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """A row a predictor: signed r [95 % over held-out prompts] with the whole shift and with its parts; the numbers."""
    shifts = shifts[(shifts["view"] == "global") & (shifts["context"] == "all")]
    rows, numbers = [], []
    whole = {name: values_GM.mean(axis=0) for name, values_GM in means.items()}
    for predictor, part in shifts.groupby("predictor", sort=False):
        predicted = part.set_index("response")["predicted"].reindex(names)
        row: dict[str, Any] = {"predictor": predictor}
        for name, values_GM in means.items():
            found = against(predicted.to_numpy(), values_GM)
            row |= {f"{name}: {key}": found[key] for key in ("r", "low", "high")}
        rows.append(row)
        numbers.append(pd.DataFrame({"predictor": predictor, "response": names, "predicted": predicted.array, **whole}))
    return rows, pd.concat(numbers)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the study")
    parser.add_argument("--train-seed", type=int, default=0)
    arguments = parser.parse_args(words)
    validated, text, found = f"validate-{arguments.train_seed}", "", []
    for done in sorted(arguments.out.glob(f"*/{SWAPPED}/{validated}/{artifacts.VALIDATION}")):
        folder = done.parents[2]
        names, means = parts(folder, validated)
        rows, numbers = table(names, means, artifacts.read_table(folder / validated / artifacts.SHIFTS).to_pandas())
        text += f"{folder.name}\n\n{records(spread(means))}\n{records(rows)}\n"
        found.append(numbers.assign(data=folder.name, seed=arguments.train_seed))
    if not found:
        raise SystemExit(f"{arguments.out}: no such trainings; run the study with --part swapped")
    results = arguments.out / "results"
    artifacts.write_table(
        arguments.out / "all-shifts-labels.parquet", short(pa.Table.from_pandas(pd.concat(found), preserve_index=False))
    )
    artifacts.write_text(results / "labels.md", text)
    print(text)


if __name__ == "__main__":
    main()
