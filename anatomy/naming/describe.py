"""What can be said of a cluster without a language model: its tokens, the trivial concepts it follows, a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from anatomy.naming.exemplars import Spans
from anatomy.text.ngrams import MIN_Z, NgramCounts, contrast_z, count_ngrams
from anatomy.text.visible import visible

TOP = 12
NAMING_R = 0.6
"""A trivial concept names a cluster from this |r| on."""
MIN_R = 0.1
QUOTED_CHARS = 70
LENGTH = "length"
NAMES = {LENGTH: ("long text", "short text")}
"""Names of more and of less of a concept, where "less …" is no English."""


@dataclass(frozen=True)
class Reading:
    """What S spans say, whatever the clusters: tokens, n-grams, and ranks of trivial concepts (length first)."""

    tokens: Sequence[Sequence[str]]
    ngrams: NgramCounts
    concepts: Sequence[str]
    rank_SC: Float[np.ndarray, "S C"]


def read(
    texts: Sequence[str], tokens: Sequence[Sequence[str]], concepts: Mapping[str, Callable[[str], float]]
) -> Reading:
    """Read spans once. Concepts are counted per word, so that length does not stand in for all of them."""
    names = [LENGTH, *(name for name in concepts if name != LENGTH)]
    counts_SC = np.empty((len(texts), len(names)))
    for row, text in enumerate(texts):
        n_words = len(text.split())
        counts_SC[row] = [n_words, *(concepts[name](text) / max(n_words, 1) for name in names[1:])]
    return Reading(tokens, count_ngrams(texts), names, _unit_ranks(counts_SC))


def top_tokens(spans: Spans, tokens: Sequence[Sequence[str]]) -> dict[int, list[dict[str, Any]]]:
    """Per cluster, the tokens at its hits that are more frequent there than in all sampled spans, by z.

    ``weight`` is the token's share of the cluster's activation over all hits.
    """
    everywhere = Counter(_key(token) for span in tokens for token in span)
    names = list(everywhere)
    broken_V = np.array(["\ufffd" in name and not name.strip("\ufffd ") for name in names], bool)  # part of a character
    number = {token: position for position, token in enumerate(names)}
    total_V = np.fromiter(everywhere.values(), np.float64, len(everywhere))
    where = zip(spans.hits.span.tolist(), spans.hits.position.tolist(), strict=True)
    token_H = np.array([number[_key(tokens[span][position])] for span, position in where], np.int64)
    found = {}
    order = np.argsort(spans.hits.cluster, kind="stable")
    clusters, start = np.unique(spans.hits.cluster[order], return_index=True)
    for cluster, here in zip(clusters.tolist(), np.split(order, start[1:]), strict=bool(len(clusters))):
        found[cluster] = _lifted_tokens(token_H[here], spans.hits.value[here], total_V, names, broken_V)
    return found


def _lifted_tokens(
    token_H: np.ndarray, value_H: np.ndarray, total_V: np.ndarray, names: list[str], broken_V: np.ndarray
) -> list[Any]:
    count_V = np.bincount(token_H, minlength=total_V.size).astype(np.float64)
    share_V = np.bincount(token_H, weights=value_H, minlength=total_V.size) / max(value_H.sum(), 1e-12)
    z_V = contrast_z(count_V, total_V - count_V)
    z_V[broken_V] = -np.inf
    return [
        {"token": visible(names[item]), "weight": round(float(share_V[item]), 4), "z": round(float(z_V[item]), 3)}
        for item in np.argsort(-z_V, kind="stable")[:TOP]
        if z_V[item] >= MIN_Z
    ]


def token_set(tokens: Sequence[str]) -> frozenset[str]:
    """The tokens of a span as :func:`top_tokens` shows them."""
    return frozenset(visible(_key(token)) for token in set(tokens))


def _key(token: str) -> str:
    """`` word`` and ``word`` are one token to a reader."""
    return token.strip(" ") or token


def correlates(activity_SM: Float[np.ndarray, "S M"], reading: Reading) -> list[list[dict[str, Any]]]:
    """Spearman correlation over spans of each cluster's activity with trivial concepts, strongest first.

    Listed from |r| ≥ 0.1 and four standard errors of a null correlation, ``4/√S``.
    """
    r_MC = _unit_ranks(activity_SM).T @ reading.rank_SC
    least = max(MIN_R, 4 / np.sqrt(len(activity_SM)))
    return [_strong(reading.concepts, r_C, least) for r_C in r_MC]


def _strong(names: Sequence[str], r_C: np.ndarray, least: float) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(r_C), kind="stable")
    return [{"concept": names[i], "r": round(float(r_C[i]), 3)} for i in order if abs(r_C[i]) >= least]


def _unit_ranks(values_SX: np.ndarray) -> np.ndarray:
    """Columns of ranks, centred, at unit length; a constant column becomes zeros."""
    rank_SX = rankdata(values_SX, axis=0)
    rank_SX -= rank_SX.mean(0)
    return np.asarray(rank_SX / np.maximum(np.linalg.norm(rank_SX, axis=0), 1e-12))


def name(phrases: Sequence[str], correlated: Sequence[Mapping[str, Any]], concept: str | None = None) -> str:
    """The concept that is given, or a trivial one that correlates enough, with the phrases in brackets; else these.

    It is empty if there is nothing.
    """
    quoted = ", ".join(f"«{visible(phrase)}»" for phrase in phrases)
    if concept is None:
        strong = next((found for found in correlated if abs(found["r"]) >= NAMING_R), None)
        if strong is None:
            return quoted
        more, less = NAMES.get(strong["concept"], (strong["concept"], f"less {strong['concept']}"))
        concept = more if strong["r"] > 0 else less
    return f"{concept} ({quoted})" if quoted else concept


def unnamed(exemplars: Sequence[Mapping[str, Any]]) -> str:
    """What stands in place of a name: the start of the nearest exemplar."""
    text = next((visible(str(item["text"])) for item in exemplars), "")
    return f"unnamed, as in “{text[:QUOTED_CHARS]}{'…' * (len(text) > QUOTED_CHARS)}”" if text else "unnamed"
