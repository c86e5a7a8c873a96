"""Mean log-probabilities against Hugging Face's own loss, one sequence at a time, and their resuming."""

import numpy as np
import torch

from anatomy.activations.layers import hf_model
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.rollouts.log_probs import log_probs
from anatomy.settings import ModelSettings
from anatomy.types import Pair, Response


def pair(number: int) -> Pair:
    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    replies = ("Because it is good " * (1 + number % 3), "I am fine")
    return Pair(number, turn("user", f"Why {number}?"), *(turn("assistant", text) for text in replies))


def test_against_the_loss_of_each_sequence(tiny_model_dir, tmp_path):
    settings = ModelSettings(model=str(tiny_model_dir("llama")), device="cpu", dtype="float32", batch_tokens=128)
    tokenizer = load_tokenizer(settings)
    subject = load_subject(settings, tokenizer)
    pairs = [pair(number) for number in range(7)]
    found = log_probs(pairs, tokenizer, subject, tmp_path, "mark", settings)
    for row, one in enumerate(pairs):
        encoded = encode_row(one, tokenizer, settings)
        for column, side in enumerate((encoded.sides["chosen"], encoded.sides["rejected"])):
            ids = torch.from_numpy(side.ids).long()[None]
            labels = torch.where(torch.from_numpy(side.spans["response"])[None], ids, -100)
            with torch.inference_mode():
                loss = hf_model(subject)(ids, labels=labels).loss
            np.testing.assert_allclose(found[row, column], -float(loss), rtol=1e-4)
    own = [Response(0, pairs[0].prompt, pairs[0].chosen)]
    single = log_probs(own, tokenizer, subject, tmp_path / "own", "mark", settings)
    np.testing.assert_allclose(single, found[:1, :1], rtol=1e-6)
    (shard,) = tmp_path.glob("shard-*")
    before = shard.stat().st_mtime_ns
    np.testing.assert_array_equal(log_probs(pairs, tokenizer, subject, tmp_path, "mark", settings), found)
    assert shard.stat().st_mtime_ns == before
    log_probs(pairs[:3], tokenizer, subject, tmp_path, "mark", settings)
    (other,) = tmp_path.glob("shard-*")
    assert other.name != shard.name
