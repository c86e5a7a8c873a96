"""The larger parts of the page but for rows and tokens: tests, features, members of contexts, signals, columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.contexts import numbered
from anatomy.hypotheses.run_signals import Signals
from anatomy.hypotheses.views import HYPOTHESIS_COLUMNS
from anatomy.hypotheses.what_is_left import SURVIVALS
from anatomy.report.packing import Packed, counts, pack, signed_bytes
from anatomy.report.payload_types import ClustersOfFeatures, FeatureColumns, TestColumns, TopSignals
from anatomy.report.summary_record import VIEWS

KEPT_TESTS = 20_000
"""Tests of one view shown in full; of more, those of smallest p are kept."""

Part = tuple[str, Any]
"""Name and value of a part of the page."""


def parts(run_dir: Path, signals: Signals, clusters: Clusters) -> Iterator[Part]:
    """Tests, clusters of features, members of contexts, and the signal of each response."""
    yield "tests", tests_part(artifacts.read_table(run_dir / artifacts.HYPOTHESES, HYPOTHESIS_COLUMNS))
    features: ClustersOfFeatures = {
        "R": counts(clusters.response_F),
        "S": counts(clusters.shift_F),
        "P": counts(clusters.prompt_F),
    }
    yield "features", features
    yield "contexts", _contexts(signals)
    names: dict[str, int] = {}
    for tested in (signals.disparity, signals.shift):
        for column, name in enumerate(tested.ids):
            if name not in names:  # a concept stands in both
                names[name] = len(names)
                yield f"signal-{name}", signed_bytes(tested.values_NM[:, column])


def tests_part(hypotheses: pa.Table) -> TestColumns:
    """The tests as packed columns; contexts and responses by number in ``names``."""
    table = _strongest(hypotheses)
    names = sorted({*table["context"].to_pylist(), *table["response"].to_pylist(), ""})
    number = {name: place for place, name in enumerate(names)}

    def coded(column: str) -> Packed:
        return counts(np.array([number[item] for item in table[column].to_pylist()], np.int64))

    def real(column: str) -> Packed:
        return pack(table[column].to_numpy().astype(np.float32))

    return {
        "names": names,
        "views": list(VIEWS),
        "verdicts": list(SURVIVALS),
        "total": hypotheses.num_rows,
        "view": counts(np.array([VIEWS.index(view) for view in table["view"].to_pylist()], np.int64)),
        "context": coded("context"),
        "response": coded("response"),
        "n": counts(table["n"].to_numpy()),
        "prompts": counts(table["prompts"].to_numpy()),
        "verdict": counts(np.array([SURVIVALS.index(word) for word in table["verdict"].to_pylist()], np.int64)),
        "repeats": coded("repeats"),
        "stable": counts(table["stable"].to_numpy().astype(np.int64)),
        "effect": real("effect"),
        "effect_low": real("effect_low"),
        "effect_high": real("effect_high"),
        "effect_length_adjusted": real("effect_length_adjusted"),
        "effect_adjusted": real("effect_adjusted"),
        "effect_adjusted_low": real("effect_adjusted_low"),
        "effect_adjusted_high": real("effect_adjusted_high"),
        "support": real("support"),
        "differ": real("differ"),
        "win_rate": real("win_rate"),
        "win_rate_low": real("win_rate_low"),
        "win_rate_high": real("win_rate_high"),
        "d": real("d"),
        "z": real("z"),
        "p": real("p"),
        "q": real("q"),
        "delta_min": real("delta_min"),
    }


def _strongest(hypotheses: pa.Table) -> pa.Table:
    """The tests that were possible; of a view with more than ``KEPT_TESTS``, those of smallest p."""
    p_H, view_H = hypotheses["p"].to_numpy(), hypotheses["view"].to_numpy(zero_copy_only=False)
    kept = []
    for view in VIEWS:
        rows = np.flatnonzero((view_H == view) & np.isfinite(p_H))
        kept.append(rows[np.argsort(p_H[rows], kind="stable")[:KEPT_TESTS]])
    return hypotheses.take(np.sort(np.concatenate(kept)))


def _contexts(signals: Signals) -> dict[str, Packed]:
    """Rows of each context, ascending; those of the finest data clusters stand in the rows' column ``data``."""
    finest = {f"D{number}" for number in np.unique(signals.data_N)}
    every = [part for part in (signals.row_contexts, numbered("P", signals.context_KN)) if part.ids]
    return {name: counts(part.rows(name)) for part in every for name in part.ids if name not in finest}


def top_signals(signals: Signals, top: int) -> TopSignals:
    """For each row, the ``top`` responses whose signal is furthest from 0 in their own standard deviations."""
    values_NM = signals.disparity.values_NM
    spread_M = np.maximum(values_NM.std(0), 1e-12)
    top = min(top, values_NM.shape[1])
    order_NT = np.argsort(-np.abs(values_NM / spread_M), axis=1, kind="stable")[:, :top]
    shown_NT = np.take_along_axis(values_NM / spread_M, order_NT, axis=1)
    ids = list(signals.disparity.ids)
    return {"ids": ids, "top": top, "response": counts(order_NT.astype(np.int64)),
            "value": pack(np.clip(np.rint(shown_NT * 10), -127, 127).astype(np.int8))}  # fmt: skip


def feature_columns(clusters: Clusters, store: FeatureStore) -> FeatureColumns:
    """Columns of all rows that come from the features."""
    return {
        "data": counts(clusters.data_N),
        "prompt_tokens": counts(store.tokens("prompt")),
        "chosen_tokens": counts(store.tokens("chosen")),
        "rejected_tokens": counts(store.tokens("rejected")),
    }
