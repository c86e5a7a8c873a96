"""Writers of small preference files in every known kind."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Records = list[dict[str, Any]]


def to_bytes(kind: str, records: Records) -> bytes:
    sink = io.BytesIO()
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), sink)
    elif kind == "arrow":  # an IPC file
        table = pa.Table.from_pylist(records)
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    elif kind == "stream.arrow":
        table = pa.Table.from_pylist(records)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif kind == "json":
        return json.dumps(records, indent=1).encode()
    elif kind == "data.json":
        return json.dumps({"version": "1.0", "data": records}).encode()
    elif kind in ("jsonl", "lines.json"):
        return "".join(json.dumps(record) + "\n" for record in records).encode()
    elif kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue().encode()
    return sink.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Records | bytes | str], Path]:
    """Write ``name`` from records (in the kind that its first dot starts), or from raw bytes or text."""

    def _write(name: str, content: Records | bytes | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = to_bytes(path.name.removesuffix(".gz").split(".", 1)[1], content)
            content = gzip.compress(content) if name.endswith(".gz") else content
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write
