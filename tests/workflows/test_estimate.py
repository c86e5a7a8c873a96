"""The dry run is held against the run that it predicts: within a factor of two, on a set sorted by length."""

import json
import random
import time

import pytest
from support.tiny import save_sae

import anatomy
from anatomy import artifacts
from anatomy.activations.spans import encode_row
from anatomy.data.rows_table import read_rows
from anatomy.features.feature_store import FeatureStore
from anatomy.features.harvesting import harvest
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import HarvestSettings
from anatomy.workflows import estimate as estimate_workflow
from anatomy.workflows import pilot as pilot_workflow

WORDS = "the quick brown fox jumps over a lazy dog and why not because it is good fine thank you today".split()
PAIRS = 384
"""Three shards."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory, tiny_model_dir):
    """Settings of a set whose rows grow from 4 to 99 words, the shortest first."""
    folder = tmp_path_factory.mktemp("estimate")
    generator = random.Random(0)
    with (folder / "pairs.jsonl").open("w") as file:
        for number in range(PAIRS):
            chosen, rejected = (" ".join(generator.choices(WORDS, k=4 + number // 4)) for _ in range(2))
            file.write(json.dumps({"prompt": f"Say {number}", "chosen": chosen, "rejected": rejected}) + "\n")
    model = tiny_model_dir("llama")
    named = {"rows": str(folder / "pairs.jsonl"), "model": str(model), "sae": str(save_sae(folder / "sae", model))}
    return {**named, "device": "cpu", "dtype": "float32", "batch_tokens": 2048}


@pytest.fixture(scope="module")
def estimated(asked):
    """The dry run, timed by the processor time of this process, which other processes do not change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pilot_workflow, "clock", time.process_time)
        return anatomy.estimate(**asked)


def test_tokens_and_disk_are_those_of_the_run(asked, estimated, tmp_path):
    run = anatomy.harvest(**asked, out=tmp_path / "run")
    bundle = ModelBundle(HarvestSettings(**asked))
    encoded = [
        encode_row(stored.pair, bundle.tokenizer, bundle.settings) for stored in read_rows(run.path / artifacts.ROWS)
    ]
    tokens = sum(len(side.ids) for row in encoded for side in row.sides.values())
    assert estimated.rows == estimated.retained == PAIRS == FeatureStore(run.path / artifacts.FEATURES).n_rows
    assert estimated.pilot_rows < PAIRS / 2
    assert tokens / 2 < estimated.tokens < tokens * 2
    size = sum(path.stat().st_size for path in (run.path / artifacts.FEATURES).iterdir())
    assert size / 2 < estimated.bytes < size * 2


def test_time_is_that_of_the_run(asked, estimated, tmp_path):
    """By processor time, the quicker of two harvests: the same work in the same process."""
    settings = HarvestSettings(**asked)
    bundle = ModelBundle(settings)
    anatomy.harvest(**{**asked, "limit": PAIRS}, out=tmp_path / "run")
    seconds = []
    for number in range(2):
        pairs = [stored.pair for stored in read_rows(tmp_path / "run" / artifacts.ROWS)]
        start = time.process_time()
        harvest(pairs, bundle.tokenizer, bundle.subject, bundle.sae, tmp_path / str(number), "timed", settings)
        seconds.append(time.process_time() - start)
    assert min(seconds) / 2 < estimated.seconds < max(seconds) * 2


def test_the_text_says_what_was_measured(estimated):
    text = str(estimated)
    assert f"tokens:  about {estimated.tokens:,.0f} through the model" in text
    assert f"{PAIRS:,} read, {PAIRS:,} retained" in text
    assert f"about {estimated.bytes / 1e6:,.0f} MB of features" in text
    assert f"{estimated.seconds / 60:,.1f} minutes" in text
    assert estimated.memory == 3 * estimate_workflow.MOST_CLUSTERS * 4 * PAIRS


def test_nothing_is_written(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    anatomy.estimate(**asked, limit=20)
    assert list(tmp_path.iterdir()) == []
