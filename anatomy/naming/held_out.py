"""Which texts a cluster is named from, and which its name is tested on: never of one prompt.

Prompts are halved by their hash (:class:`Prompts`): names are drawn from one half, tests from the other. In both, texts
in which the cluster is strong are from the tenth with most activity, and those in which it is not from the quarter with
least. One text a prompt. Both sorts are cut alike, around a place at the same share of the text, so that the cut gives
nothing away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from anatomy.clusters.assignments import Clusters
from anatomy.features.feature_store import FeatureStore
from anatomy.naming.cluster_names import hit_positions, most_active, uniform_rows
from anatomy.naming.exemplars import Spans, by_feature, gather
from anatomy.statistics.prompts import Prompts
from anatomy.text.visible import excerpt, visible
from anatomy.types import SIDES

LEAST = 0.25

Half = tuple[list[int], list[int]]
"""Items in which a cluster is strong, and in which it is not."""


class Place(NamedTuple):
    """A text, by row and span, and the tokens at which the cluster is strongest there (none known: empty)."""

    row: int
    span: str
    positions: tuple[int, ...] = ()


class Sorts(NamedTuple):
    """Texts in which a cluster is strong, and texts in which it is not."""

    strong: list[Place]
    quiet: list[Place]


class Case(NamedTuple):
    """What one cluster is named from and tested on."""

    naming: Sorts
    testing: Sorts


def cases(
    store: FeatureStore, clusters: Clusters, wanted: Sequence[str], exemplars: int, held_out: int, seed: int
) -> dict[str, Case]:
    """Cluster id → its texts: at most ``exemplars`` and ``held_out`` of each sort, as many of one as of the other."""
    prompts = Prompts.from_ids(store.prompt_ids)
    found: dict[str, Case] = {}
    kinds = {"R": (SIDES, clusters.response_F), "S": (SIDES, clusters.shift_F), "P": (("prompt",), clusters.prompt_F)}
    sample = uniform_rows(store.n_rows, seed)
    for prefix, (sides, labels_F) in kinds.items():
        numbers = [int(name[1:]) for name in wanted if name[0] == prefix]
        if numbers:
            spans = gather(store.shards, sample, sides, by_feature(labels_F), int(labels_F.max(initial=0)))
            found |= _of_features(spans, prefix, numbers, prompts, (exemplars, held_out), seed)
    numbers = [int(name[1:]) for name in wanted if name[0] == "D"]
    return found | _of_rows(clusters, numbers, prompts, (exemplars, held_out), seed)


def _of_features(
    spans: Spans, prefix: str, numbers: Sequence[int], prompts: Prompts, sizes: tuple[int, int], seed: int
) -> dict[str, Case]:
    strong_SM = most_active(spans.activity_SM)
    drawn = {}
    for number in numbers:
        activity_S = spans.activity_SM[:, number]
        quiet_S = (activity_S <= np.quantile(activity_S, LEAST)) & ~strong_SM[:, number]
        drawn[number] = _draw(strong_SM[:, number], quiet_S, spans.row_S, prompts, sizes, [seed, ord(prefix), number])
    shown: dict[int, Half] = {number: (half[0][0] + half[1][0], []) for number, half in drawn.items()}
    positions = hit_positions(spans, shown)

    def places(items: Sequence[int], number: int) -> list[Place]:
        return [Place(int(spans.row_S[item]), spans.side_S[item], tuple(positions.get((item, number), ())))
                for item in items]  # fmt: skip

    return {
        f"{prefix}{number}": Case(*(Sorts(places(strong, number), places(quiet, number)) for strong, quiet in halves))
        for number, halves in drawn.items()
    }


def _of_rows(
    clusters: Clusters, numbers: Sequence[int], prompts: Prompts, sizes: tuple[int, int], seed: int
) -> dict[str, Case]:
    """Data clusters: prompts of their rows against prompts of other active rows."""
    row_N = np.arange(len(clusters.data_N))
    found = {}
    for number in numbers:
        inside_N = clusters.rows_of(number)
        outside_N = ~inside_N & (clusters.data_N > 0)
        halves = _draw(inside_N, outside_N, row_N, prompts, sizes, [seed, ord("D"), number])
        found[f"D{number}"] = Case(*(Sorts(*([Place(row, "prompt") for row in rows] for rows in half))
                                     for half in halves))  # fmt: skip
    return found


def _draw(
    strong_S: Bool[np.ndarray, " S"],
    quiet_S: Bool[np.ndarray, " S"],
    row_S: Int[np.ndarray, " S"],
    prompts: Prompts,
    sizes: tuple[int, int],
    seed: list[int],
) -> tuple[Half, Half]:
    """Texts to name from (prompts of half A) and to test on (half B): as many strong as quiet, one a prompt."""
    rng = np.random.default_rng(seed)
    prompt_S = prompts.code_N[row_S]
    halves = []
    for half, size in zip((False, True), sizes, strict=True):
        inside_S = prompts.half_G[prompt_S] == half
        taken: set[int] = set()
        strong = _take(np.flatnonzero(strong_S & inside_S), prompt_S, size, taken, rng)
        quiet = _take(np.flatnonzero(quiet_S & inside_S), prompt_S, len(strong), taken, rng)
        halves.append((strong[: len(quiet)], quiet))
    return halves[0], halves[1]


def _take(items: np.ndarray, prompt_S: np.ndarray, most: int, taken: set[int], rng: np.random.Generator) -> list[int]:
    found: list[int] = []
    for item in rng.permutation(items).tolist():
        if len(found) < most and int(prompt_S[item]) not in taken:
            taken.add(int(prompt_S[item]))
            found.append(item)
    return found


def texts_of(sorts: Sorts, tokens_of: Callable[[int, str], Sequence[str]]) -> tuple[list[str], list[str]]:
    """Excerpts of the strong and of the quiet texts; each quiet one is cut where its strong partner is."""
    strong, quiet = [], []
    for ours, other in zip(sorts.strong, sorts.quiet, strict=True):
        pieces, others = tokens_of(ours.row, ours.span), tokens_of(other.row, other.span)
        centre = ours.positions[0] if ours.positions else 0
        strong.append(excerpt(pieces, centre))
        quiet.append(excerpt(others, int(centre / max(len(pieces), 1) * len(others))))
    return strong, quiet


def with_tokens(text: str, place: Place, tokens_of: Callable[[int, str], Sequence[str]]) -> str:
    """A text and, below it, the tokens at which the cluster is strongest."""
    pieces = tokens_of(place.row, place.span)
    tokens = " ".join(f"«{visible(pieces[position])}»" for position in place.positions)
    return f"{text}\n(strongest at {tokens})" if tokens else text
