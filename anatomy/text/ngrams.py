"""Which words set a group of texts apart: signed roots of log-likelihood ratios (Dunning 1993).

For each n-gram the table (this n-gram, all others) × (inside, outside) is held against independence:
``G² = 2 Σ observed · log(observed / expected)`` and ``z = ± √G²``, positive where it is more frequent inside. Log-odds
with a Dirichlet prior (Monroe et al. 2008) were tried first: their variance is so large for a word that never occurs
outside that "recipe", in 17 of 18 prompts about recipes and in no other, came after "give me a".

A text counts an n-gram once however often it repeats it, and equal texts count once together, so that one response that
occurs twelve times, or one that repeats itself, cannot name a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.special import rel_entr

MIN_Z = 4.0
"""Below this the best of 50,000 n-grams is no more frequent inside than by chance."""
MAX_VOCABULARY = 50_000
TEXT_CHARS = 1_500
"""Only the start of a text is read; bounds time and memory."""
_WORD = re.compile(r"\w+(?:['’]\w+)*|([^\w\s])\1*")


class Contrast(NamedTuple):
    """An n-gram, its signed root of G², and the distinct texts inside that hold it."""

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


def contrast_z(inside_V: Float[np.ndarray, " V"], outside_V: Float[np.ndarray, " V"]) -> Float[np.ndarray, " V"]:
    """Signed root of G² for each item's share of the counts inside against outside; positive: larger inside.

    Both are counts ≥ 0. Standard normal where the shares are equal and counts are not small; 0 for an item without
    any count. Source: Dunning 1993.
    """
    inside_V, outside_V = np.asarray(inside_V, np.float64), np.asarray(outside_V, np.float64)
    n_in, n_out = inside_V.sum(), outside_V.sum()
    if n_in == 0 or n_out == 0:
        return np.zeros_like(inside_V)
    share_V = (inside_V + outside_V) / (n_in + n_out)
    g_V = np.zeros_like(share_V)
    for count_V, n in ((inside_V, n_in), (outside_V, n_out)):
        g_V += 2 * (rel_entr(count_V, n * share_V) + rel_entr(n - count_V, n * (1 - share_V)))  # Dunning 1993, G²
    return np.asarray(np.sign(inside_V / n_in - share_V) * np.sqrt(np.maximum(g_V, 0.0)))


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


def contrast_pair_z(
    counted: NgramCounts, inside_S: Bool[np.ndarray, " S"], outside_S: Bool[np.ndarray, " S"]
) -> Float[np.ndarray, " V"]:
    """z of each n-gram in some texts against some others; a text that is in both groups counts inside."""
    inside_U, outside_U = (np.zeros(counted.holds_UV.shape[0]) for _ in range(2))
    inside_U[counted.text_S[inside_S]] = 1
    outside_U[counted.text_S[outside_S]] = 1
    outside_U[inside_U > 0] = 0
    return contrast_z(counted.holds_UV.T @ inside_U, counted.holds_UV.T @ outside_U)


def contrast_ngrams(counted: NgramCounts, inside_SM: Bool[np.ndarray, "S M"], top: int = 12) -> list[list[Contrast]]:
    """For each of M groups of the S texts, up to ``top`` n-grams that set it apart from the other texts.

    Returns:
        M lists by decreasing z ≥ 4; no n-gram is part of another in the same list. Ties go by alphabet. Empty for a
        group of no text or of all.
    """
    total_V = counted.holds_UV.sum(0)
    results = []
    for inside_S in inside_SM.T:
        inside_U = np.zeros(counted.holds_UV.shape[0])
        inside_U[counted.text_S[inside_S]] = 1
        inside_V = counted.holds_UV.T @ inside_U
        results.append(_best(counted.ngrams, inside_V, contrast_z(inside_V, total_V - inside_V), top))
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
