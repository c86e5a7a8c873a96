"""Shards on disk: what is written is what is read, by us and by Arrow alone."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from anatomy.data.shard_cache import ShardCache, numbered
from anatomy.errors import RunError
from anatomy.features.feature_store import FeatureStore, SpanFeatures, read_health, write_shard
from anatomy.sae.reconstruction import HealthSums
from anatomy.types import SPANS


def features(tokens, entries):
    index, maximum, at, count = (
        (np.array(column) for column in zip(*entries, strict=True)) if entries else [np.zeros(0)] * 4
    )
    return SpanFeatures(tokens, index, maximum, at, count, np.array([tokens, -1e6, 0.5]))


ROWS = {
    "prompt": [features(4, [(0, 1.5, 2, 4), (5, 0.25, 0, 1)]), features(0, [])],
    "chosen": [features(8, [(3, 2.0, 7, 2)]), features(2, [(3, 1e6, 0, 1), (5, 1e-12, 1, 1)])],
    "rejected": [features(1, []), features(3, [(1, 1.0, 1, 3)])],
}
IDS = [("row-a", "prompt-a"), ("row-b", "prompt-b")]


def write(folder, number=0, mark="f"):
    write_shard(ShardCache(folder, mark), number, IDS, ROWS, 6, HealthSums.zero(3, 6)._replace(tokens=18))


def test_matrices(tmp_path):
    write(tmp_path)
    store = FeatureStore(tmp_path)
    (shard,) = store.shards()
    assert (store.n_rows, store.n_features, store.row_ids, store.prompt_ids) == (
        2, 6, ["row-a", "row-b"], ["prompt-a", "prompt-b"]
    )  # fmt: skip
    assert shard.tokens("chosen").tolist() == [8, 2]
    dense = {name: shard.matrix("prompt", name).toarray() for name in ("max", "freq", "fires", "at")}
    nothing = [0] * 6
    assert dense["max"].tolist() == [[1.5, 0, 0, 0, 0, 0.25], nothing]
    assert dense["freq"].tolist() == [[1, 0, 0, 0, 0, 0.25], nothing]
    assert dense["fires"].tolist() == [[1, 0, 0, 0, 0, 1], nothing]
    assert dense["at"].tolist() == [[3, 0, 0, 0, 0, 1], nothing]
    assert store.matrix("rejected", "freq").toarray().tolist() == [nothing, [0, 1, 0, 0, 0, 0]]


def test_values_beyond_float16_neither_vanish_nor_overflow(tmp_path):
    write(tmp_path)
    row = FeatureStore(tmp_path).matrix("chosen", "max").toarray()[1]
    assert row[3] == 65504
    assert 0 < row[5] < 1e-6


def test_mean_residuals_of_responses(tmp_path):
    write(tmp_path)
    write(tmp_path, 1)
    assert FeatureStore(tmp_path).activations("chosen").tolist() == [[8, -65504, 0.5], [2, -65504, 0.5]] * 2


def test_shards_follow_each_other(tmp_path):
    write(tmp_path, 0)
    write(tmp_path, 1)
    store = FeatureStore(tmp_path)
    assert store.n_rows == 4
    assert store.tokens("prompt").tolist() == [4, 0, 4, 0]
    stacked = np.concatenate([shard.matrix("prompt", "max").toarray() for shard in store.shards()])
    np.testing.assert_array_equal(store.matrix("prompt", "max").toarray(), stacked)


def test_arrow_alone_reads_it(tmp_path):
    write(tmp_path)
    row = pq.read_table(numbered(tmp_path)[0][0]).to_pylist()[0]
    assert row["prompt_index"] == [0, 5]
    assert row["prompt_count"] == [4, 1]
    assert {f"{span}_{name}" for span in SPANS for name in ("tokens", "index", "max", "count", "at")} <= row.keys()
    assert read_health(numbered(tmp_path)[0][0]).tokens == 18


def test_indices_are_wide_enough(tmp_path):
    wide = {span: [features(1, [(69999, 1.0, 0, 1)])] for span in SPANS}
    write_shard(ShardCache(tmp_path, "f"), 0, IDS[:1], wide, 70_000, HealthSums.zero(3, 6))
    assert FeatureStore(tmp_path).matrix("chosen", "fires").indices.tolist() == [69999]


def test_broken_stores_are_refused(tmp_path):
    with pytest.raises(RunError, match="no features"):
        FeatureStore(tmp_path)
    write(tmp_path, 0)
    write(tmp_path, 2)
    with pytest.raises(RunError, match="missing between"):
        FeatureStore(tmp_path)
    write(tmp_path, 1, mark="other")
    with pytest.raises(RunError, match="features of different passes"):
        FeatureStore(tmp_path)
    for number in range(3):
        write(tmp_path, number, mark="")
    with pytest.raises(RunError, match="earlier version"):
        FeatureStore(tmp_path)
