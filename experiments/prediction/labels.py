"""How much of a shift is the labels' doing: ``python -m experiments.prediction.labels --out DIR --set NAME``.

After ``run --swapped``: the same pairs trained on as they are (``+``) and with every label turned round (``−``). The
*odd* part, ``½ (shift₊ − shift₋)``, turns with the labels; the *even* part, ``½ (shift₊ + shift₋)``, does not. Every
predictor that reads labels is odd in them (up to fit), so that it can at best explain the odd part, however good it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from anatomy import artifacts
from anatomy.validation.figures import ceiling, jackknife, pearson, r_interval
from anatomy.validation.observed import Resampling, resampling
from experiments.prediction.analyse import records
from experiments.prediction.run import SWAPPED

Means = Mapping[str, Float[np.ndarray, "G M"]]


def parts(whole: pd.DataFrame, swapped: pd.DataFrame) -> tuple[list[str], Means]:
    """Names of the response clusters, and of each held-out prompt the shift, its odd and its even part.

    Args:
        whole: ``prompt_means`` of before training → after it.
        swapped: of after training on swapped labels → after training.
    """
    sides = [_wide(whole, "before"), _wide(swapped, "before"), _wide(swapped, "after")]
    joined = pd.concat(sides, axis=1, keys=("before", "minus", "plus")).dropna()
    before, minus, plus = (joined[side].to_numpy() for side in ("before", "minus", "plus"))
    return list(joined["plus"].columns), {
        "whole": plus - before,
        "odd": (plus - minus) / 2,
        "even": (plus + minus) / 2 - before,
    }


def _wide(means: pd.DataFrame, side: str) -> pd.DataFrame:
    """Prompts × response clusters."""
    return means[means["view"] == "global"].pivot(index="prompt_id", columns="response", values=side)


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
    found = ceiling(*(mean(values_GM, half_SG * kept_G) for half_SG in (weights.half_SG, 1 - weights.half_SG)))
    return {**found, "variance": float(mean(values_GM, kept_G[None]).var()) * found["attainable_r2"]}


def mean(values_GM: np.ndarray, weight_WG: np.ndarray) -> np.ndarray:
    """Weighted means over prompts, [W, M]."""
    return np.asarray(weight_WG @ values_GM / weight_WG.sum(axis=1, keepdims=True))


def table(names: list[str], means: Means, shifts: pd.DataFrame, seed: int = 0) -> list[dict[str, Any]]:
    """A row a predictor: signed r [95 % over held-out prompts] with the whole shift and with its parts."""
    weights = resampling(len(means["whole"]), seed, draws=20)
    shifts = shifts[(shifts["view"] == "global") & (shifts["context"] == "all")]
    rows = []
    for predictor, part in shifts.groupby("predictor", sort=False):
        predicted_M = part.set_index("response")["predicted"].reindex(names).to_numpy()
        row: dict[str, Any] = {"predictor": predictor}
        for name, values_GM in means.items():
            r = pearson(predicted_M, values_GM.mean(axis=0))
            low, high = r_interval(predicted_M, mean(values_GM, weights.without_WG), r)
            row |= {f"{name}: r": r, f"{name}: low": low, f"{name}: high": high}
        rows.append(row)
    return rows


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    parser.add_argument("--set", required=True, help="name of a set that was trained with labels swapped")
    parser.add_argument("--train-seed", type=int, default=0)
    arguments = parser.parse_args(words)
    folder, validated = arguments.out / arguments.set, f"validate-{arguments.train_seed}"
    read = [artifacts.read_table(part / validated / artifacts.PROMPT_MEANS).to_pandas()
            for part in (folder, folder / SWAPPED)]  # fmt: skip
    names, means = parts(*read)
    shifts = artifacts.read_table(folder / SWAPPED / validated / artifacts.SHIFTS).to_pandas()
    for rows in (spread(means), table(names, means, shifts)):
        print(records(rows))


if __name__ == "__main__":
    main()
