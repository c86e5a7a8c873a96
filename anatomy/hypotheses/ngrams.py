"""Which words set a group of texts apart: log-odds ratios with an informative Dirichlet prior.

Monroe, Colaresi and Quinn, "Fightin' Words" (2008), with ``a_w = a_0 · (share of w in all counts)``:
``δ_w = log (y_w + a_w)/(n + a_0 − y_w − a_w)`` inside minus the same outside, ``z = δ / sqrt(1/(y + a) + 1/(y' + a))``.

Departure: a text counts an n-gram once however often it repeats it, and equal texts count once together, so that one
response that occurs twelve times, or one that repeats itself, cannot name a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse

PRIOR, PRIOR_SHARE = 500.0, 0.1
"""``a_0``: pseudo-counts spread over the vocabulary like the counts of all texts; at most this share of those."""
MIN_Z = 2.0
"""Names are descriptions, not tests; below this an n-gram is no more frequent inside than by chance."""
MAX_VOCABULARY = 50_000
TEXT_CHARS = 1_500
"""Only the start of a text is read; bounds time and memory."""
_WORD = re.compile(r"\w+(?:['’]\w+)*|([^\w\s])\1*")


class Contrast(NamedTuple):
    """An n-gram, the z of its log-odds, and the distinct texts inside that hold it."""

    ngram: str
    z: float
    n_texts: int


def words(text: str) -> list[str]:
    """Lower-case words and runs of one punctuation mark (``**``, ``...``), in order."""
    return [match.group() for match in _WORD.finditer(text[:TEXT_CHARS].lower())]


def log_odds_z(inside_V: Float[np.ndarray, " V"], outside_V: Float[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    """z of the log-odds ratio of each item, inside against outside; positive: more frequent inside.

    Both are counts ≥ 0. Items without any count have z = 0. Source: Monroe et al. 2008.
    """
    inside_V, outside_V = np.asarray(inside_V, np.float64), np.asarray(outside_V, np.float64)
    total_V = inside_V + outside_V
    seen_V = total_V > 0
    if not inside_V.any() or not outside_V.any():
        return np.zeros_like(total_V)
    prior_V = total_V * min(PRIOR / total_V.sum(), PRIOR_SHARE)  # Monroe et al., a_w
    z_V = np.zeros_like(total_V)
    y_V, y_out_V, a_V = inside_V[seen_V], outside_V[seen_V], prior_V[seen_V]
    delta_V = _log_odds(y_V, a_V) - _log_odds(y_out_V, a_V)  # Monroe et al., δ
    z_V[seen_V] = delta_V / np.sqrt(1 / (y_V + a_V) + 1 / (y_out_V + a_V))  # Monroe et al., z
    return z_V


def _log_odds(y_V: np.ndarray, a_V: np.ndarray) -> np.ndarray:
    rest_V = np.maximum(y_V.sum() + a_V.sum() - y_V - a_V, 1e-9)  # one item alone has no rest
    return np.asarray(np.log(y_V + a_V) - np.log(rest_V))


def contrast_ngrams(texts: Sequence[str], inside_SM: Bool[np.ndarray, "S M"], top: int = 12) -> list[list[Contrast]]:
    """For each of M groups of texts, up to ``top`` 1–3-grams that set it apart from the other texts.

    Args:
        texts: S texts; only the first 1,500 characters of each are read.
        inside_SM: which texts are in each group; a group of all or none gets no n-grams.

    Returns:
        M lists by decreasing z ≥ 2; no n-gram is part of another in the same list. Ties go by alphabet.
    """
    distinct, group_S = np.unique(np.asarray([text[:TEXT_CHARS] for text in texts], dtype=object), return_inverse=True)
    counted = _count(list(distinct))
    if counted is None:
        return [[] for _ in range(inside_SM.shape[1])]
    counts_UV, vocabulary = counted
    total_V = np.asarray(counts_UV.sum(0)).ravel()
    results = []
    for inside_S in inside_SM.T:
        inside_U = np.zeros(len(distinct), bool)
        inside_U[group_S[inside_S]] = True
        inside_V = counts_UV.T @ inside_U.astype(np.float64)
        results.append(_best(vocabulary, inside_V, log_odds_z(inside_V, total_V - inside_V), top))
    return results


def _count(texts: list[str]) -> tuple[sparse.csr_array, list[str]] | None:
    """Which text holds which n-gram, and the n-grams; None where no n-gram is in two texts."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 3), binary=True, min_df=2,
        max_features=MAX_VOCABULARY,
    )  # fmt: skip
    try:
        counts: Any = vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's answer to an empty vocabulary
        return None
    return sparse.csr_array(counts, dtype=np.float64), list(vectorizer.get_feature_names_out())


def _best(vocabulary: Sequence[str], count_V: np.ndarray, z_V: np.ndarray, top: int) -> list[Contrast]:
    chosen: list[Contrast] = []
    for item in np.argsort(-z_V, kind="stable"):
        if z_V[item] < MIN_Z or len(chosen) == top:
            break
        ngram = f" {vocabulary[item]} "
        if not any(ngram in f" {other.ngram} " or f" {other.ngram} " in ngram for other in chosen):
            chosen.append(Contrast(vocabulary[item], round(float(z_V[item]), 3), int(count_V[item])))
    return chosen
