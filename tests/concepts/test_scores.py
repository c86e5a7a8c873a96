"""Scores of detectors over rows: equal to a brute-force pass, kept by shard, added to without a second pass."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.artifacts import read_table, record_outputs
from anatomy.concepts import scored_tokens
from anatomy.concepts.scored_tokens import write_scored_tokens
from anatomy.concepts.scorer import Span, pool_scores
from anatomy.concepts.scores import Scores, read_scores, score_rows
from anatomy.data import shard_cache
from anatomy.errors import RunError
from anatomy.naming.concept_labels import highest
from anatomy.settings import ModelSettings
from anatomy.types import SIDES, Pair
from probes.text_heuristic import TextHeuristic


def recorded(path):
    record_outputs(path.parent, [path.name])
    return path


class Projection:
    """A fixed direction at one layer."""

    kind, threshold = "difference-of-means", 0.0

    def __init__(self, concept: str, layer: int, pooling: str = "max") -> None:
        self.concept, self.layer, self.pooling, self.fingerprint = concept, layer, pooling, f"{concept}-{layer}"
        self.w_D = torch.randn(32, generator=torch.Generator().manual_seed(layer))

    def score_tokens(self, span):
        return (span.hidden[self.layer] @ self.w_D).double().numpy()


@pytest.fixture(scope="module")
def bundle(tiny_model_dir):
    settings = ModelSettings(model=str(tiny_model_dir("llama")), device="cpu", dtype="float32")
    tokenizer = load_tokenizer(settings)
    return SimpleNamespace(settings=settings, tokenizer=tokenizer, subject=load_subject(settings, tokenizer))


def pairs(number: int) -> list[Pair]:
    def say(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    return [
        Pair(i, [{"role": "user", "content": f"Why {i // 2}?"}], say(f"Good dog {i}"), say("The same lazy dog."))
        for i in range(number)
    ]


def run(bundle, out, rows, scorers, subject=None):
    subject = subject or (lambda: bundle.subject)
    score_rows(rows, scorers, bundle.tokenizer, subject, out, "made", bundle.settings)


def test_scores_equal_a_brute_force_pass(bundle, tmp_path, tiny_model_dir):
    rows = pairs(7)
    scorers = [Projection("a", 1), Projection("b", 2, "mean")]  # HF norms the last block's output
    run(bundle, tmp_path, rows, scorers)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"), dtype=torch.float32)
    for scorer in scorers:
        found = read_scores(tmp_path / scorer.concept)
        assert found.row_ids == [pair.row_id for pair in rows]
        for row, pair in enumerate(rows):
            for column, side in enumerate(SIDES):
                encoded = encode_row(pair, bundle.tokenizer, bundle.settings).sides[side]
                hidden = model(torch.tensor(encoded.ids[None]).long(), output_hidden_states=True).hidden_states
                x_TD = hidden[scorer.layer + 1][0].detach()[torch.tensor(encoded.spans["response"])]
                expected = (x_TD @ scorer.w_D).double().numpy()
                assert found.score_NS[row, column] == pytest.approx(pool_scores(expected, scorer.pooling), rel=1e-4)
                assert found.at_NS[row, column] == expected.argmax()


def test_shards_are_kept_resumed_and_added_to(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_cache, "SHARD_ROWS", 3)
    rows = pairs(8)
    run(bundle, tmp_path, rows, [Projection("a", 1)])
    shards = sorted((tmp_path / "a").iterdir())
    before = {path: path.read_bytes() for path in shards}
    assert len(shards) == 3
    shards[1].unlink()
    run(bundle, tmp_path, rows, [Projection("a", 1)])
    assert {path: path.read_bytes() for path in shards} == before
    times = {path: path.stat().st_mtime_ns for path in shards}
    run(bundle, tmp_path, rows, [Projection("a", 1), Projection("b", 2)])
    assert {path: path.stat().st_mtime_ns for path in shards} == times
    assert len(list((tmp_path / "b").iterdir())) == 3

    def never():
        raise AssertionError("the model was asked for")

    run(bundle, tmp_path, rows, [Projection("a", 1), Projection("b", 2)], never)
    run(bundle, tmp_path, rows[:4], [Projection("a", 1)])
    assert len(read_scores(tmp_path / "a").row_ids) == 4


def test_another_detector_of_the_name_scores_again(bundle, tmp_path):
    run(bundle, tmp_path, pairs(4), [Projection("a", 1)])
    first = read_scores(tmp_path / "a").score_NS
    run(bundle, tmp_path, pairs(4), [Projection("a", 2)])
    assert not np.allclose(read_scores(tmp_path / "a").score_NS, first)


def test_missing_shards_are_one_line(tmp_path):
    with pytest.raises(RunError, match="no scores; run `anatomy probe score`"):
        read_scores(tmp_path)


def test_difference_is_signed_and_in_standard_deviations():
    # four scores with mean 1.5 and deviation sqrt(0.75)
    found = Scores(["x", "y"], ["p", "q"], np.array([[3.0, 1.0], [1.0, 1.0]]), np.zeros((2, 2), int))
    assert found.standardised_difference() == pytest.approx([2 / 0.75**0.5, 0])
    flat = found._replace(score_NS=np.ones((2, 2)))
    assert flat.standardised_difference().tolist() == [0, 0]
    missing = found._replace(score_NS=np.array([[1.0, 0.0], [np.nan, 0.0]]))
    with pytest.raises(RunError, match=f"row {found.row_ids[1]}: a response has no score"):
        missing.standardised_difference()


def test_exemplars_are_the_highest_responses_one_a_prompt():
    score = np.array([[5.0, 1.0], [4.0, 9.0], [7.0, np.nan]])
    found = Scores(["x", "y", "z"], ["p", "p", "q"], score, np.array([[0, 0], [0, 2], [1, -1]]))
    assert highest(found) == [(1, 1, 2), (2, 0, 1)]


def test_kept_token_scores_are_those_of_the_detector_on_its_own_pass(bundle, tmp_path, tiny_model_dir, monkeypatch):
    monkeypatch.setattr(scored_tokens, "PIECE", 2)
    rows = pairs(5)
    scorers = [Projection("a", 1), Projection("b", 2, "mean")]
    done: list[int] = []
    kept = {number: rows[number] for number in (4, 0, 3)}
    path = tmp_path / "kept.parquet"
    write_scored_tokens(path, kept, scorers, bundle.tokenizer, lambda: bundle.subject, bundle.settings, done.append)
    found = {(line["concept"], line["row"]): line for line in read_table(recorded(path)).to_pylist()}
    assert set(found) == {(name, number) for name in "ab" for number in kept}
    assert sum(done) == len(kept)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir("llama"), dtype=torch.float32)
    for scorer in scorers:
        for number, pair in kept.items():
            assert found[scorer.concept, number]["row_id"] == pair.row_id
            for side in SIDES:
                encoded = encode_row(pair, bundle.tokenizer, bundle.settings).sides[side]
                hidden = model(torch.tensor(encoded.ids[None]).long(), output_hidden_states=True).hidden_states
                x_TD = hidden[scorer.layer + 1][0].detach()[torch.tensor(encoded.spans["response"])]
                expected = scorer.score_tokens(Span(encoded.text, encoded.offsets_R2, {scorer.layer: x_TD}))
                assert found[scorer.concept, number][side] == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)


def test_kept_token_scores_of_a_text_rule_mark_the_tokens_that_overlap_it_without_a_model(bundle, tmp_path):
    texts = ("A **bold** word, then **two more** of them.", "None of it * here **.")
    pair = Pair(0, [{"role": "user", "content": "Why?"}], *([{"role": "assistant", "content": text}] for text in texts))

    def never():
        raise AssertionError("the model was asked for")

    path = tmp_path / "kept.parquet"
    write_scored_tokens(path, {7: pair}, [TextHeuristic("bold", "bold")], bundle.tokenizer, never, bundle.settings)
    (line,) = read_table(recorded(path)).to_pylist()
    ranges = [match.span() for match in re.finditer(r"\*\*\w[^*]*\*\*", texts[0])]
    assert len(ranges) == 2
    for side, text, planted in zip(SIDES, texts, (ranges, []), strict=True):
        places = bundle.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        overlaps = [
            float(any(start < stop_r and stop > start_r for start_r, stop_r in planted)) for start, stop in places
        ]
        assert line[side] == overlaps
    assert 0 < sum(line["chosen"]) < len(line["chosen"])
