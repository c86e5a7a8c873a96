"""How well predicted shifts agree with observed ones, and how well any prediction could (method.md §7).

Signed r and slope come first, because an affine R² hides a wrong sign. R² out of sample scores an affine map on other
responses than those that it was fitted on. Noise in the *observed* shifts sets a ceiling: with reliability ρ no
prediction is expected to correlate better than √ρ with them, so r² is not expected to exceed ρ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from anatomy.artifacts import OrNaN
from anatomy.statistics.resampling import jackknife

TOP = (10, 25, 50)
FOLDS = 5


@dataclass(frozen=True)
class TopSigns:
    """Signs of the ``k`` largest predictions.

    ``same_sign`` is the share observed with the predicted sign (½ by chance). ``confirmed`` counts the shifts whose
    whole interval lies on the predicted side of 0, ``refuted`` those whose interval lies on the other side.
    """

    k: int
    same_sign: OrNaN
    confirmed: int
    refuted: int


@dataclass(frozen=True)
class Decile:
    """Mean predicted and mean observed shift of a tenth of the shifts, ranked by their prediction."""

    predicted: OrNaN
    observed: OrNaN


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement over ``n`` shifts: Pearson's r, rank correlation, slope of observed on predicted, ``r2_fit`` (= r²), R²
    out of sample (NaN for few responses; may be negative), signs of the largest predictions, deciles.
    """

    n: int
    r: OrNaN
    spearman: OrNaN
    slope: OrNaN
    r2_fit: OrNaN
    r2_out: OrNaN
    top: tuple[TopSigns, ...]
    deciles: tuple[Decile, ...]


@dataclass(frozen=True)
class Ceiling:
    """What noise in the observed shifts allows: correlation of half-samples, reliability, and the largest r and r² that
    a perfect prediction can be expected to reach. NaN if the halves cannot be correlated.
    """

    half_r: OrNaN
    reliability: OrNaN
    attainable_r: OrNaN
    attainable_r2: OrNaN


def agreement(
    predicted_X: Float[np.ndarray, " X"],
    observed_X: Float[np.ndarray, " X"],
    low_X: Float[np.ndarray, " X"],
    high_X: Float[np.ndarray, " X"],
    response_X: Sequence[str],
    seed: int = 0,
) -> Agreement | None:
    """Agreement of X predicted and observed shifts; None for fewer than three, or if either side is constant.

    Args:
        low_X: lower ends of the observed shifts' intervals; ``high_X`` are the upper ends.
        response_X: the response that each shift belongs to; all contexts of one are in the same fold of ``r2_out``.
    """
    if len(predicted_X) < 3 or np.ptp(predicted_X) == 0 or np.ptp(observed_X) == 0:
        return None
    fit = stats.linregress(predicted_X, observed_X)
    return Agreement(
        n=len(predicted_X),
        r=float(fit.rvalue),
        spearman=float(stats.spearmanr(predicted_X, observed_X).statistic),
        slope=float(fit.slope),
        r2_fit=float(fit.rvalue) ** 2,
        r2_out=out_of_sample_r2(predicted_X, observed_X, response_X, seed),
        top=sign_agreement(predicted_X, observed_X, low_X, high_X),
        deciles=deciles(predicted_X, observed_X),
    )


def out_of_sample_r2(
    predicted_X: Float[np.ndarray, " X"], observed_X: Float[np.ndarray, " X"], response_X: Sequence[str], seed: int
) -> float:
    """``1 − Σ(y − ŷ)² / Σ(y − ȳ)²``; ŷ (affine in the prediction) and ȳ both from the other folds. May be negative."""
    names, code_X = np.unique(np.asarray(response_X), return_inverse=True)
    if len(names) < 2 * FOLDS:
        return float("nan")
    fold_X = (np.random.default_rng(seed).permutation(len(names)) % FOLDS)[code_X]
    error = total = 0.0
    for fold in range(FOLDS):
        held, rest = fold_X == fold, fold_X != fold
        slope, intercept = np.polyfit(predicted_X[rest], observed_X[rest], 1)
        error += float(((observed_X[held] - slope * predicted_X[held] - intercept) ** 2).sum())
        total += float(((observed_X[held] - observed_X[rest].mean()) ** 2).sum())
    return 1 - error / total if total > 0 else float("nan")


def sign_agreement(
    predicted_X: np.ndarray, observed_X: np.ndarray, low_X: np.ndarray, high_X: np.ndarray
) -> tuple[TopSigns, ...]:
    """Signs of the 10, 25 and 50 largest ``|predicted|``, or of all if there are fewer."""
    order = np.argsort(-np.abs(predicted_X), kind="stable")
    sign_X = np.sign(predicted_X)
    confirmed_X = np.where(sign_X > 0, low_X > 0, high_X < 0)
    refuted_X = np.where(sign_X > 0, high_X < 0, low_X > 0)
    found = []
    for k in sorted({min(k, len(order)) for k in TOP}):
        top = order[:k]
        same = sign_X[top] == np.sign(observed_X[top])
        found.append(TopSigns(k, float(same.mean()), int(confirmed_X[top].sum()), int(refuted_X[top].sum())))
    return tuple(found)


def deciles(predicted_X: np.ndarray, observed_X: np.ndarray) -> tuple[Decile, ...]:
    """Mean predicted and observed shift in ten groups by rank of the prediction, smallest first."""
    groups = np.array_split(np.argsort(predicted_X, kind="stable"), min(10, len(predicted_X)))
    return tuple(Decile(float(predicted_X[rows].mean()), float(observed_X[rows].mean())) for rows in groups)


def pearson(first_X: np.ndarray, second_X: np.ndarray) -> float:
    """Signed r over the places where both are finite; NaN for fewer than three, or if one side does not vary."""
    used_X = np.isfinite(first_X) & np.isfinite(second_X)
    first_X, second_X = first_X[used_X], second_X[used_X]
    if len(first_X) < 3 or np.ptp(first_X) == 0 or np.ptp(second_X) == 0:
        return float("nan")
    return float(np.corrcoef(first_X, second_X)[0, 1])


def ceiling(half_a_SX: Float[np.ndarray, "S X"], half_b_SX: Float[np.ndarray, "S X"]) -> Ceiling:
    """Ceiling from X shifts observed in S random halves of the prompts and in the other halves.

    The reliability is ``2r/(1+r)`` (Spearman–Brown) of the mean correlation r over splits; 0 if r is not positive.
    """
    half = [pearson(a, b) for a, b in zip(half_a_SX, half_b_SX, strict=True)]
    r = float(np.nanmean(half)) if np.isfinite(half).any() else float("nan")
    reliability = r if np.isnan(r) else 2 * r / (1 + r) if r > 0 else 0.0
    return Ceiling(r, reliability, *attainable(reliability))


def attainable(reliability: float) -> tuple[float, float]:
    """The largest r, and r², that a perfect prediction can be expected to reach under a reliability."""
    return float(np.sqrt(max(reliability, 0.0))), max(reliability, 0.0)


def r_interval(predicted_X: np.ndarray, groups_WX: Float[np.ndarray, "W X"], r: float) -> tuple[float, float]:
    """95 % interval of r from leaving out a twentieth of the held-out prompts at a time (jackknife on Fisher's scale).

    It covers what other held-out prompts could change, not what another data set or training seed could.

    Args:
        groups_WX: the observed shifts with each of W groups of prompts left out.
    """
    width = jackknife(_fisher([pearson(predicted_X, shift_X) for shift_X in groups_WX]))
    centre = float(_fisher(r))
    return float(np.tanh(centre - width)), float(np.tanh(centre + width))


def _fisher(r: float | list[float]) -> np.ndarray:
    """Fisher's z of correlations; finite for ±1, which few features can reach by chance."""
    return np.asarray(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))
