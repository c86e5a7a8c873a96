"""Pooled features on disk: Parquet shards of 128 rows, readable with Arrow by anybody.

A shard has one line per row: ``row_id``, ``prompt_id``, and for each span (``prompt``, and ``chosen`` and ``rejected``
of a pair or ``response`` of a single response) its ``{span}_tokens`` and four lists
of equal length, ascending in the feature: ``{span}_index``, ``{span}_max`` (float16), ``{span}_count`` (tokens on which
the feature fires) and ``{span}_at`` (the token, from 0, that reaches the maximum). A list column's offsets and values
are a CSR matrix. ``{side}_mean`` (float16) is the mean residual of a response's tokens, which the SAE read. Schema
metadata holds the mark of the harvest, ``n_features`` and the SAE's health sums.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from einops import rearrange
from jaxtyping import Float, Int
from scipy import sparse

from anatomy import artifacts
from anatomy.data.shard_cache import ShardCache, shard_schemas
from anatomy.errors import RunError
from anatomy.sae.reconstruction import HealthSums

N_FEATURES, HEALTH = b"anatomy.n_features", b"anatomy.health"
ENCODINGS = {"index": "DELTA_BINARY_PACKED", "max": "BYTE_STREAM_SPLIT"}
"""Ascending indices and floats pack a third smaller so than with Parquet's default dictionaries."""
REMEDY = "run `anatomy harvest` or `anatomy audit` again"
SMALLEST, LARGEST = 2.0**-24, 65504.0
"""The range of positive float16 numbers: activations beyond it are stored as its ends, never as 0 or infinity."""


@dataclass(frozen=True)
class SpanFeatures:
    """The features that fire in one span, ascending, the span's number of tokens, and their mean residual."""

    tokens: int
    index: Int[np.ndarray, " E"]
    max: Float[np.ndarray, " E"]
    at: Int[np.ndarray, " E"]
    count: Int[np.ndarray, " E"]
    mean: Float[np.ndarray, " D"]


class FeatureShard:
    """Consecutive rows of the store; columns are read when asked for and kept with the shard."""

    def __init__(self, path: Path, n_features: int) -> None:
        self.path = path
        self.n_features = n_features
        self._columns: dict[str, pa.Array] = {}

    @cached_property
    def row_ids(self) -> list[str]:
        """Row ids in order."""
        return list(self._column("row_id").to_pylist())

    @cached_property
    def prompt_ids(self) -> list[str]:
        """Prompt ids in order; rows that share one are not independent."""
        return list(self._column("prompt_id").to_pylist())

    def tokens(self, span: str) -> Int[np.ndarray, " N"]:
        """Tokens of ``span`` in each row."""
        return np.asarray(self._column(f"{span}_tokens"))

    def matrix(self, span: str, statistic: str) -> sparse.csr_array:
        """CSR array [rows, F], float32: ``max``; ``freq`` = share of the span's tokens on which a feature fires;
        ``fires`` = 1; ``at`` = position of the maximum in the span, plus one.
        """
        index = self._column(f"{span}_index")
        indptr = np.asarray(index.offsets)
        features = np.asarray(index.values).astype(np.int32)
        if len(features) and features.max() >= self.n_features:
            raise RunError(f"{self.path}: features of `{span}` that the SAE does not have; {REMEDY}")
        values = self._values(span, statistic, np.diff(indptr))
        return sparse.csr_array((values, features, indptr), shape=(len(indptr) - 1, self.n_features))

    def activations(self, side: str) -> Float[np.ndarray, "N D"]:
        """Mean residual over the tokens of ``side``'s response in each row."""
        column = self._column(f"{side}_mean")
        return rearrange(np.asarray(column.values), "(n d) -> n d", n=len(column)).astype(np.float32)

    def _values(self, span: str, statistic: str, sizes_N: np.ndarray) -> np.ndarray:
        if statistic == "fires":
            return np.ones(int(sizes_N.sum()), np.float32)
        name = f"{span}_{'count' if statistic == 'freq' else statistic}"
        values = np.asarray(self._column(name).values).astype(np.float32)
        if len(values) != sizes_N.sum():
            raise RunError(f"{self.path}: column `{name}` has not one value for each feature; {REMEDY}")
        if statistic == "freq":
            return values / np.repeat(self.tokens(span), sizes_N).astype(np.float32)  # method.md §2, freq
        return values + 1 if statistic == "at" else values

    def _column(self, name: str) -> pa.Array:
        if name not in self._columns:
            with artifacts.read_as_parquet(self.path, REMEDY):
                column = artifacts.read_columns(self.path, [name]).column(0)
            if column.null_count:
                raise RunError(f"{self.path}: column `{name}` lacks values; {REMEDY}")
            self._columns[name] = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        return self._columns[name]


def _columns(schema: pa.Schema, sides: Sequence[str], n_features: int) -> artifacts.Columns:
    """What each shard must have, and how wide its means are: as the first one has it."""
    index = "uint16" if n_features <= 1 << 16 else "uint32"
    columns = {"row_id": "string", "prompt_id": "string"}
    columns |= {f"{span}_tokens": "int32" for span in ("prompt", *sides)}
    for span in ("prompt", *sides):
        for name, kind in (("index", index), ("max", "halffloat"), ("count", "uint16"), ("at", "uint16")):
            columns[f"{span}_{name}"] = f"list<{kind}>"
    for side in sides:
        found = schema.field(f"{side}_mean").type
        wide = pa.types.is_fixed_size_list(found) and pa.types.is_float16(found.value_type)
        columns[f"{side}_mean"] = str(found) if wide else "fixed_size_list<halffloat>"
    return columns


class FeatureStore:
    """All shards of a harvest; raises as :func:`anatomy.data.shard_cache.shard_schemas`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        schemas = shard_schemas(path, "features", REMEDY)
        self.paths, schema = list(schemas), next(iter(schemas.values()))
        n_features = (schema.metadata or {}).get(N_FEATURES, b"").decode(errors="replace")
        self.n_features = int(n_features) if n_features.isascii() and n_features.isdecimal() else 0
        self.sides = tuple(name.removesuffix("_mean") for name in schema.names if name.endswith("_mean"))
        columns = _columns(schema, self.sides, self.n_features)
        for found, own in schemas.items():
            artifacts.require_columns(found, own, columns, REMEDY)
        self.n_rows = sum(pq.read_metadata(found).num_rows for found in self.paths)

    def shards(self) -> Iterator[FeatureShard]:
        """The shards in order; memory holds those that the caller keeps."""
        return (FeatureShard(path, self.n_features) for path in self.paths)

    @cached_property
    def row_ids(self) -> list[str]:
        """Row ids of all rows in order."""
        return [row_id for shard in self.shards() for row_id in shard.row_ids]

    @cached_property
    def prompt_ids(self) -> list[str]:
        """Prompt ids of all rows in order."""
        return [prompt_id for shard in self.shards() for prompt_id in shard.prompt_ids]

    def tokens(self, span: str) -> Int[np.ndarray, " N"]:
        """Tokens of ``span`` in each row."""
        return np.concatenate([shard.tokens(span) for shard in self.shards()])

    def activations(self, side: str) -> Float[np.ndarray, "N D"]:
        """All rows of :meth:`FeatureShard.activations` at once."""
        return np.concatenate([shard.activations(side) for shard in self.shards()])

    def matrix(self, span: str, statistic: str) -> sparse.csr_array:
        """All rows of :meth:`FeatureShard.matrix` at once; for small sets."""
        found: sparse.csr_array = sparse.vstack(
            [shard.matrix(span, statistic) for shard in self.shards()], format="csr"
        )
        return found


def read_health(path: Path) -> HealthSums:
    """The SAE's health sums over the tokens of a shard, as they were given to :func:`write_shard`."""
    return HealthSums.from_dict(json.loads(pq.read_schema(path).metadata[HEALTH]))


def write_shard(
    cache: ShardCache,
    number: int,
    ids: Sequence[tuple[str, str]],
    spans: Mapping[str, Sequence[SpanFeatures]],
    n_features: int,
    health: HealthSums,
) -> None:
    """Write shard ``number`` of the cache atomically; equal arguments give equal bytes.

    Args:
        ids: ``(row_id, prompt_id)`` of each row.
        spans: ``prompt`` first, then each side: its features in each row.
        n_features: F, features of the SAE.
        health: the SAE's health sums over the shard's tokens.
    """
    columns: dict[str, pa.Array] = {
        "row_id": pa.array([row_id for row_id, _ in ids], pa.string()),
        "prompt_id": pa.array([prompt_id for _, prompt_id in ids], pa.string()),
    }
    index_type = np.uint16 if n_features <= 1 << 16 else np.uint32
    for span, rows in spans.items():
        offsets = pa.array(np.cumsum([0, *(len(row.index) for row in rows)]), pa.int32())
        columns[f"{span}_tokens"] = pa.array([row.tokens for row in rows], pa.int32())
        for name, kind in (("index", index_type), ("max", np.float16), ("count", np.uint16), ("at", np.uint16)):
            values = np.concatenate([getattr(row, name) for row in rows])
            values = values.clip(SMALLEST, LARGEST) if name == "max" else values
            columns[f"{span}_{name}"] = pa.ListArray.from_arrays(offsets, pa.array(values.astype(kind)))
    for side in list(spans)[1:]:
        mean_ND = np.stack([row.mean for row in spans[side]]).clip(-LARGEST, LARGEST).astype(np.float16)
        columns[f"{side}_mean"] = pa.FixedSizeListArray.from_arrays(
            pa.array(rearrange(mean_ND, "n d -> (n d)")), mean_ND.shape[1]
        )
    metadata = {N_FEATURES: str(n_features).encode(), HEALTH: json.dumps(health.to_dict()).encode()}
    table = pa.table(columns).replace_schema_metadata(metadata)
    packed = {f"{span}_{name}.list.element": code for span in spans for name, code in ENCODINGS.items()}
    others = [f"{span}_{name}.list.element" for span in spans for name in ("count", "at")]
    cache.write(number, table, use_dictionary=others, column_encoding=packed)
