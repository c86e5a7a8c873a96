"""Two trainings that differ in a few rows: rows that line up, likelihoods, and the difference weighted by them."""

import numpy as np
import pytest
import torch
from scipy import stats

from anatomy.activations.layers import hf_model
from anatomy.data.load import read_pairs
from anatomy.settings import ModelSettings, RowSettings
from anatomy.types import Pair
from anatomy.validation.policy import load_policy
from anatomy.validation.rollouts import Rollouts
from experiments.prediction.likelihood import likelihood
from experiments.prediction.near import terms
from experiments.prediction.sets import TRAIN, without, write_split


def row_ids(path):
    return [row.row_id for row in read_pairs(RowSettings(rows=str(path)))]


def test_rows_of_two_arms_line_up(data, tmp_path):
    """A row that both are trained without, two more each: the arms differ where these stand in turn."""
    write_split(data, "alpaca_eval", tmp_path, pairs=12, held_out=10)
    ids = row_ids(tmp_path / TRAIN)
    top, random = {ids[1], ids[4], ids[9]}, {ids[4], ids[6], ids[11]}
    without(tmp_path / TRAIN, random, tmp_path / "random.jsonl", random)
    without(tmp_path / TRAIN, top, tmp_path / "top.jsonl", random)
    ours, theirs = row_ids(tmp_path / "top.jsonl"), row_ids(tmp_path / "random.jsonl")
    assert theirs == [row for row in ids if row not in random]
    assert set(ours) == set(ids) - top
    assert len(ours) == len(theirs)
    assert [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other] == [
        (ids[6], ids[1]), (ids[11], ids[9])
    ]  # fmt: skip


def policies(step: float, size: int = 40, seed: int = 0):
    """Two distributions over ``size`` responses, ``step`` apart, with a readout of each response."""
    rng = np.random.default_rng(seed)
    logits, push, value_S = rng.normal(size=(3, size))
    both = []
    for sign in (1, -1):
        chance_S = np.exp(logits + sign * step * push)
        both.append(chance_S / chance_S.sum())
    return (*both, value_S + 5)


@pytest.mark.parametrize("step", [0.01, 0.5, 20.0])
def test_the_mean_of_the_terms_is_the_difference(step):
    """Summed over all responses, whatever the baseline; far apart it is the plain difference, equal models give 0."""
    first_S, second_S, value_S = policies(step)
    ratio_S = np.log(first_S) - np.log(second_S)
    truth = (first_S - second_S) @ value_S
    for baseline in (0.0, 5.0):
        term_S = terms(value_S[:, None], ratio_S, np.full((40, 1), baseline))[:, 0]
        assert (first_S + second_S) / 2 @ term_S == pytest.approx(truth, abs=1e-12)
    assert not terms(value_S[:, None], np.zeros(40), np.zeros((40, 1))).any()
    apart = np.array([50.0, -50.0])
    np.testing.assert_allclose(terms(np.array([[3.0], [1.0]]), apart, np.zeros((2, 1))).mean(), 3.0 - 1.0)


def test_intervals_by_likelihood_hold_the_truth_and_are_narrow():
    """Of 600 pairs of arms, 150 prompts with two completions each: 95 % [93, 97] hold; a fifth of the plain width."""
    rng = np.random.default_rng(1)
    parts = [policies(0.05, seed=prompt) for prompt in range(150)]
    truth = float(np.mean([(first_S - second_S) @ value_S for first_S, second_S, value_S in parts]))
    held, widths = 0, []
    for _ in range(600):
        found, plain = [], []
        for first_S, second_S, value_S in parts:
            seen = np.concatenate([rng.choice(40, 2, p=chance_S) for chance_S in (first_S, second_S)])
            ratio_Q = np.log(first_S[seen]) - np.log(second_S[seen])
            found.append(terms(value_S[seen][:, None], ratio_Q, np.full((4, 1), 5.0)).mean())
            plain.append(value_S[seen[:2]].mean() - value_S[seen[2:]].mean())
        low, high = stats.ttest_1samp(found, 0).confidence_interval()
        held += low <= truth <= high
        widths.append((high - low) / np.ptp(stats.ttest_1samp(plain, 0).confidence_interval()))
    assert 558 <= held <= 582
    assert np.mean(widths) < 0.2


def test_likelihoods_are_those_of_the_models_own_loss(tiny_model_dir):
    """A completion that was cut off has no end; one that ended by itself has the end of text counted."""
    settings = ModelSettings(model=str(tiny_model_dir("llama")), device="cpu", dtype="float32")
    subject, tokenizer = load_policy(settings)
    turns = [{"role": "user", "content": "Why is it good?"}]
    prompt = Pair(0, turns, (), ()).prompt_id
    texts = {(prompt, 0): "Because it is good", (prompt, 1): "Because it is good because it is good because it is good"}
    tokens = {key: tokenizer(text, add_special_tokens=False)["input_ids"] for key, text in texts.items()}
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": len(tokens[prompt, 1])}
    assert len(tokens[prompt, 0]) <= sampling["max_new_tokens"] - 2
    side = Rollouts(texts, {prompt: turns}, {"sampling": sampling})
    table = likelihood([side, side], settings).to_pandas()
    assert table[["side", "sample"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    opened = tokenizer.apply_chat_template(turns, tokenize=True, add_generation_prompt=True, return_dict=False)
    for (_, sample), reply in tokens.items():
        counted = [*reply, tokenizer.eos_token_id] if sample == 0 else reply
        ids = torch.tensor([[*opened, *counted]])
        labels = ids.clone()
        labels[:, : len(opened)] = -100
        with torch.inference_mode():
            loss = float(hf_model(subject)(ids, labels=labels).loss) * len(counted)
        found = table[table["sample"] == sample]["log_prob"]
        np.testing.assert_allclose(found, -loss, rtol=1e-4)
    greedy = Rollouts(texts, {prompt: turns}, {"sampling": sampling | {"temperature": 0.7}})
    with pytest.raises(SystemExit, match="temperature 1"):
        likelihood([greedy], settings)
