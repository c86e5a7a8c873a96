"""Names for clusters without a language model: tokens, n-grams, trivial correlates and exemplars.

Feature clusters (R, S: responses; P: prompts) are read from a uniform sample of rows. Data clusters (D) are groups of
rows: their exemplars are prompts, and what fires in these are the prompt features that set the cluster apart. A name
of phrases is shown if it does better than chance on prompts that it was not chosen on (``name_phrases.py``). Everything
is drawn with the given seed and does not depend on the order of clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from anatomy.clusters.assignments import Clusters
from anatomy.naming import describe
from anatomy.naming.describe import Reading
from anatomy.naming.exemplars import Spans, SpanShard, blocks, by_feature, choose, gather
from anatomy.naming.name_phrases import name_phrases
from anatomy.statistics.prompts import Prompts
from anatomy.text.ngrams import MIN_Z, Contrast, contrast_ngrams, contrast_z
from anatomy.text.visible import excerpt, visible
from anatomy.types import SIDES

SAMPLE_ROWS = 4_000
"""Rows read to name feature clusters; bounds memory and time whatever the size of the set."""
NEAREST, RANDOM = 30, 20
FEATURES_PER_DATA_CLUSTER = 20
TOP_SHARE = 0.1
"""Share of sampled spans, those with most activity, whose text is held against the others'."""
SILENT = "rows with least activity (in no test)"

Label = dict[str, Any]
Chosen = tuple[list[int], list[int]]
"""Nearest and random exemplars."""


@dataclass(frozen=True)
class Rows:
    """The retained rows in the order of the feature store, and their text.

    ``text_of(row, span)`` and ``tokens_of(row, span)`` take a position in that order and ``prompt``, ``chosen`` or
    ``rejected``; tokens are the strings of the span's tokens, in order. They are asked only for :func:`sampled_rows`.
    """

    row_ids: Sequence[str]
    indices: Sequence[int]
    prompt_ids: Sequence[str]
    text_of: Callable[[int, str], str]
    tokens_of: Callable[[int, str], Sequence[str]]


def label_clusters(
    shards: Callable[[], Iterable[SpanShard]],
    rows: Rows,
    clusters: Clusters,
    concepts: Mapping[str, Callable[[str], float]],
    seed: int,
) -> dict[str, dict[str, Label]]:
    """The content of ``labels.json``: kind (``response``, ``data``, ``prompt``) → cluster id → label.

    Args:
        shards: gives a fresh pass over the feature store.
        concepts: name → count of a trivial concept in a text (bold, lists, refusal words …).
        seed: of the rows and exemplars drawn.

    Returns:
        Per cluster ``label``, ``top_tokens``, ``ngrams``, ``correlates``, ``exemplars``; of feature clusters also
        ``n_features``, ``stability`` and on how many of the sampled spans they fire (``n_spans`` of
        ``n_spans_sampled``), of data clusters ``n_rows``.
    """
    namer = _Namer(shards, rows, concepts, seed)
    labels = {
        "response": namer.features(SIDES, {"R": clusters.response_F, "S": clusters.shift_F}),
        "data": namer.data(clusters),
        "prompt": namer.features(("prompt",), {"P": clusters.prompt_F}),
    }
    for found in labels.values():
        for name in found.keys() & clusters.stability.keys():
            found[name]["stability"] = round(clusters.stability[name], 4)
    return labels


def sampled_rows(prompt_ids: Sequence[str], clusters: Clusters, seed: int) -> Int[np.ndarray, " R"]:
    """All rows (ascending positions) whose text :func:`label_clusters` asks for, so that they can be read at once."""
    members = [
        row
        for level_N in clusters.data_levels
        for chosen in _members(prompt_ids, level_N, clusters.cosine_N, seed).values()
        for part in chosen
        for row in part
    ]
    return np.union1d(uniform_rows(len(prompt_ids), seed), np.asarray(members, np.int64))


def uniform_rows(n_rows: int, seed: int) -> np.ndarray:
    """The rows (ascending positions) whose responses and prompts stand for all."""
    generator = np.random.default_rng([seed, n_rows])
    return np.sort(generator.choice(n_rows, min(SAMPLE_ROWS, n_rows), replace=False))


def _members(
    prompt_ids: Sequence[str], level_N: Int[np.ndarray, " N"], cosine_N: Float[np.ndarray, " N"], seed: int
) -> dict[int, Chosen]:
    """Per data cluster of a level, the rows nearest to their centroid and random others."""
    chosen = {}
    for number in np.unique(level_N[level_N > 0]).tolist():
        row_R = np.flatnonzero(level_N == number)
        score_R = np.maximum(cosine_N[row_R], np.finfo(np.float32).tiny)
        generator = np.random.default_rng([seed, ord("D"), number])
        best, others = choose(score_R, [prompt_ids[row] for row in row_R.tolist()], NEAREST, RANDOM, generator)
        chosen[number] = (row_R[best].tolist(), row_R[others].tolist())
    return chosen


def most_active(activity_SM: Float[np.ndarray, "S M"]) -> Bool[np.ndarray, "S M"]:
    """The tenth of spans with most activity in each cluster, of those with any."""
    rank_SM = rankdata(-activity_SM, axis=0, method="min")
    return (activity_SM > 0) & (rank_SM <= max(2, TOP_SHARE * len(activity_SM)))


def _lifted_features(
    shards: Callable[[], Iterable[SpanShard]], sample: np.ndarray, data_N: np.ndarray, n_features: int
) -> Bool[np.ndarray, "K F"]:
    """For each data cluster, the prompt features that fire in more of its sampled rows than elsewhere."""
    count_KF = np.zeros((int(data_N.max()) + 1, n_features), np.float32)
    for shard, inside, local in blocks(shards(), sample, "prompt"):
        fires = shard.matrix("prompt", "fires")[local].tocoo()
        np.add.at(count_KF, (data_N[inside[fires.row]], fires.col), fires.data > 0)
    total_F = count_KF.sum(0, dtype=np.float64)
    lifted_KF = np.zeros(count_KF.shape, bool)
    for cluster in range(1, len(count_KF)):
        z_F = contrast_z(count_KF[cluster], total_F - count_KF[cluster])
        best = np.argsort(-z_F, kind="stable")[:FEATURES_PER_DATA_CLUSTER]
        lifted_KF[cluster, best[z_F[best] >= MIN_Z]] = True
    return lifted_KF


@dataclass(frozen=True)
class _Namer:
    """What naming needs, whatever the clusters: features, texts, trivial concepts, seed."""

    shards: Callable[[], Iterable[SpanShard]]
    rows: Rows
    concepts: Mapping[str, Callable[[str], float]]
    seed: int

    def features(self, sides: Sequence[str], clusterings: Mapping[str, np.ndarray]) -> dict[str, Label]:
        """Labels of clusters of features, by prefix, from the sides of a uniform sample of rows."""
        sample = uniform_rows(len(self.rows.row_ids), self.seed)
        if sample.size == 0 or not any(labels_F.any() for labels_F in clusterings.values()):
            return {}
        reading = self._read(sample, sides)
        labels: dict[str, Label] = {}
        for prefix, labels_F in clusterings.items():
            sizes = np.bincount(labels_F)
            spans = gather(self.shards, sample, sides, by_feature(labels_F), len(sizes) - 1)
            shown, counts = self._choose(spans, prefix), _counts(sizes, spans)
            labels |= self._labels(spans, reading, most_active(spans.activity_SM), prefix, shown, counts)
        return labels

    def data(self, clusters: Clusters) -> dict[str, Label]:
        """Labels of clusters of rows, from the prompts of rows near their centroid and of random ones."""
        silent = int((clusters.data_N == 0).sum())
        labels = {"D0": _label(SILENT, counts={"n_rows": silent})} if silent else {}
        for level_N in clusters.data_levels:
            labels |= self._level(level_N, clusters)
        return labels

    def _level(self, level_N: Int[np.ndarray, " N"], clusters: Clusters) -> dict[str, Label]:
        """Labels of the data clusters of one level."""
        members = _members(self.rows.prompt_ids, level_N, clusters.cosine_N, self.seed)
        if not members:
            return {}
        sizes = np.bincount(level_N)
        sample = np.unique([row for chosen in members.values() for part in chosen for row in part])
        lifted_KF = _lifted_features(self.shards, sample, level_N, len(clusters.prompt_F))

        def assign(row_E: np.ndarray, feature_E: np.ndarray) -> np.ndarray:
            cluster_E = level_N[row_E]
            return np.where(lifted_KF[cluster_E, feature_E], cluster_E, 0)

        spans = gather(self.shards, sample, ("prompt",), assign, len(sizes) - 1)
        inside_SM = level_N[sample][:, None] == np.arange(len(sizes))
        shown = {number: (np.searchsorted(sample, near).tolist(), np.searchsorted(sample, others).tolist())
                 for number, (near, others) in members.items()}  # fmt: skip
        counts = {number: {"n_rows": int(sizes[number])} for number in members}
        spans = spans._replace(activity_SM=inside_SM.astype(np.float32))
        return self._labels(spans, self._read(sample, ("prompt",)), inside_SM, "D", shown, counts)

    def _read(self, sample: np.ndarray, sides: Sequence[str]) -> Reading:
        where = [(row, side) for side in sides for row in sample.tolist()]
        texts, tokens = [self.rows.text_of(*place) for place in where], [self.rows.tokens_of(*place) for place in where]
        return describe.read(texts, tokens, self.concepts)

    def _choose(self, spans: Spans, prefix: str) -> dict[int, Chosen]:
        prompt_S = [self.rows.prompt_ids[row] for row in spans.row_S.tolist()]
        chosen = {}
        for number in range(1, spans.activity_SM.shape[1]):
            generator = np.random.default_rng([self.seed, ord(prefix), number])
            chosen[number] = choose(spans.activity_SM[:, number], prompt_S, NEAREST, RANDOM, generator)
        return chosen

    def _labels(
        self,
        spans: Spans,
        reading: Reading,
        inside_SM: Bool[np.ndarray, "S M"],
        prefix: str,
        shown: Mapping[int, Chosen],
        counts: Mapping[int, Mapping[str, int]],
    ) -> dict[str, Label]:
        tokens = describe.top_tokens(spans, reading.tokens)
        ngrams = contrast_ngrams(reading.ngrams, inside_SM, describe.TOP)
        correlates = describe.correlates(spans.activity_SM, reading)
        positions = hit_positions(spans, shown)
        prompts = Prompts.from_ids([self.rows.prompt_ids[row] for row in spans.row_S.tolist()])
        choosing = spans._replace(hits=spans.hits.of(~prompts.half_N))
        fired = {number: [item["token"] for item in found]
                 for number, found in describe.top_tokens(choosing, reading.tokens).items()}  # fmt: skip
        held = [describe.token_set(span) for span in reading.tokens]
        named = name_phrases(reading.ngrams, fired, held, spans.activity_SM, inside_SM, prompts)
        labels = {}
        for number, (nearest, random) in shown.items():
            exemplars = [self._exemplar(spans, item, kind, reading.tokens[item], positions.get((item, number), []))
                         for kind, items in (("nearest", nearest), ("random", random)) for item in items]  # fmt: skip
            found = (tokens.get(number, []), ngrams[number], correlates[number])
            phrases, test = named[number]
            text = describe.name(phrases if test.passed else [], correlates[number]) or describe.unnamed(exemplars)
            label = _label(text, *found, exemplars, counts=counts[number])
            labels[f"{prefix}{number}"] = label | {"name_test": {"phrases": phrases, **test._asdict()}}
        return labels

    def _exemplar(self, spans: Spans, item: int, kind: str, pieces: Sequence[str], positions: list[int]) -> Label:
        row = int(spans.row_S[item])
        return {
            "row_id": self.rows.row_ids[row],
            "index": int(self.rows.indices[row]),
            "side": spans.side_S[item],
            "kind": kind,
            "text": excerpt(pieces, positions[0] if positions else 0),
            "positions": positions,
            "tokens": [visible(pieces[position]) for position in positions],
        }


def named_after(concept: str, label: Label) -> Label:
    """The label of a cluster that follows a concept: it takes the concept's name."""
    test = label["name_test"]
    return {**label, "label": describe.name(test["phrases"] if test["low"] > 0.5 else [], [], concept)}


def group_label(group: str, n_rows: int) -> Label:
    """The label of a group of the user's, ``column=value``: it says of itself what it is."""
    column, _, value = group.partition("=")
    return _label(f"{visible(column)} is {visible(value)}", counts={"n_rows": n_rows})


def _label(
    label: str,
    top_tokens: Sequence[Label] = (),
    ngrams: Sequence[Contrast] = (),
    correlates: Sequence[Label] = (),
    exemplars: Sequence[Label] = (),
    *,
    counts: Mapping[str, int],
) -> Label:
    return {
        "label": label,
        "top_tokens": list(top_tokens),
        "ngrams": [{"ngram": visible(found.ngram), "z": found.z, "n_texts": found.n_texts} for found in ngrams],
        "correlates": list(correlates),
        "exemplars": list(exemplars),
        **counts,
    }


def _counts(sizes_M: np.ndarray, spans: Spans) -> dict[int, dict[str, int]]:
    fired_M = (spans.activity_SM > 0).sum(0)
    names = ("n_features", "n_spans", "n_spans_sampled")
    numbers = [sizes_M.tolist(), fired_M.tolist(), [len(spans.row_S)] * len(fired_M)]
    return {number: dict(zip(names, row, strict=True)) for number, row in enumerate(zip(*numbers, strict=True))}


def hit_positions(spans: Spans, shown: Mapping[int, Chosen]) -> dict[tuple[int, int], list[int]]:
    """(span, cluster) → token positions, strongest first, where they will be shown."""
    shown_SM = np.zeros(spans.activity_SM.shape, bool)
    for number, chosen in shown.items():
        shown_SM[[*chosen[0], *chosen[1]], number] = True
    kept = shown_SM[spans.hits.span, spans.hits.cluster]
    found: dict[tuple[int, int], list[int]] = {}
    for span, cluster, position in zip(*(part[kept].tolist() for part in spans.hits[:3]), strict=True):
        found.setdefault((span, cluster), []).append(position)
    return found
