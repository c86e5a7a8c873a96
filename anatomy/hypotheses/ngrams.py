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
from jaxtyping import Bool, Float, Int
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


class NgramCounts(NamedTuple):
    """Indicator matrix of V n-grams in U distinct texts, the n-grams, and the distinct text of each of S texts."""

    holds_UV: sparse.csr_array
    ngrams: list[str]
    text_S: Int[np.ndarray, " S"]


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


def count_ngrams(texts: Sequence[str]) -> NgramCounts:
    """Which of S texts holds which 1–3-gram, of those in at least two distinct texts (the 50,000 most frequent)."""
    from sklearn.feature_extraction.text import CountVectorizer

    distinct, text_S = np.unique(np.asarray([text[:TEXT_CHARS] for text in texts], dtype=object), return_inverse=True)
    vectorizer = CountVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=(1, 3), binary=True, min_df=2,
        max_features=MAX_VOCABULARY,
    )  # fmt: skip
    try:
        counts: Any = vectorizer.fit_transform(distinct)
    except ValueError:  # scikit-learn's answer to an empty vocabulary
        return NgramCounts(sparse.csr_array((len(distinct), 0)), [], text_S)
    return NgramCounts(sparse.csr_array(counts, dtype=np.float64), list(vectorizer.get_feature_names_out()), text_S)


def contrast_ngrams(counted: NgramCounts, inside_SM: Bool[np.ndarray, "S M"], top: int = 12) -> list[list[Contrast]]:
    """For each of M groups of the S texts, up to ``top`` n-grams that set it apart from the other texts.

    Returns:
        M lists by decreasing z ≥ 2; no n-gram is part of another in the same list. Ties go by alphabet. Empty for a
        group of no text or of all.
    """
    total_V = counted.holds_UV.sum(0)
    results = []
    for inside_S in inside_SM.T:
        inside_U = np.zeros(counted.holds_UV.shape[0])
        inside_U[counted.text_S[inside_S]] = 1
        inside_V = counted.holds_UV.T @ inside_U
        results.append(_best(counted.ngrams, inside_V, log_odds_z(inside_V, total_V - inside_V), top))
    return results


def _best(vocabulary: Sequence[str], count_V: np.ndarray, z_V: np.ndarray, top: int) -> list[Contrast]:
    chosen: list[Contrast] = []
    for item in np.argsort(-z_V, kind="stable"):
        if z_V[item] < MIN_Z or len(chosen) == top:
            break
        ngram = f" {vocabulary[item]} "
        if not any(ngram in f" {other.ngram} " or f" {other.ngram} " in ngram for other in chosen):
            chosen.append(Contrast(vocabulary[item], round(float(z_V[item]), 3), int(count_V[item])))
    return chosen
