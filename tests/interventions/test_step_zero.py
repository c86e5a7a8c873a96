"""The offset of a steering vector before training: against sequences run one by one, and what is said of its sign."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anatomy.activations.layers import hf_model
from anatomy.activations.model import load_subject, load_tokenizer
from anatomy.activations.spans import encode_row
from anatomy.activations.steering import steered
from anatomy.settings import ModelSettings
from anatomy.types import Pair
from interventions.backends.pair_edits import PairEdit, SideEdit, SteeringVector
from interventions.training.plan_preview import StepZero, step_zero_changes


@pytest.fixture(scope="module")
def bundle(tiny_model_dir):
    settings = ModelSettings(model=str(tiny_model_dir("llama")), device="cpu", dtype="float32")
    tokenizer = load_tokenizer(settings)
    return SimpleNamespace(settings=settings, tokenizer=tokenizer, subject=load_subject(settings, tokenizer))


def pairs() -> list[Pair]:
    def say(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    texts = ["a good dog", "the quick brown fox jumps", "**Bold**", "why not", "because it is fine"]
    users = [[{"role": "user", "content": f"Say {n} " * (n + 1)}] for n in range(5)]
    return [Pair(n, users[n], say(texts[n]), say(texts[n - 1])) for n in range(5)]


def edits(found: list[Pair], chosen: tuple[int, ...], rejected: tuple[int, ...]) -> list[PairEdit]:
    sides = {"chosen": SideEdit(steered=chosen), "rejected": SideEdit(steered=rejected)}
    return [PairEdit(pair.row_id, **sides) for pair in found]


def log_prob(bundle, pair: Pair, side: str, vector: SteeringVector | None) -> float:
    """Return the log-probability of one response with its end; no batch, no hook.

    The vector is added from the first token of the user's words on.
    """
    model = hf_model(bundle.subject)
    messages = [*pair.prompt, *pair.side(side)]
    ids = bundle.tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    opened = bundle.tokenizer.apply_chat_template(list(pair.prompt), add_generation_prompt=True, return_dict=True)
    start = int(np.flatnonzero(encode_row(pair, bundle.tokenizer, bundle.settings).sides[side].spans["prompt"])[0])
    with torch.inference_mode():
        if vector is None:
            logits = model(torch.tensor([ids])).logits[0]
        else:
            with steered(model, vector.layer, vector.vector_D, 1.0, start):
                logits = model(torch.tensor([ids])).logits[0]
    logps = logits.double().log_softmax(-1)
    return sum(float(logps[place - 1, ids[place]]) for place in range(len(opened["input_ids"]), len(ids)))


@pytest.mark.parametrize(("chosen", "rejected"), [((0,), (0,)), ((0,), ()), ((), (0,))])
def test_changes_equal_sequences_run_one_by_one(bundle, chosen, rejected):
    found = pairs()
    vector = SteeringVector("u", 1, 2.0 * torch.randn(32, generator=torch.Generator().manual_seed(1)))
    change_2N = step_zero_changes(bundle, found, edits(found, chosen, rejected), vector)
    opposite = SteeringVector("u", 1, -vector.vector_D)
    for pair, *changes in zip(found, *change_2N, strict=True):
        for change, direction in zip(changes, (vector, opposite), strict=True):
            expected = 0.0
            for side, sign, which in (("chosen", 1, chosen), ("rejected", -1, rejected)):
                if which:
                    expected += sign * (log_prob(bundle, pair, side, direction) - log_prob(bundle, pair, side, None))
            assert change == pytest.approx(expected, abs=2e-4)
            assert abs(change) > 0.01


def test_unsteered_pairs_do_not_change(bundle):
    found = pairs()
    vector = SteeringVector("u", 1, torch.ones(32))
    assert not step_zero_changes(bundle, found, edits(found, (), ()), vector).any()


def test_the_sign_that_is_reported():
    """Gaps ±1, 1, 1, 1 and 0: aligned changes 3, 2, 2, 1, of mean 2 and standard error √(2/3)/2 = 0.408.

    The 97.5 % quantile of Student's t with 3 degrees of freedom is 3.182: 2 ± 1.30.
    """
    gap_N = np.array([1.0, -1.0, 1.0, 1.0, 0.0])
    found = turned([3.0, -2.0, 2.0, 1.0, 50.0], gap_N)
    assert found == pytest.approx((4, 2.0, 6**-0.5, -2.0))
    assert "+2.00 ± 1.30 nats" in found.in_words("suppress")
    assert found.in_words("suppress").endswith("(4 pairs), as intended; -2.00 by the opposite vector")
    assert "WARNING: must be negative to amplify: lower the strength" in found.in_words("amplify")
    away = turned([-3.0, 2.0, -2.0, -1.0, 0.0], gap_N)
    assert "as intended" in away.in_words("amplify")
    assert "WARNING: must be positive to suppress" in away.in_words("suppress")
    for change_N in ([9.0, 8.0, -1.0, 1.0, 0.0], [-9.0, -8.0, 1.0, -1.0, 0.0]):
        unclear = turned(change_N, gap_N)
        assert all("the sign is uncertain" in unclear.in_words(way) for way in ("suppress", "amplify"))
    for few in (turned([], np.zeros(0)), turned([1.0], np.ones(1))):
        assert "the sign is uncertain" in few.in_words("suppress")


@pytest.mark.parametrize("direction", ["suppress", "amplify"])
@pytest.mark.parametrize("wrong", ["mean", "error", "opposite"])
def test_an_offset_that_is_no_number_is_never_as_intended(wrong, direction):
    sign = 1.0 if direction == "suppress" else -1.0
    sound = StepZero(pairs=20, mean=2.0 * sign, error=0.1, opposite=-2.0 * sign)
    assert "WARNING" not in sound.in_words(direction)
    assert "WARNING" in sound._replace(**{wrong: math.nan}).in_words(direction)


def turned(change_N: list[float], gap_N: np.ndarray) -> StepZero:
    """Return the step of changes whose sign turns with the vector's."""
    return StepZero.of(np.array([change_N, change_N]) * [[1], [-1]], gap_N)


def test_a_right_sign_that_the_opposite_vector_gives_too_is_no_good_sign():
    gap_N = np.ones(4)
    for opposite, broken in (([0.5, -0.3, 0.2, 0.3], True), ([-0.4, -0.3, 0.5, -0.4], False)):
        found = StepZero.of(np.array([[2.0, 1.9, 2.1, 2.0], opposite]), gap_N)
        assert ("text that breaks down" in found.in_words("suppress")) == broken
        assert ("as intended" in found.in_words("suppress")) != broken


def test_a_vector_along_a_pairs_own_gradient_has_the_intended_sign(bundle):
    found, model = pairs()[1:2], hf_model(bundle.subject)
    prompt = list(found[0].prompt)
    zero_D = torch.zeros(32, requires_grad=True)
    start = len(bundle.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"])
    sides = {}
    for side in ("chosen", "rejected"):
        ids = bundle.tokenizer.apply_chat_template([*prompt, *found[0].side(side)], return_dict=True)["input_ids"]
        with steered(model, 1, zero_D, 1.0):
            logps = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        sides[side] = sum(logps[place - 1, ids[place]] for place in range(start, len(ids)))
    (sides["chosen"] - sides["rejected"]).backward()
    unit_D = zero_D.grad / zero_D.grad.norm()
    changes = [
        step_zero_changes(bundle, found, edits(found, (0,), (0,)), SteeringVector("u", 1, alpha * unit_D))[:, 0]
        for alpha in (-0.1, 0.1)
    ]
    assert changes[0][0] < 0 < changes[1][0]
    np.testing.assert_array_equal(changes[0], changes[1][::-1])
