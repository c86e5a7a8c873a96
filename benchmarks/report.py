"""Seconds until the report can be used, in a headless Chromium, from disk.

    python -m benchmarks.report                        # a synthetic run of 100,000 rows, made in a temporary folder
    python -m benchmarks.report --run runs/mine        # an audit of your own

Interactive: the script has run, the section is drawn and answers keys. Each figure is the median of five fresh
browser contexts. Needs a Chromium (``$CHROMIUM``, or one in the path) and the package ``playwright``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.data.health import Health
from anatomy.data.rows_table import write_rows
from anatomy.data.shard_cache import SHARD_ROWS, ShardCache
from anatomy.features.feature_store import FeatureStore, SpanFeatures, write_shard
from anatomy.hypotheses.run_signals import read_signals
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.report.page import write_report
from anatomy.report.summary import RowsBehind, summarise
from anatomy.runs.manifest import Manifest
from anatomy.sae.reconstruction import HealthSums
from anatomy.settings import AuditSettings, HypothesisSettings
from anatomy.types import SPANS, Pair

ROWS, FEATURES, PER_CLUSTER, FIRING = 100_000, 1_024, 16, 16
WORDS = "one two three four five six seven eight nine ten north south east west red green blue".split()
SECTIONS = {"verdict": ".verdict, .empty", "global": ".item", "local": ".item", "rows": ".pair .text"}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def pairs(generator: np.random.Generator) -> Iterator[Pair]:
    for number in range(ROWS):
        text = " ".join(WORDS[place] for place in generator.integers(0, len(WORDS), 90))
        prompt = [{"role": "user", "content": f"Question {number}: {text[:120]}"}]
        chosen, rejected = ([{"role": "assistant", "content": text[120 + 40 * side :]}] for side in (0, 1))
        yield Pair(number, prompt, chosen, rejected, {"source": f"source {number % 7}"})


def span(generator: np.random.Generator) -> SpanFeatures:
    index = np.sort(generator.choice(FEATURES, FIRING, replace=False))
    at, value = generator.integers(0, 60, FIRING), generator.random(FIRING)
    return SpanFeatures(60, index, value, at, generator.integers(1, 9, FIRING), np.zeros(1))


def synthetic(run: Path) -> None:
    """A run directory of random rows and features, analysed as an audit does, with its report."""
    generator = np.random.default_rng(0)
    stored = list(pairs(generator))
    ids = [(pair.row_id, pair.prompt_id) for pair in stored]
    write_rows(run / artifacts.ROWS, ((pair, "retained") for pair in stored))
    cache = ShardCache(run / artifacts.FEATURES, "synthetic")
    for number, start in enumerate(range(0, ROWS, SHARD_ROWS)):
        part = ids[start : start + SHARD_ROWS]
        spans = {name: [span(generator) for _ in part] for name in SPANS}
        write_shard(cache, number, part, spans, FEATURES, HealthSums.zero(1, FEATURES))
    analyse(run, FeatureStore(run / artifacts.FEATURES), generator)


def analyse(run: Path, store: FeatureStore, generator: np.random.Generator) -> None:
    labels_F = 1 + np.arange(FEATURES) // PER_CLUSTER
    data_N = generator.integers(1, 65, ROWS)
    clusters = Clusters(labels_F, labels_F, labels_F, data_N, np.ones(ROWS, np.float32))
    signals = read_signals(store, clusters, HypothesisSettings())
    hypotheses = pa.table(signals.tested().columns())
    labels = {
        kind: {f"{prefix}{n}": label(n, store.row_ids) for n in range(1, 65) for prefix in prefixes}
        for kind, prefixes in {"response": "RS", "data": "D", "prompt": "P"}.items()
    }
    health = Health(rows=ROWS, retained=ROWS)
    stages = {
        name: {"status": "complete", "fingerprint": name, "outputs": {artifacts.CLUSTERS: name}}
        for name in ("rows", "harvest", "cluster")
    }
    settings = AuditSettings(rows="synthetic")
    ClusterLabels.model_validate(labels).write(run / artifacts.LABELS)
    health.write(run / artifacts.HEALTH)
    summary = summarise(hypotheses, labels, health, settings, lambda *_: RowsBehind(0, []), lambda _: {})
    summary.write(run / artifacts.SUMMARY)
    Manifest.model_validate({"stages": stages, "settings": settings}).write(run / artifacts.MANIFEST)
    artifacts.write_table(run / artifacts.HYPOTHESES, hypotheses)
    artifacts.record_outputs(run, [artifacts.HYPOTHESES])
    start = time.perf_counter()
    written = write_report(run, signals, clusters, store, 0)
    print(f"report written in {time.perf_counter() - start:.1f} s: page {written.bytes / 1e6:.1f} MB, "
          f"{written.files} files beside it")  # fmt: skip


def label(number: int, row_ids: list[str]) -> dict[str, object]:
    exemplar = {"row_id": row_ids[number], "index": number, "side": "chosen", "kind": "nearest", "text": "one two",
                "positions": [1], "tokens": ["two"]}  # fmt: skip
    return {"label": f"cluster {number}", "top_tokens": [], "ngrams": [], "correlates": [], "exemplars": [exemplar],
            "n_features": PER_CLUSTER, "n_rows": ROWS // 64}  # fmt: skip


def measure(run: Path) -> None:
    from playwright.sync_api import sync_playwright

    page = run / artifacts.REPORT / artifacts.REPORT_PAGE
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    print(f"{run}: page {page.stat().st_size / 1e6:.1f} MB; median seconds of 5, worst in brackets")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for view, selector in SECTIONS.items():
            seconds = []
            for _ in range(5):
                context = browser.new_context(offline=True)
                tab = context.new_page()
                start = time.perf_counter()
                tab.goto(f"file://{page.resolve()}#view={view}", wait_until="commit")
                tab.locator(f"main[data-view={view}] :is({selector})").first.wait_for()
                seconds.append(time.perf_counter() - start)
                context.close()
            print(f"  {view:8} {statistics.median(seconds):5.2f} ({max(seconds):.2f})", flush=True)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="run directory with a report; default: 100,000 synthetic rows")
    chosen = parser.parse_args().run
    if chosen is not None:
        measure(chosen)
    else:
        with tempfile.TemporaryDirectory(prefix="anatomy-") as name:
            synthetic(Path(name))
            measure(Path(name))
