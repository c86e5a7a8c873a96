"""The phrases that name a cluster, and their blind test: chosen on half of the prompts, tested on the other half.

A phrase must set the spans of a cluster apart from all others, and from those of its neighbours, the clusters that are
active where it is; one of stop words and marks alone is none. The test asks whether phrases tell apart, on prompts that
they were not chosen on, spans in which the cluster is strong from others: the area under the curve of how many of them
a span holds, with a 95 % interval by prompt. A name that does no better than chance is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special
from scipy.stats import rankdata

from anatomy.statistics.prompts import Prompts, prompt_totals
from anatomy.text.ngrams import MIN_Z, NgramCounts, contrast_pair_z

NEIGHBOURS = 5
"""Clusters next to one, whose spans a phrase must not be typical of as well."""
NEAR_Z = 2.0
"""A phrase is more frequent than in the neighbours' spans by this z."""
SHOWN = 4
"""Parts of a name: phrases, of which there are at most three if a token can stand beside them, and tokens."""
PHRASE_CHARS = 30
LEAST_PROMPTS = 4
"""Prompts with a strong span, and without, that a test needs."""


class BlindTest(NamedTuple):
    """Area under the curve on held-out prompts, with its 95 % interval; NaN where no test was possible."""

    auc: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether the phrases do better than chance."""
        return self.low > 0.5


UNTESTED = BlindTest(float("nan"), float("nan"), float("nan"))


class NamePhrases(NamedTuple):
    """Up to four phrases, and what their test says."""

    phrases: list[str]
    test: BlindTest


def name_phrases(
    counted: NgramCounts,
    tokens: Mapping[int, Sequence[str]],
    held: Sequence[Set[str]],
    activity_SM: Float[np.ndarray, "S M"],
    inside_SM: Bool[np.ndarray, "S M"],
    prompts: Prompts,
) -> list[NamePhrases]:
    """Phrases and tokens of each of M clusters, with their test.

    Args:
        counted: the n-grams of the S spans.
        tokens: of each cluster, those on which it fires, found on the half that chooses.
        held: the tokens of each span.
        activity_SM: activity in each span, from which neighbours are found.
        inside_SM: the spans in which a cluster is strong, or that belong to it.
        prompts: of the spans; its halves choose and test.
    """
    chooses_S = ~prompts.half_N
    content_V = np.array([has_content(ngram) for ngram in counted.ngrams], bool)
    near_MM = _neighbours(activity_SM)
    held_out = prompts.take(~chooses_S)
    found = []
    for number, inside_S in enumerate(inside_SM.T):
        near_S = inside_SM[:, near_MM[number]].any(axis=1) & ~inside_S
        places = _phrases(counted, content_V, inside_S & chooses_S, ~inside_S & chooses_S, near_S & chooses_S)
        fired = [token for token in tokens.get(number, []) if has_content(token.lower())]
        places = places[: SHOWN - bool(fired)]
        phrases = [counted.ngrams[place] for place in places]
        fired = [token for token in fired if token.lower() not in phrases][: SHOWN - len(places)]
        if not phrases + fired:
            found.append(NamePhrases([], UNTESTED))
            continue
        holds_S = np.asarray(counted.holds_UV[:, places].sum(axis=1)).ravel()[counted.text_S]
        holds_S = holds_S + np.array([sum(token in span for token in fired) for span in held])
        test = blind_test(holds_S[~chooses_S], inside_S[~chooses_S], held_out)
        found.append(
            NamePhrases([part[:PHRASE_CHARS] for part in [*phrases, *(token.lower() for token in fired)]], test)
        )
    return found


def has_content(ngram: str) -> bool:
    """Whether one of the words is neither a stop word nor a mark nor a single letter."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return any(
        len(word) > 1 and word.replace("’", "'").split("'")[0] not in ENGLISH_STOP_WORDS and any(map(str.isalnum, word))
        for word in ngram.split(" ")
    )


def blind_test(score_S: Float[np.ndarray, " S"], inside_S: Bool[np.ndarray, " S"], prompts: Prompts) -> BlindTest:
    """The area under the curve of a score for the spans inside, with a 95 % interval by prompt.

    The variance is that of DeLong's components, summed by prompt.
    """
    n_in, n_out = int(inside_S.sum()), int((~inside_S).sum())
    present = prompt_totals(np.column_stack([inside_S, ~inside_S]), prompts) > 0
    if min(n_in, n_out) == 0 or present.sum(axis=0).min() < LEAST_PROMPTS:
        return UNTESTED
    rank_S = rankdata(score_S)
    own_S = np.empty(len(score_S))
    for part_S in (inside_S, ~inside_S):
        own_S[part_S] = rankdata(score_S[part_S])
    below_S = np.where(inside_S, (rank_S - own_S) / n_out, 1 - (rank_S - own_S) / n_in)
    auc = float(below_S[inside_S].mean())
    part_S = (below_S - auc) / np.where(inside_S, n_in, n_out)
    n_prompts = len(prompts.half_G)
    variance = float((prompt_totals(part_S[:, None], prompts) ** 2).sum()) * n_prompts / (n_prompts - 1)
    half = float(special.stdtrit(int(present.sum(axis=0).min()) - 1, 0.975)) * np.sqrt(variance)
    return BlindTest(auc, max(auc - half, 0.0), min(auc + half, 1.0))


def _neighbours(activity_SM: Float[np.ndarray, "S M"]) -> list[Int[np.ndarray, " n"]]:
    """For each cluster those whose activity goes with its own most, at r above 0."""
    centred_SM = activity_SM - activity_SM.mean(axis=0)
    length_M = np.linalg.norm(centred_SM, axis=0)
    unit_SM = centred_SM / np.where(length_M > 0, length_M, 1)
    r_MM = unit_SM.T @ unit_SM
    np.fill_diagonal(r_MM, -1)
    order_MM = np.argsort(-r_MM, axis=1, kind="stable")[:, :NEIGHBOURS]
    return [order_M[r_M[order_M] > 0] for order_M, r_M in zip(order_MM, r_MM, strict=True)]


def _phrases(
    counted: NgramCounts, content_V: np.ndarray, inside_S: np.ndarray, outside_S: np.ndarray, near_S: np.ndarray
) -> list[int]:
    """Places of the n-grams that set the spans apart, best first; none is part of another."""
    z_V = contrast_pair_z(counted, inside_S, outside_S)
    z_V[~content_V] = -np.inf
    candidates: Sequence[int] = np.flatnonzero(z_V >= MIN_Z).tolist()
    if near_S.any() and candidates:
        near_V = contrast_pair_z(counted, inside_S, near_S)
        candidates = [place for place in candidates if near_V[place] >= NEAR_Z]
    chosen: list[int] = []
    for place in sorted(candidates, key=lambda item: -z_V[item]):
        ngram = f" {counted.ngrams[place]} "
        if not any(ngram in f" {counted.ngrams[one]} " or f" {counted.ngrams[one]} " in ngram for one in chosen):
            chosen.append(place)
        if len(chosen) == SHOWN:
            break
    return chosen
