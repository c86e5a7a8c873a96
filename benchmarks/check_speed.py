"""Rows a second of ``anatomy check``, beside reading the same Parquet file and writing its rows as JSON.

    python -m benchmarks.check_speed [--rows 10000 100000] [--tokenizer] [--model MODEL]

Rows are made on the fly: as long as those of AlpacaEval (prompts of 165 characters, responses of 1,900 and 1,400 on
average, log-normal), with a score and a source. Each measurement is a process of its own; CPU seconds are its
own and those of the process that renders chat templates. With a tokenizer there is one baseline more: the bare
tokenizer on the prompt and both responses of at most 2,000 rows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LENGTHS = {"prompt": (165, 0.9), "chosen": (1900, 0.6), "rejected": (1400, 0.7)}
"""Mean characters of a text, and the deviation of their logarithm."""
WORDS = 20_000
GROUP = 5_000
BARE_ROWS = 2_000


def words(draw: random.Random) -> list[str]:
    letters = "etaoinshrdlucmfwygpbvk"
    return ["".join(draw.choices(letters, range(22, 0, -1), k=draw.choice((2, 3, 4, 5, 6, 8)))) for _ in range(WORDS)]


def texts(draw: random.Random, vocabulary: list[str], mean: int, deviation: float) -> str:
    characters = draw.lognormvariate(math.log(mean) - deviation**2 / 2, deviation)
    chosen = draw.choices(vocabulary, k=max(1, int(characters / 5.6)))
    return " ".join(chosen) + "."


def write_rows(path: Path, rows: int) -> None:
    """Write synthetic rows: 5,000 drawn ones again and again, each time with another number before every text."""
    draw = random.Random(0)
    vocabulary = words(draw)
    schema = pa.schema([*((name, pa.string()) for name in LENGTHS), ("score", pa.float64()), ("source", pa.string())])
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        lines = [
            {name: texts(draw, vocabulary, *shape) for name, shape in LENGTHS.items()}
            | {"score": draw.random(), "source": draw.choice("ab")}
            for _ in range(min(GROUP, rows))
        ]
        drawn = pa.Table.from_pylist(lines, schema)
        for start in range(0, rows, GROUP):
            table = drawn.slice(0, rows - start)
            for place, name in enumerate(LENGTHS):
                numbered = pc.binary_join_element_wise(str(start), table[name], " ")
                table = table.set_column(place, name, numbered)
            writer.write_table(table)


def read_as_json(path: Path) -> int:
    """The baseline: bytes of all rows as JSON."""
    table = pq.ParquetFile(path)
    batches: Iterator[pa.RecordBatch] = itertools.chain.from_iterable(
        table.iter_batches(256, row_groups=[group], use_threads=False) for group in range(table.num_row_groups)
    )
    return sum(len(json.dumps(row)) for batch in batches for row in batch.to_pylist())


def check(path: Path, model: str | None, tokenizer: bool) -> None:
    from anatomy.data.ingest import measure
    from anatomy.sae.model_bundle import ModelBundle
    from anatomy.settings import CheckSettings

    settings = CheckSettings(rows=str(path), model=model)
    tokens = ModelBundle(settings).sampled_token_check(0) if tokenizer else None
    found = measure(settings, tokens)
    assert found.rows


def tokenise(path: Path, model: str | None) -> int:
    """The bare tokenizer; returns the rows."""
    from anatomy.sae.model_bundle import ModelBundle
    from anatomy.settings import CheckSettings

    backend = ModelBundle(CheckSettings(rows=str(path), model=model)).tokenizer.backend_tokenizer
    batch = next(pq.ParquetFile(path).iter_batches(BARE_ROWS, columns=list(LENGTHS)))
    for row in batch.to_pylist():
        backend.encode_batch(list(row.values()), add_special_tokens=False)
    return len(batch)


def cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def measured(what: str, path: Path, model: str | None) -> tuple[float, float]:
    """CPU seconds and peak memory (MiB) of one measurement in a process of its own, after its imports."""
    asked = [
        sys.executable,
        "-m",
        "benchmarks.check_speed",
        "--one",
        what,
        str(path),
        *(["--model", model] if model else []),
    ]
    seconds, memory = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def one(what: str, path: Path, model: str | None) -> None:
    import anatomy.activations.spans
    import anatomy.data.ingest  # noqa: F401 - their imports are not measured

    before = cpu()
    if what == "json":
        read_as_json(path)
    elif what == "bare":
        tokenise(path, model)
    else:
        check(path, model, tokenizer=what == "tokens")
    stop_renderer()
    print(cpu() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def stop_renderer() -> None:
    """End the process that renders, so that its time is counted."""
    from anatomy.activations.chat_template import _RENDERER

    if _RENDERER._process is not None:
        assert _RENDERER._process.stdin is not None
        _RENDERER._process.stdin.close()
        _RENDERER._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--tokenizer", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--one", nargs=2)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one[0], Path(asked.one[1]), asked.model)
        return
    parts = ["json", "check", *(["bare", "tokens"] if asked.tokenizer else [])]
    for rows in asked.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            write_rows(path, rows)
            for part in parts:
                seconds, memory = measured(part, path, asked.model)
                number = min(rows, BARE_ROWS) if part == "bare" else rows
                cost = f"{seconds:8.2f} CPU s  {number / seconds:9,.0f} rows/s  {memory:6,.0f} MiB"
                print(f"{rows:>9,} rows  {part:6}  {cost}", flush=True)


if __name__ == "__main__":
    main()
