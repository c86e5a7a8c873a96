"""A small run directory whose dataset text tries to break out of Markdown, HTML and the terminal."""

import pyarrow as pa
import pytest
from support.run_samples import HOSTILE, find_rows, hypothesis, left, read_rows

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.report.markdown_summary import to_markdown
from anatomy.report.summary import summarise
from anatomy.runs.manifest import Manifest
from anatomy.settings import HypothesisSettings


@pytest.fixture
def hypotheses():
    rows = [
        hypothesis("global", "all", "R1", 0.2),
        hypothesis("global", "all", "R2", 0.9, q=0.2),
        hypothesis("feature", "D1", "R1", 0.3, **left("length", 0.1), verdict="mostly length"),
        hypothesis("feature", "D1", "R2", 0.4, half_b=0.05),
        hypothesis("feature", "D2", "R1", -0.5),
        hypothesis("feature", "D2", "R2", 0.8, stable=False),
        hypothesis("feature", "D3", "R2", 0.7, p=float("nan"), q=float("nan")),
        hypothesis("prompt", "P1", "S1", 0.6),
    ]
    return pa.Table.from_pylist(rows)


@pytest.fixture
def labels():
    exemplar = {"row_id": "r", "index": 4, "side": "chosen", "kind": "nearest"}
    about = {
        "top_tokens": [{"token": "praise", "weight": 0.5, "z": 9.0}],
        "ngrams": [{"ngram": "great question", "z": 8.0, "n_texts": 9}],
        "correlates": [{"concept": "bold", "r": 0.5}],
        "exemplars": [{**exemplar, "text": HOSTILE, "positions": [2], "tokens": ["\x1b[1m"]}],
        "n_spans": 50,
        "n_spans_sampled": 100,
    }
    responses = {"R1": (HOSTILE, 40), "R2": ("lists", 3), "S1": ("shift", 30)}
    contexts = {"D0": ("silent", 11), "D1": ("«physics», «light»", 200), "D2": ("«cooking»", 120), "D3": ("«tiny»", 7)}
    return {
        "response": {name: {**about, "label": text, "n_features": size} for name, (text, size) in responses.items()},
        "data": {name: {**about, "label": text, "n_rows": size} for name, (text, size) in contexts.items()},
        "prompt": {"P1": {**about, "label": "«code»", "n_features": 9}},
    }


@pytest.fixture
def health():
    parts = {
        "rows": 1000, "retained": 900, "format": "explicit",
        "reasons": {"tie": {"count": 60, "examples": [{"index": 2, "excerpt": HOSTILE}]},
                    "identical-pair": {"count": 40, "examples": []}},
        "flags": {"rating-against-label": {"count": 5, "examples": []}},
        "truncated": {"prompt": 8, "chosen": 0, "rejected": 3},
        "lengths": {"prompt": {"unit": "tokens", "mean": 40.4, "p5": 4, "p50": 30, "p95": 200, "max": 1234}},
        "prompts": {"distinct": 800, "largest_group": 12, "repeated_rows": 180},
        "responses": {"distinct": 1700, "repeated": 100},
        "sources": {"web": 700, HOSTILE: 200},
        "models": {"model-a": {"chosen": 700, "rejected": 100}},
        "baselines": {
            "longer wins": {"rule": "longer wins", "accuracy": 0.62, "low": 0.58, "high": 0.66, "decided": 0.97}
        },
        "sae": {"l0": 31.5, "variance_explained": 0.76, "dead_share": 0.2, "tokens": 50000, "claimed_l0": 32.0,
                "claimed_variance_explained": None, "outliers": 0, "faults": ["L0 is wrong"]},
    }  # fmt: skip
    return Health.model_validate(parts)


@pytest.fixture
def summary(hypotheses, labels, health):
    return summarise(hypotheses, labels, health, HypothesisSettings(), find_rows, read_rows)


@pytest.fixture
def run_dir(tmp_path, hypotheses, labels, health, summary):
    model, sae = {"name": "laptop", "origin": "test"}, {"name": "its own", "layer": 1}
    inputs = {"model": {**model, "fingerprint": "model"}, "sae": {**sae, "fingerprint": "sae"}}
    stages = {name: {"status": "complete", "fingerprint": name} for name in ("rows", "labels")}
    made = {"settings": {"rows": "set.jsonl", "seed": 0}, "inputs": inputs, "stages": stages}
    Manifest.model_validate(made).write(tmp_path / artifacts.MANIFEST)
    health.write(tmp_path / artifacts.HEALTH)
    artifacts.write_json(tmp_path / artifacts.LABELS, artifacts.with_checksum({"schema_version": 3, **labels}))
    summary.write(tmp_path / artifacts.SUMMARY)
    artifacts.write_table(tmp_path / artifacts.HYPOTHESES, hypotheses)
    artifacts.record_outputs(tmp_path, [artifacts.HYPOTHESES])
    artifacts.write_text(tmp_path / artifacts.SUMMARY_TEXT, to_markdown(summary))
    return tmp_path
