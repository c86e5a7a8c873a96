"""Shifts of response clusters on every held-out prompt, and what a prediction has to do with their mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from anatomy import artifacts
from anatomy.statistics.agreement import ceiling, pearson, r_interval
from anatomy.statistics.resampling import resampling


def validations(folder: Path) -> list[Path]:
    """Validations of one set by training seed, without the repeated one."""
    return sorted(path.parent for path in folder.glob(f"validate-*/{artifacts.VALIDATION}") if "again" not in str(path))


def wide(validated: Path, side: str) -> pd.DataFrame:
    """Means of response clusters (columns) on every prompt, ``before`` or ``after``."""
    means = artifacts.read_table(validated / artifacts.PROMPT_MEANS).to_pandas()
    wide: pd.DataFrame = means[means["view"] == "global"].pivot(index="prompt_id", columns="response", values=side)
    return wide


def mean_change(validations: Sequence[Path]) -> pd.DataFrame:
    """After minus before, the mean over validations, on the prompts that all of them have."""
    return pooled([wide(path, "after") - wide(path, "before") for path in validations])


def pooled(trainings: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean over trainings of what each did to every prompt, on the prompts that all of them have."""
    return (sum(trainings[1:], trainings[0]) / len(trainings)).dropna()


def average(values_GM: Float[np.ndarray, "G M"], weight_WG: Float[np.ndarray, "W G"]) -> Float[np.ndarray, "W M"]:
    """Weighted means over prompts."""
    return np.asarray(weight_WG @ values_GM / weight_WG.sum(axis=1, keepdims=True))


def against(predicted_M: Float[np.ndarray, " M"], values_GM: Float[np.ndarray, "G M"]) -> dict[str, float]:
    """Signed r of a prediction with the mean over prompts, its 95 % interval over prompts, the r that noise allows."""
    weights = resampling(len(values_GM), seed=0, draws=20)
    r = pearson(predicted_M, values_GM.mean(axis=0))
    low, high = r_interval(predicted_M, average(values_GM, weights.without_WG), r)
    halves = (average(values_GM, half_SG) for half_SG in (weights.half_SG, 1 - weights.half_SG))
    return {"r": r, "low": low, "high": high, "noise allows r": ceiling(*halves).attainable_r}
