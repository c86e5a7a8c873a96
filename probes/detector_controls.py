"""What a detector is compared with on the same held-out prompts: simple texts, columns of the rows, shuffled labels.

Prompt, response, its first ten words and the columns (``model``, ``type`` …) each have a logistic regression on their
words. Labels are shuffled by whole prompts: responses and tokens of one prompt are not independent, and labels permuted
one by one would make chance look narrower than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import rankdata
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from probes.collect import Labelled
from probes.metrics import Metrics, best_f1_threshold, enough, evaluate

SHUFFLED_TIMES = 1000
FOLDS = 5
MOST_VALUES = 12
"""Values of a column, each of which is then measured alone."""
_WORDS, _COLUMNS = r"\w+", r"[^\t]+"


def _columns(item: Labelled) -> str:
    """Each column's value, and all of them together: which is a word of its own."""
    values = [f"{column}={value}" for column, value in sorted(item.columns.items())]
    return "\t".join([*values, " and ".join(values)])


TEXTS: dict[str, Callable[[Labelled], str]] = {
    "prompt": lambda item: item.asked,
    "response": lambda item: item.text,
    "first ten words": lambda item: " ".join(item.text.split()[:10]),
    "columns": _columns,
}
"""Name of a baseline → the text of an example whose words it knows."""


class PromptNull(NamedTuple):
    """AUROC of the same scores against labels shuffled by whole prompts: its middle 95 %, and a p-value."""

    p: float
    low: float
    high: float
    shuffles: int


def shuffled_by_prompt(
    y_U: Int[np.ndarray, " U"], group_U: Shaped[np.ndarray, " U"], rng: np.random.Generator
) -> Int[np.ndarray, " U"]:
    """Labels in which each prompt has those of another, in their order from a random one on, repeated or cut to fit."""
    order_U = np.argsort(group_U, kind="stable")
    size_G = np.unique(group_U, return_counts=True)[1]
    start_G = np.cumsum(size_G) - size_G
    donor_U = np.repeat(rng.permutation(len(size_G)), size_G)
    turn_U = np.repeat(rng.integers(1 << 30, size=len(size_G)), size_G)
    place_U = np.arange(len(y_U)) - np.repeat(start_G, size_G)
    shuffled_U = np.empty_like(y_U)
    shuffled_U[order_U] = y_U[order_U][start_G[donor_U] + (place_U + turn_U) % size_G[donor_U]]
    return shuffled_U


def prompt_null(
    score_U: Float[np.ndarray, " U"],
    y_U: Int[np.ndarray, " U"],
    group_U: Shaped[np.ndarray, " U"],
    seed: int = 0,
    shuffles: int = SHUFFLED_TIMES,
) -> PromptNull:
    """Compare the AUROC of scores with what it is for labels that are shuffled by whole prompts."""
    rank_U, rng = rankdata(score_U), np.random.default_rng(seed)
    found = _auroc(rank_U, y_U)
    drawn = np.array([_auroc(rank_U, shuffled_by_prompt(y_U, group_U, rng)) for _ in range(shuffles)])
    drawn = drawn[~np.isnan(drawn)]  # repeated or cut labels may hold one class alone
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return PromptNull(float((1 + (drawn >= found).sum()) / (1 + len(drawn))), float(low), float(high), len(drawn))


def _auroc(rank_U: np.ndarray, y_U: np.ndarray) -> float:
    positives = int(y_U.sum())
    if positives in (0, len(y_U)):
        return np.nan
    return float((rank_U[y_U == 1].mean() - (positives + 1) / 2) / (len(y_U) - positives))


def text_baselines(items: Sequence[Labelled], parts: Mapping[str, np.ndarray], seed: int = 0) -> dict[str, Metrics]:
    """Figures on the test part of what words alone say, fitted on the fit part, with a threshold of validation."""
    y_S, group_S = _labels(items)
    found = {}
    for name, texts in _texts(items, parts["fit"]).items():
        fitted = _fit(name, texts[parts["fit"]], y_S[parts["fit"]])
        scores = {part: fitted(texts[parts[part]]) for part in ("validation", "test")}
        threshold = best_f1_threshold(scores["validation"], y_S[parts["validation"]])
        found[name] = evaluate(scores["test"], y_S[parts["test"]], group_S[parts["test"]], threshold, seed)
    return found


def crossed_baselines(items: Sequence[Labelled], seed: int = 0) -> dict[str, Metrics]:
    """Figures of what words alone say, each prompt scored by a fit to the prompts of the other four folds."""
    y_S, group_S = _labels(items)
    fold_S = np.array([int(item.prompt, 16) // FOLDS % FOLDS for item in items])  # % FOLDS alone says the part
    rows = [(np.flatnonzero(fold_S != fold), np.flatnonzero(fold_S == fold)) for fold in np.unique(fold_S)]
    if not items or any(len(np.unique(y_S[fit])) < 2 for fit, _ in rows):
        return {}
    found = {}
    for name, texts in _texts(items, *(fit for fit, _ in rows)).items():
        score_S = np.zeros(len(items))
        for fit, other in rows:
            score_S[other] = _fit(name, texts[fit], y_S[fit])(texts[other])
        found[name] = evaluate(score_S, y_S, group_S, 0.0, seed)
    return found


def within(
    items: Sequence[Labelled],
    score_S: Float[np.ndarray, " S"],
    y_S: Int[np.ndarray, " S"],
    group_S: Shaped[np.ndarray, " S"],
    threshold: float,
    seed: int = 0,
) -> dict[str, Metrics | None]:
    """Figures for each value of each column alone, by ``column=value``; None where a class has fewer than 30."""
    found: dict[str, Metrics | None] = {}
    for column in sorted({column for item in items for column in item.columns}):
        value_S = np.array([item.columns.get(column, "") for item in items])
        values = sorted({*value_S} - {""})
        for value in values if 2 <= len(values) <= MOST_VALUES else ():
            rows = value_S == value
            alone = (score_S[rows], y_S[rows], group_S[rows], threshold, seed)
            found[f"{column}={value}"] = evaluate(*alone) if enough(y_S[rows]) else None
    return found


def _labels(items: Sequence[Labelled]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([item.label for item in items]), np.array([item.prompt for item in items])


def _texts(items: Sequence[Labelled], *fits: np.ndarray) -> dict[str, np.ndarray]:
    """The texts of each baseline that has words to learn in every part that is fitted."""
    texts = {name: np.array([text(item) for item in items], dtype=object) for name, text in TEXTS.items()}
    return {name: of_S for name, of_S in texts.items() if all(_tells(of_S[fit]) for fit in fits)}


def _tells(texts: np.ndarray) -> bool:
    return len({*texts}) > 1 and any(letter.isalnum() for text in texts for letter in text)


def _fit(name: str, texts: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], Float[np.ndarray, " n"]]:
    """A logistic regression on words and pairs of neighbours, weighted to equal classes: texts to log odds."""
    columns = name == "columns"
    words = TfidfVectorizer(
        token_pattern=_COLUMNS if columns else _WORDS, ngram_range=(1, 1 if columns else 2), sublinear_tf=True
    )
    fitted = make_pipeline(words, LogisticRegression(C=10, class_weight="balanced", solver="liblinear", random_state=0))
    fitted.fit(texts, y)
    return lambda others: np.asarray(fitted.decision_function(others), dtype=np.float64)
