"""The harvest: against a brute force without batches, resumed after kill -9, invalidated by what it depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support import killed_harvest
from support.tiny import TinySAE

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.spans import encode_row, span_tokens
from anatomy.data import shard_cache
from anatomy.errors import RunError, SettingsError
from anatomy.features.feature_store import FeatureStore
from anatomy.features.harvesting import harvest
from anatomy.sae.reconstruction import HealthSums, measure
from anatomy.settings import ModelSettings
from anatomy.types import SPANS, Pair

SCRIPT = Path(killed_harvest.__file__)
PAIRS = killed_harvest.pairs()


@pytest.fixture(scope="module")
def bundle(tiny_model_dir):
    settings = ModelSettings(model=str(tiny_model_dir("llama")), **killed_harvest.SETTINGS)
    tokenizer = load_tokenizer(settings)
    return tokenizer, load_subject(settings, tokenizer), settings


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shard_cache, "SHARD_ROWS", killed_harvest.SHARD_ROWS)


def run(bundle, out, pairs=PAIRS, sae=None, fingerprint="f", **extra) -> HealthSums:
    tokenizer, subject, settings = bundle
    return harvest(pairs, tokenizer, subject, sae or TinySAE(), out, fingerprint, settings, **extra)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def side_activations(bundle, ids_T) -> np.ndarray:
    """SAE activations of one unpadded sequence, from the plain HF forward pass inside the bridge."""
    _, subject, _ = bundle
    with torch.inference_mode():
        ids_1T = torch.from_numpy(ids_T)[None].long()
        states = subject.bridge.original_model(ids_1T, output_hidden_states=True).hidden_states
    return TinySAE().encode(states[2][0]).numpy()  # after block 1


def test_pooled_features_equal_brute_force(bundle, tmp_path, small_shards):
    tokenizer, _, settings = bundle
    run(bundle, tmp_path)
    store = FeatureStore(tmp_path)
    assert store.row_ids == [pair.row_id for pair in PAIRS]
    assert store.prompt_ids == [pair.prompt_id for pair in PAIRS]
    found = {(span, name): store.matrix(span, name).toarray() for span in SPANS for name in ("max", "freq", "at")}
    cut = 0
    for row, pair in enumerate(PAIRS):
        encoded = encode_row(pair, tokenizer, settings)
        cut += encoded.truncated["chosen"]
        for span in SPANS:
            side, kind = encoded.span(span)
            mask = side.spans[kind]
            a_TF = side_activations(bundle, side.ids)[mask]
            clear = np.abs(a_TF - 1.0).min(0) > 1e-4  # within rounding of the threshold, firing is chance
            assert store.tokens(span)[row] == mask.sum() == len(span_tokens(encoded, span, tokenizer))
            np.testing.assert_allclose(found[span, "max"][row][clear], a_TF.max(0)[clear], rtol=2e-3, atol=1e-3)
            np.testing.assert_allclose(found[span, "freq"][row][clear], (a_TF > 0).mean(0)[clear], rtol=1e-6)
            at = found[span, "at"][row].astype(int)
            fires = np.flatnonzero(at)
            np.testing.assert_allclose(a_TF[at[fires] - 1, fires], a_TF.max(0)[fires], rtol=1e-3)
    assert cut > 0


@pytest.mark.parametrize("point", ["encode", "write"])
def test_a_killed_harvest_goes_on_to_the_same_bytes(point, bundle, tiny_model_dir, tmp_path, small_shards):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, str(SCRIPT), str(tiny_model_dir("llama")), str(killed), point]
    assert subprocess.run(command, check=False, timeout=200).returncode == -9
    before = {path: path.stat().st_mtime_ns for path in killed.glob("shard-*")}
    assert len(before) == 2
    run(bundle, killed)
    run(bundle, whole)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents(killed) == contents(whole)


def test_only_what_is_done_with_the_same_inputs_is_kept(bundle, tmp_path, small_shards):
    def refuse(_):
        raise AssertionError("encoded again")

    asleep = TinySAE()
    asleep.encode = refuse
    first = run(bundle, tmp_path)
    again = run(bundle, tmp_path, sae=asleep)
    assert again.tokens == first.tokens > 0
    np.testing.assert_array_equal(again.fires, first.fires)
    for change in ({"fingerprint": "other"}, {"pairs": PAIRS[1:]}, {"pairs": PAIRS[::-1]}):
        with pytest.raises(AssertionError, match="encoded again"):
            run(bundle, tmp_path, **{"sae": asleep, **change})


def test_shards_of_a_longer_set_are_removed(bundle, tmp_path, small_shards):
    run(bundle, tmp_path)
    run(bundle, tmp_path, pairs=PAIRS[:10])
    assert FeatureStore(tmp_path).row_ids == [pair.row_id for pair in PAIRS[:10]]


def test_a_shard_does_not_depend_on_its_neighbours(bundle, tmp_path, small_shards):
    run(bundle, tmp_path / "all")
    run(bundle, tmp_path / "second", pairs=PAIRS[6:12])
    shards = [list(contents(tmp_path / name).values()) for name in ("all", "second")]
    assert shards[1] == shards[0][1:2]


def test_identical_sequences_run_once(bundle, tmp_path):
    one = run(bundle, tmp_path / "one", pairs=PAIRS[:1])
    many = run(bundle, tmp_path / "many", pairs=[PAIRS[0]] * 12)
    assert many.tokens == one.tokens
    found = FeatureStore(tmp_path / "many").matrix("rejected", "max").toarray()
    np.testing.assert_array_equal(
        found, np.repeat(FeatureStore(tmp_path / "one").matrix("rejected", "max").toarray(), 12, 0)
    )


def test_health_covers_exactly_the_tokens_in_spans(bundle, tmp_path):
    tokenizer, subject, settings = bundle
    encoded = encode_row(PAIRS[5], tokenizer, settings)
    sides = [(encoded.sides["chosen"], ("prompt", "response")), (encoded.sides["rejected"], ("response",))]
    x_parts = []
    for side, kinds in sides:
        with torch.inference_mode():
            ids_1T = torch.from_numpy(side.ids)[None].long()
            states = subject.bridge.original_model(ids_1T, output_hidden_states=True).hidden_states
        x_parts.append(states[2][0][np.logical_or.reduce([side.spans[kind] for kind in kinds])])
    expected = measure(TinySAE(), torch.cat(x_parts))
    found = run(bundle, tmp_path, pairs=[PAIRS[5]])
    assert found.tokens == expected.tokens
    np.testing.assert_allclose(found.error_sum, expected.error_sum, rtol=1e-4)
    np.testing.assert_allclose(found.norm_sum, expected.norm_sum, rtol=1e-4)
    np.testing.assert_allclose(found.x_sum, expected.x_sum, rtol=1e-3, atol=1e-3)
    assert found.l0_sum == found.fires.sum()


def test_the_check_sees_the_first_shard_and_may_stop(bundle, tmp_path, small_shards):
    def stop(sums):
        raise RuntimeError(f"unhealthy after {sums.tokens}")

    with pytest.raises(RuntimeError, match="unhealthy after"):
        run(bundle, tmp_path, check=stop)
    assert len(list(tmp_path.iterdir())) == 1


def test_progress_counts_rows(bundle, tmp_path, small_shards):
    done = []
    run(bundle, tmp_path, progress=done.append)
    assert sum(done) == len(PAIRS)


def test_rows_without_a_response_are_refused(bundle, tmp_path):
    user, empty = [{"role": "user", "content": "hi"}], [{"role": "assistant", "content": ""}]
    with pytest.raises(RunError, match="row 3: empty-response"):
        run(bundle, tmp_path, pairs=[Pair(3, user, empty, PAIRS[0].rejected)])


def test_counts_that_do_not_fit_are_refused(bundle, tmp_path):
    tokenizer, subject, settings = bundle
    long = settings.model_copy(update={"max_length": 70_000})
    with pytest.raises(SettingsError, match="16-bit"):
        harvest(PAIRS, tokenizer, subject, TinySAE(), tmp_path, "f", long)
