"""How well predicted shifts agree with observed ones, and how well any prediction could (method.md §7).

Signed r and slope come first: an affine R² hides a wrong sign. R² out of sample is of an affine map fitted on other
responses than those it is scored on. The ceiling is what noise in the *observed* shift leaves: with reliability ρ no
prediction correlates better than √ρ with it, so r² cannot be expected to exceed ρ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

TOP = (10, 25, 50)
FOLDS = 5


def agreement(
    predicted_X: Float[np.ndarray, " X"],
    observed_X: Float[np.ndarray, " X"],
    low_X: Float[np.ndarray, " X"],
    high_X: Float[np.ndarray, " X"],
    response_X: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Figures over X shifts: ``n``, ``r``, ``spearman``, ``slope`` (observed on predicted), ``r2_fit`` (= r²),
    ``r2_out``, ``top`` (sign agreement among the k largest predictions), ``deciles`` (mean predicted and observed).

    Args:
        response_X: what each shift is of; all contexts of a response are in one fold of ``r2_out``.
    """
    if len(predicted_X) < 3 or np.ptp(predicted_X) == 0 or np.ptp(observed_X) == 0:
        return {"n": len(predicted_X), "r": None, "why": "fewer than three shifts, or all of them equal"}
    fit = stats.linregress(predicted_X, observed_X)
    return {
        "n": len(predicted_X),
        "r": float(fit.rvalue),
        "spearman": float(stats.spearmanr(predicted_X, observed_X).statistic),
        "slope": float(fit.slope),
        "r2_fit": float(fit.rvalue) ** 2,
        "r2_out": out_of_sample_r2(predicted_X, observed_X, response_X, seed),
        "top": sign_agreement(predicted_X, observed_X, low_X, high_X),
        "deciles": deciles(predicted_X, observed_X),
    }


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
) -> list[dict[str, Any]]:
    """Among the k largest ``|predicted|``: share observed with the same sign (half by chance), and the counts of those
    whose interval lies wholly on the predicted side (``confirmed``) or on the other (``refuted``).
    """
    order = np.argsort(-np.abs(predicted_X), kind="stable")
    sign_X = np.sign(predicted_X)
    confirmed_X = np.where(sign_X > 0, low_X > 0, high_X < 0)
    refuted_X = np.where(sign_X > 0, high_X < 0, low_X > 0)
    found = []
    for k in sorted({min(k, len(order)) for k in TOP}):
        top = order[:k]
        same = sign_X[top] == np.sign(observed_X[top])
        counts = {"confirmed": int(confirmed_X[top].sum()), "refuted": int(refuted_X[top].sum())}
        found.append({"k": k, "same_sign": float(same.mean()), **counts})
    return found


def deciles(predicted_X: np.ndarray, observed_X: np.ndarray) -> list[dict[str, float]]:
    """Calibration of the ranking: mean predicted and observed shift in ten groups by rank of the prediction."""
    groups = np.array_split(np.argsort(predicted_X, kind="stable"), min(10, len(predicted_X)))
    return [
        {"predicted": float(predicted_X[rows].mean()), "observed": float(observed_X[rows].mean())} for rows in groups
    ]


def pearson(first_X: np.ndarray, second_X: np.ndarray) -> float:
    """Signed r; NaN where one side does not vary."""
    used_X = np.isfinite(first_X) & np.isfinite(second_X)
    first_X, second_X = first_X[used_X], second_X[used_X]
    if len(first_X) < 3 or np.ptp(first_X) == 0 or np.ptp(second_X) == 0:
        return float("nan")
    return float(np.corrcoef(first_X, second_X)[0, 1])


def ceiling(half_a_SX: Float[np.ndarray, "S X"], half_b_SX: Float[np.ndarray, "S X"]) -> dict[str, float]:
    """Reliability of the observed shifts from halves of the prompts: ``2r/(1+r)`` (Spearman–Brown), mean over splits.

    ``attainable_r`` is its root, ``attainable_r2`` itself; 0 where the halves do not agree at all.
    """
    half = [pearson(a, b) for a, b in zip(half_a_SX, half_b_SX, strict=True)]
    r = float(np.nanmean(half)) if np.isfinite(half).any() else float("nan")
    reliability = r if np.isnan(r) else 2 * r / (1 + r) if r > 0 else 0.0
    return {"half_r": r, "reliability": reliability, **attainable(reliability)}


def attainable(reliability: float) -> dict[str, float]:
    """The largest r and r² that a perfect prediction can be expected to reach under a reliability."""
    return {"attainable_r": float(np.sqrt(max(reliability, 0.0))), "attainable_r2": max(reliability, 0.0)}


def r_interval(predicted_X: np.ndarray, groups_WX: Float[np.ndarray, "W X"], r: float) -> tuple[float, float]:
    """95 % interval of r from leaving out a twentieth of the held-out prompts at a time (jackknife on Fisher's scale).

    It holds what other held-out prompts could change, not what another data set or training seed could.
    """
    width = jackknife(_fisher([pearson(predicted_X, shift_X) for shift_X in groups_WX]))
    centre = float(_fisher(r))
    return float(np.tanh(centre - width)), float(np.tanh(centre + width))


def jackknife(values_W: np.ndarray) -> np.ndarray:
    """95 % half-width of an estimate, by Student's t, from its values with each of W groups left out; [W, …] → […]."""
    n = len(values_W)
    return np.asarray(stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) * values_W.var(axis=0)))


def _fisher(r: float | list[float]) -> np.ndarray:
    """Fisher's z of correlations; of a perfect one, which few features can have by chance, a large finite number."""
    return np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
