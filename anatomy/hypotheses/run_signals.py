"""Signals of every row of a run, from its pooled features and clusters, and the tests of all hypotheses on them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from anatomy.clusters.assignments import Clusters
from anatomy.clusters.feature_clusters import Shard, shift_moments
from anatomy.hypotheses.contexts import Contexts, data_contexts, numbered
from anatomy.hypotheses.followed import followed
from anatomy.hypotheses.null_rates import NullRate, null_rates
from anatomy.hypotheses.same_findings import Likeness
from anatomy.hypotheses.signals import prompt_scores, response_signals, shift_signals, top_rows
from anatomy.hypotheses.views import (
    Hypotheses,
    Responses,
    default_top_rows,
    feature_view,
    global_view,
    prompt_view,
    responses,
)
from anatomy.settings import EffectSettings
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts


class RowFeatures(Protocol):
    """Pooled features of the rows, as far as signals need them."""

    @property
    def prompt_ids(self) -> Sequence[str]:
        """Prompt id of each row."""

    def shards(self) -> Iterable[Shard]:
        """A pass over the shards."""

    def tokens(self, span: str) -> Int[np.ndarray, " N"]:
        """Tokens of each row's span."""


class Identities(NamedTuple):
    """What the source says of N rows: log-length in characters of chosen minus rejected, numbers for the texts and the
    authors of both responses, as in :class:`RowFrame`, and the groups of the user's columns.
    """

    length_N: Float[np.ndarray, " N"]
    text_N2: Int[np.ndarray, "N 2"]
    author_N2: Int[np.ndarray, "N 2"] | None
    groups: Contexts

    @classmethod
    def of(
        cls,
        characters: Sequence[tuple[int, int]],
        texts: Sequence[tuple[str, str]],
        authors: Sequence[tuple[str | None, str | None]],
        groups: Contexts,
    ) -> Identities:
        """Number the texts (or hashes of them) and the authors of chosen and rejected; an author of None is unknown."""
        names = sorted({name for pair in authors for name in pair if name})
        number = {name: place for place, name in enumerate(names)}
        author_N2 = np.array([[-1 if name is None else number[name] for name in pair] for pair in authors], np.int64)
        text_N2 = np.unique(np.array(texts, dtype=str), return_inverse=True)[1].reshape(-1, 2)
        length_N2 = np.log(np.maximum(np.array(characters, np.float64).reshape(-1, 2), 1))
        return cls(length_N2[:, 0] - length_N2[:, 1], text_N2, author_N2.reshape(-1, 2) if names else None, groups)


CONTEXT_COLUMNS = {"context": "string", "parent": "string", "rows": "list<int64>"}
"""Columns of ``contexts.parquet``; ``parent`` is the next larger data cluster around one, or empty."""


@dataclass(frozen=True)
class Signals:
    """Signed signals of response (R) and shift (S) clusters per row, and the contexts in which they are tested.

    ``disparity`` is ``u`` of method.md §5, ``shift`` that of §6 and ``shift_offset_M`` its dataset mean;
    ``length_N`` the log-length (tokens) of chosen minus that of rejected. ``identities`` reads texts and authors.
    ``concept_ids`` are those of the responses that are concepts.
    """

    disparity: Responses
    shift: Responses
    shift_offset_M: Float[np.ndarray, " M"]
    data_levels: Sequence[Int[np.ndarray, " N"]]
    score_NK: Float[np.ndarray, "N K"]
    prompts: Prompts
    length_N: Float[np.ndarray, " N"]
    top_rows: int
    min_rows: int
    identities: Callable[[], Identities] | None = None
    concept_ids: Sequence[str] = ()

    @property
    def data_N(self) -> Int[np.ndarray, " N"]:
        """The data cluster of each row at the finest level; 0: silent."""
        return self.data_levels[0]

    @cached_property
    def _identified(self) -> Identities | None:
        return None if self.identities is None else self.identities()

    @cached_property
    def frame(self) -> RowFrame:
        """Prompts, lengths, response texts and authors of the rows.

        Lengths are those of the whole texts where these are known: who chose read on where the window ends.
        """
        known = self._identified
        if known is None:
            return RowFrame(self.prompts, self.length_N)
        return RowFrame(self.prompts, known.length_N, known.text_N2, known.author_N2)

    @cached_property
    def row_contexts(self) -> Contexts:
        """Data clusters of all levels, and the groups of the user's columns."""
        clusters = data_contexts(self.data_levels)
        return clusters if self._identified is None else Contexts.joined([clusters, self._identified.groups])

    @cached_property
    def context_KN(self) -> sp.csr_array:
        """The rows of each prompt context P1..PK: those of highest score (method.md §6)."""
        return top_rows(self.score_NK, self.top_rows, self.prompts.rank_N)

    @cached_property
    def contexts(self) -> Contexts:
        """The contexts of both views: data clusters, groups, prompt contexts."""
        return Contexts.joined([self.row_contexts, numbered("P", self.context_KN)])

    def context_table(self) -> pa.Table:
        """The content of ``contexts.parquet``: each context with the ascending places of its rows."""
        every, member_KN = self.contexts, self.contexts.member_KN
        rows = pa.ListArray.from_arrays(member_KN.indptr.astype(np.int32), member_KN.indices.astype(np.int64))
        names = {"context": every.ids, "parent": every.parents}
        return pa.table({**{name: pa.array(ids, pa.string()) for name, ids in names.items()}, "rows": rows})

    def views(
        self, sign_N: Float[np.ndarray, " N"] | None = None, explain: bool = True
    ) -> dict[str, Callable[[], Hypotheses]]:
        """The three views, with chosen and rejected exchanged where the sign is below 0.

        Signals are not centred, so that their sign follows the labels. ``explain`` is that of :func:`global_view`.
        """
        disparity, shift, frame = self.disparity, self._uncentred, self.frame
        if sign_N is not None:
            sign_N1, frame = sign_N[:, None].astype(np.float32), frame.flipped(sign_N)
            disparity = disparity._replace(values_NM=disparity.values_NM * sign_N1)
            shift = shift._replace(values_NM=shift.values_NM * sign_N1)
        data, least = self.row_contexts, self.min_rows
        return {
            "global": lambda: global_view(disparity, frame, explain),
            "feature": lambda: feature_view(disparity, data, self.data_N > 0, frame, least, explain),
            "prompt": lambda: prompt_view(shift, self.context_KN, frame, least, explain),
        }

    @property
    def _uncentred(self) -> Responses:
        return self.shift._replace(values_NM=self.shift.values_NM + self.shift_offset_M.astype(np.float32))

    @cached_property
    def concept_of(self) -> dict[str, str]:
        """The concept that each response is, or follows (``followed.py``); the others are not in it."""
        found = {name: name for name in self.concept_ids}
        for tested in (self.disparity, self._uncentred):
            named_M = np.isin(np.asarray(tested.ids, dtype=str), list(self.concept_ids))
            concepts = [name for name in tested.ids if name in found]
            place_M = followed(tested.values_NM[:, ~named_M], tested.values_NM[:, named_M], self.prompts)
            clusters = [name for name, is_named in zip(tested.ids, named_M, strict=True) if not is_named]
            found |= {name: concepts[place] for name, place in zip(clusters, place_M, strict=True) if place >= 0}
        return found

    def tested(self) -> Hypotheses:
        """All hypotheses of the run."""
        table = Hypotheses.concatenate([view() for view in self.views().values()])
        concepts = [self.concept_of.get(name) for name in table.response.tolist()]
        return dataclasses.replace(table, concept=np.array(concepts, dtype=object))

    def likeness(self) -> Likeness:
        """Which responses have signals that go together, and which contexts share rows (``same_findings.py``)."""
        return Likeness.of([self.disparity, self._uncentred], self.contexts)

    def null(self, repetitions: int, seed: int) -> dict[str, NullRate]:
        """False-positive rate of each view with labels flipped at random, a whole prompt at a time."""
        return null_rates(
            {name: partial(self._flipped, name) for name in ("global", "feature", "prompt")},
            self.prompts,
            repetitions,
            seed,
        )

    def _flipped(self, name: str, sign_N: Float[np.ndarray, " N"]) -> Hypotheses:
        return self.views(sign_N, explain=False)[name]()

    def of(self, view: str, context: str, response: str) -> tuple[Float[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """One response's signal in every row, and which rows are in the context."""
        tested = self.shift if view == "prompt" else self.disparity
        signal_N = tested.values_NM[:, list(tested.ids).index(response)]
        if view == "global":
            return signal_N, np.ones(len(signal_N), bool)
        inside_N = np.zeros(len(signal_N), bool)
        inside_N[self.contexts.rows(context)] = True
        return signal_N, inside_N & (self.data_N > 0) if view == "feature" else inside_N


def read_signals(
    store: RowFeatures,
    clusters: Clusters,
    settings: EffectSettings,
    concepts: Responses | None = None,
    identities: Callable[[], Identities] | None = None,
) -> Signals:
    """Signals of every row from pooled features; memory is rows × clusters.

    ``concepts`` are further signals, tested beside the clusters' in every view; their sign must follow the labels.
    ``identities`` reads the texts and authors of the rows' responses; it is called when something is tested.
    """
    statistic = settings.prompt_statistic
    disparity_NM = response_signals(store.shards(), clusters.response_F, settings.tau).disparity_NM
    moments = shift_moments(store.shards(), statistic)
    shifted = shift_signals(store.shards(), clusters.shift_F, moments, statistic)
    kept = responses("S", shifted.shift_NM, clusters.shift_F, 1)
    offset_M = shifted.offset_M[[int(name[1:]) - 1 for name in kept.ids]]
    prompts, shift = Prompts.from_ids(store.prompt_ids), _beside(kept, concepts)
    return Signals(
        disparity=_beside(responses("R", disparity_NM, clusters.response_F, settings.min_features), concepts),
        shift=shift,
        shift_offset_M=np.concatenate([offset_M, np.zeros(len(concepts.ids) if concepts else 0)]),
        data_levels=clusters.data_levels,
        score_NK=prompt_scores(store.shards(), clusters.prompt_F, statistic, settings.prompt_score),
        prompts=prompts,
        length_N=np.log(store.tokens("chosen")) - np.log(store.tokens("rejected")),
        top_rows=settings.top_rows or default_top_rows(prompts, *clusters.prompt_view),
        min_rows=settings.min_rows,
        identities=identities,
        concept_ids=list(concepts.ids) if concepts else [],
    )


def _beside(clusters: Responses, concepts: Responses | None) -> Responses:
    if concepts is None or not concepts.ids:
        return clusters
    return Responses(np.hstack([clusters.values_NM, concepts.values_NM]), [*clusters.ids, *concepts.ids])
