"""Characters that token filtering leaves out: against brute force, by tokens and by whole words, and kept by shard."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.concepts.scores import read_scores, score_rows
from anatomy.data import shard_cache
from anatomy.data.rows_table import StoredPair
from anatomy.errors import PlanError
from anatomy.settings import ModelSettings
from anatomy.text.matchers import find_ranges
from anatomy.types import SIDES, Pair
from interventions.backends.pair_edits import PairEdit, SideEdit
from interventions.backends.token_masks import marked, token_masks
from interventions.training.token_rows import tokenise_pair
from probes.text_heuristic import TextHeuristic

TEXTS = [
    "A **bold dog**, and more.", "plain words only", "**x**", "the **quick** brown **fox** jumps", "no  **a b**\n\nend",
    "dogs", "why not **today**?", "**Because** it is", "thank you", "a lazy **dog**!", "fine", "**good**, **fine**",
]  # fmt: skip


class Projection:
    """A fixed direction at one layer."""

    kind, concept = "difference-of-means", "direction"

    def __init__(self, pooling: str = "max", threshold: float | None = 0.8) -> None:
        self.layer, self.pooling, self.threshold, self.fingerprint = 1, pooling, threshold, f"one {pooling}"
        self.w_D = torch.randn(32, generator=torch.Generator().manual_seed(3))

    def score_tokens(self, span):
        return (span.hidden[1] @ self.w_D).double().numpy()


@pytest.fixture(scope="module")
def bundle(tiny_model_dir):
    settings = ModelSettings(model=str(tiny_model_dir("llama")), device="cpu", dtype="float32")
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    return SimpleNamespace(settings=settings, tokenizer=tokenizer, subject=subject, token_settings=dict)


@pytest.fixture(scope="module")
def rows():
    def say(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    users = [[{"role": "user", "content": f"Why {n}?"}] for n in range(len(TEXTS))]
    pairs = [Pair(n, users[n], say(TEXTS[n]), say(TEXTS[-1 - n])) for n in range(len(TEXTS))]
    return [StoredPair(pair, pair.row_id, pair.prompt_id, "retained") for pair in pairs]


def masks(bundle, rows, scorer, folder, threshold=None, words=False):
    subject = (lambda: bundle.subject) if scorer.layer is not None else None
    score_rows([row.pair for row in rows], [scorer], bundle.tokenizer, subject, folder, "", bundle.settings)
    found = read_scores(folder / scorer.concept)
    return token_masks(rows, scorer, found, threshold, words, bundle, folder, lambda number: None)


def covered(ranges, size: int) -> np.ndarray:
    inside = np.zeros(size, bool)
    for start, stop in ranges:
        inside[start:stop] = True
    return inside


def test_tokens_of_a_text_heuristic_are_those_that_overlap_its_ranges(bundle, rows, tmp_path):
    found = masks(bundle, rows, TextHeuristic("bold", "bold"), tmp_path)
    for row, pair in zip(rows, found, strict=True):
        encoded = encode_row(row.pair, bundle.tokenizer, bundle.settings)
        for side, ranges in zip(SIDES, pair, strict=True):
            text = str(row.pair.side(side)[-1]["content"])
            bold = covered(find_ranges(text, "bold"), len(text))
            offsets = encoded.sides[side].offsets_R2.tolist()
            assert list(ranges) == [(start, stop) for start, stop in offsets if bold[start:stop].any()]


def test_words_are_whole(bundle, rows, tmp_path):
    found = masks(bundle, rows, TextHeuristic("bold", "bold"), tmp_path, words=True)
    seen = 0
    for row, pair in zip(rows, found, strict=True):
        for side, ranges in zip(SIDES, pair, strict=True):
            text = str(row.pair.side(side)[-1]["content"])
            bold, left_out = covered(find_ranges(text, "bold"), len(text)), covered(ranges, len(text))
            spaces = np.array([character.isspace() for character in text])
            for word in np.split(np.arange(len(text)), np.flatnonzero(np.diff(spaces)) + 1):
                if not spaces[word[0]]:
                    assert left_out[word].all() == left_out[word].any() == bold[word].any(), text
                    seen += left_out[word].any()
    assert seen > 10


def test_the_words_left_out_are_the_tokens_that_training_does_not_score(bundle, rows, tmp_path):
    found = masks(bundle, rows, TextHeuristic("bold", "bold"), tmp_path, words=True)
    row, (chosen, rejected) = rows[0], found[0]
    edit = PairEdit(row.row_id, chosen=SideEdit(masked=chosen), rejected=SideEdit(masked=rejected))
    line = tokenise_pair(row.pair, edit, bundle.tokenizer, 512)
    side = line["chosen"]
    left = [token for token, scored in zip(side["completion"], side["scored"], strict=True) if not scored]
    assert bundle.tokenizer.decode(left).strip() == "**bold dog**,"


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_tokens_of_a_direction_equal_a_brute_force_pass(bundle, rows, pooling, tmp_path, tiny_model_dir):
    scorer = Projection(pooling)
    found = masks(bundle, rows, scorer, tmp_path, threshold=0.5)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"), dtype=torch.float32)
    count = 0
    for row, pair in zip(rows, found, strict=True):
        for name, ranges in zip(SIDES, pair, strict=True):
            side = encode_row(row.pair, bundle.tokenizer, bundle.settings).sides[name]
            hidden = model(torch.tensor(side.ids[None]).long(), output_hidden_states=True).hidden_states[2][0]
            flagged = (hidden[torch.tensor(side.spans["response"])] @ scorer.w_D >= 0.5).tolist()
            assert list(ranges) == [
                tuple(at) for at, flag in zip(side.offsets_R2.tolist(), flagged, strict=True) if flag
            ]
            count += sum(flagged)
    assert count > 20


def test_shards_are_kept_and_another_threshold_is_another_mask(bundle, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache, "SHARD_ROWS", 5)
    whole = masks(bundle, rows, Projection(), tmp_path)
    shards = sorted(tmp_path.glob("direction/masks-*/*"))
    assert len(shards) == 3
    times = {path: path.stat().st_mtime_ns for path in shards}
    shards[1].unlink()
    assert masks(bundle, rows, Projection(), tmp_path) == whole
    assert {path for path in shards if path.stat().st_mtime_ns == times[path]} == {shards[0], shards[2]}
    assert masks(bundle, rows, Projection(), tmp_path, threshold=0.2) != whole
    assert masks(bundle, rows[3:], Projection(), tmp_path) == whole[3:]


@pytest.mark.parametrize("scorer", [Projection("max", None), Projection("mean", 0.8)])
def test_a_detector_without_a_threshold_of_tokens_asks_for_one(bundle, rows, scorer, tmp_path):
    with pytest.raises(PlanError, match=r"write `options\.threshold`"):
        masks(bundle, rows, scorer, tmp_path)


def test_ranges_by_hand():
    text = "ab cd\n\nef"
    offsets_T2 = np.array([[0, 1], [1, 4], [4, 5], [5, 7], [7, 9]])  # "a", "b c", "d", "\n\n", "ef"
    flags = np.array([False, True, False, True, False])
    assert marked(text, offsets_T2, flags, words=False) == [[1, 4], [5, 7]]
    assert marked(text, offsets_T2, flags, words=True) == [[0, 2], [3, 5], [5, 7]]
