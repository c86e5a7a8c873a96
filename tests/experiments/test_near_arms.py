"""Two trainings that differ in a few rows: rows that line up, likelihoods, and the difference weighted by them."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer

from anatomy.activations.generate import Completion
from anatomy.cli.app import main
from anatomy.data.pair_stream import read_pairs
from anatomy.errors import RunError
from anatomy.rollouts.rollout_set import Prompt, drawn_tokens, read_rollouts, save_rollouts
from anatomy.settings import ModelSettings, RowSettings
from anatomy.types import Pair
from experiments.prediction import run
from experiments.prediction.arms import _less
from experiments.prediction.likelihood import likelihood
from experiments.prediction.likelihood import main as read_likelihood
from experiments.prediction.near import log_probs, samples, weighted, weights
from experiments.prediction.preference_sets import TRAIN, without, write_split


def row_ids(path):
    return [row.row_id for row in read_pairs(RowSettings(rows=str(path)))]


def test_rows_of_two_arms_line_up(data, tmp_path):
    """A row that both are trained without, two more each: the arms differ where these stand in turn."""
    write_split(data, "alpaca_eval", tmp_path, pairs=12, held_out=10)
    ids = row_ids(tmp_path / TRAIN)
    top, random = {ids[1], ids[4], ids[9]}, {ids[4], ids[6], ids[11]}
    without(tmp_path / TRAIN, random, tmp_path / "random.jsonl", random)
    without(tmp_path / TRAIN, top, tmp_path / "top.jsonl", random)
    without(tmp_path / TRAIN, top, tmp_path / "top.jsonl", random)
    ours, theirs = row_ids(tmp_path / "top.jsonl"), row_ids(tmp_path / "random.jsonl")
    assert theirs == [row for row in ids if row not in random]
    assert set(ours) == set(ids) - top
    assert len(ours) == len(theirs)
    assert [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other] == [
        (ids[6], ids[1]), (ids[11], ids[9])
    ]  # fmt: skip
    with pytest.raises(RunError, match="rows of another plan"):
        without(tmp_path / TRAIN, random, tmp_path / "top.jsonl", random)
    with pytest.raises(ValueError, match="shorter"):
        without(tmp_path / TRAIN, top, tmp_path / "none.jsonl", {ids[4]})


def test_shares_are_of_a_leave_out_curve(capsys):
    words = ["--data", "d", "--out", "o", "--shares"]
    assert run.parse([*words, "0.01", "--leave-out", "R3"]).shares == [0.01]
    for wrong in (["0.01"], ["0.02", "--leave-out", "R3"]):
        with pytest.raises(SystemExit):
            run.parse([*words, *wrong])
    assert "--leave-out as well" in capsys.readouterr().err


def policies(step: float, size: int = 40, seed: int = 0):
    """Two distributions over ``size`` responses, ``step`` apart, with a readout of each response."""
    rng = np.random.default_rng(seed)
    logits, push, value_S = rng.normal(size=(3, size))
    both = []
    for sign in (1, -1):
        chance_S = np.exp(logits + sign * step * push)
        both.append(chance_S / chance_S.sum())
    return (*both, value_S + 5)


@pytest.mark.parametrize("step", [0.0, 0.01, 0.5, 20.0])
def test_weights_give_the_difference_of_the_means(step):
    """Summed over all responses, whatever the baseline."""
    first_S, second_S, value_S = policies(step)
    weight_S, mixture_S = weights(np.log(first_S) - np.log(second_S)), (first_S + second_S) / 2
    truth = (first_S - second_S) @ value_S
    for baseline in (0.0, 5.0):
        assert mixture_S @ (weight_S * (value_S - baseline)) == pytest.approx(truth, abs=1e-12)
    assert mixture_S @ weight_S == pytest.approx(0, abs=1e-12)


def test_far_apart_it_is_the_plain_difference_and_between_equals_nothing():
    value_JM = np.array([[3.0, 0.0], [5.0, 1.0], [7.0, 0.0], [1.0, 0.0], [2.0, 0.0], [4.0, 1.0]])
    prompts, baseline_NM = ["p", "q", "p"], np.full((3, 2), 0.7)
    far = weighted(value_JM, np.repeat([60.0, -60.0], 3), baseline_NM, prompts)
    np.testing.assert_allclose(far.loc["p"], [(3 + 7 - 1 - 4) / 2, -0.5])
    np.testing.assert_allclose(far.loc["q"], [3.0, 1.0])
    assert not weighted(value_JM, np.zeros(6), baseline_NM, prompts).to_numpy().any()
    one = weighted(value_JM, np.array([0.2, 0, 0, 0, 0, 0]), baseline_NM, prompts)
    np.testing.assert_allclose(one.loc["p", 0], 2 * np.tanh(0.1) * (3 - 0.7) / 4)
    assert not one.loc["q"].any()


def test_intervals_by_likelihood_hold_the_truth_and_are_narrow():
    """Of 600 pairs of arms, 150 prompts with two completions each: 95 % [93, 97] hold; a fifth of the plain width."""
    rng = np.random.default_rng(1)
    parts = [policies(0.05, seed=prompt) for prompt in range(150)]
    truth = float(np.mean([(first_S - second_S) @ value_S for first_S, second_S, value_S in parts]))
    prompts, held, widths = np.repeat(range(150), 2).astype(str), 0, []
    for _ in range(600):
        seen = [[rng.choice(40, 2, p=part[side]) for part in parts] for side in (0, 1)]
        value_J = np.concatenate([part[2][at] for side in seen for part, at in zip(parts, side, strict=True)])
        ratio_J = np.concatenate([np.log(part[0][at] / part[1][at]) for side in seen
                                  for part, at in zip(parts, side, strict=True)])  # fmt: skip
        found = weighted(value_J[:, None], ratio_J, np.full((300, 1), 5.0), list(prompts))[0]
        plain = (value_J[:300] - value_J[300:]).reshape(150, 2).mean(axis=1)
        low, high = stats.ttest_1samp(found, 0).confidence_interval()
        held += low <= truth <= high
        widths.append((high - low) / np.ptp(stats.ttest_1samp(plain, 0).confidence_interval()))
    assert 558 <= held <= 582
    assert np.mean(widths) < 0.2


def test_less_is_positive_where_less_of_the_shift_is_left():
    """A fall was predicted; without the rows that carry it the cluster stands 0.3 higher than without random ones."""
    rng = np.random.default_rng(0)
    top_minus_random = [pd.DataFrame({"R3": rng.normal(0.3, 0.1, 50)}) for _ in range(2)]
    found = _less(-np.sign(-4.0), top_minus_random, "R3")
    mean_G = (top_minus_random[0]["R3"] + top_minus_random[1]["R3"]) / 2
    assert [found["less: low"], found["less: high"]] == pytest.approx(
        list(stats.ttest_1samp(mean_G, 0).confidence_interval())
    )
    assert found["less: low"] > 0.2
    assert _less(-1.0, top_minus_random, "R3")["less"] == pytest.approx(-mean_G.mean())
    assert _less(1.0, top_minus_random, "bold")["less"] is None


def planted(folder, texts, model, prompts, **more):
    sampling = {"temperature": 1.0, "top_p": 1.0, "samples": 2, **more}
    facts = {"model": {"fingerprint": model}, "template": "t", "sampling": sampling}
    save_rollouts(folder, prompts, [Completion(text, [1]) for text in texts], facts)
    return read_rollouts(folder)


def test_log_probabilities_find_their_completions(tmp_path):
    """Rows in another order than the completions, one missing; completions after come first, side 1."""
    pairs = [Pair(0, [{"role": "user", "content": f"Say {n}"}], (), ()) for n in range(2)]
    prompts = [Prompt(pair.prompt_id, pair.prompt) for pair in pairs]
    before = planted(tmp_path / "b", ["b00", "b10", "b01", "b11"], "b", prompts)
    after = planted(tmp_path / "a", ["a00", "a10", "a01", "a11"], "a", prompts)
    wanted = [(prompts[1].prompt_id, 1), (prompts[0].prompt_id, 0), (prompts[1].prompt_id, 0)]
    rows = [Pair(0, before.prompts[key[0]], *([{"role": "assistant", "content": side.texts[key]}]
            for side in (after, before))).row_id for key in wanted]  # fmt: skip
    assert samples(rows, before, after) == wanted
    table = pd.DataFrame([(side, *key, 100 * side + 10 * (key[0] == prompts[1].prompt_id) + key[1])
                          for side in (0, 1) for key in sorted(before.texts)],
                         columns=["side", "prompt_id", "sample", "log_prob"])  # fmt: skip
    pq.write_table(pa.Table.from_pandas(table).replace_schema_metadata({"rollouts": "b a"}), tmp_path / "l.parquet")
    assert log_probs(tmp_path / "l.parquet", wanted, "b a").tolist() == [111, 100, 110, 11, 0, 10]
    with pytest.raises(RunError, match="other completions"):
        log_probs(tmp_path / "l.parquet", wanted, "b c")


@pytest.fixture
def two_models(tiny_model_dir, tmp_path):
    """Two tiny models a little apart, and what each completes: 40 prompts, 4 samples of at most 6 tokens."""
    first = tiny_model_dir("llama")
    model = AutoModelForCausalLM.from_pretrained(first)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * weight.std() * torch.randn_like(weight)
    model.save_pretrained(tmp_path / "second")
    AutoTokenizer.from_pretrained(first).save_pretrained(tmp_path / "second")
    rows = "".join(json.dumps({"prompt": f"Why is number {n} good?"}) + "\n" for n in range(40))
    (tmp_path / "prompts.jsonl").write_text(rows)
    models, folders = [first, tmp_path / "second"], [tmp_path / "from-first", tmp_path / "from-second"]
    for made_by, folder in zip(models, folders, strict=True):
        words = ["--model", made_by, "--prompts", tmp_path / "prompts.jsonl", "--out", folder, "--device", "cpu"]
        words += ["--dtype", "float32", "--max-new-tokens", "6", "--samples", "4"]
        assert main(["rollout", *map(str, words)]) == 0
    return models, folders


def test_likelihoods_are_those_of_the_models_own_loss_and_balance(two_models, tmp_path):
    """Each drawn token against the loss; the mean weight of what both drew is 0."""
    models, folders = two_models
    ratios = {}
    for number, model in enumerate(models):
        words = ["--model", model, "--rollouts", *folders, "--out", tmp_path / f"{number}.parquet", "--device", "cpu"]
        assert read_likelihood(list(map(str, words))) == 0
        ratios[number] = pd.read_parquet(tmp_path / f"{number}.parquet").set_index(["side", "prompt_id", "sample"])
    tokenizer, model = AutoTokenizer.from_pretrained(models[0]), AutoModelForCausalLM.from_pretrained(models[0])
    lengths = set()
    for side, folder in enumerate(folders):
        prompts = read_rollouts(folder).prompts
        for (prompt, sample), tokens in list(drawn_tokens(folder).items())[:60]:
            turns = list(prompts[prompt])
            opened = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
            labels = torch.tensor([[-100] * len(opened) + tokens])
            with torch.inference_mode():
                loss = float(model(torch.tensor([[*opened, *tokens]]), labels=labels).loss) * len(tokens)
            found = ratios[0].loc[(side, prompt, sample), "log_prob"]
            np.testing.assert_allclose(found, -loss, rtol=1e-4)
            lengths.add(len(tokens))
    assert len(lengths) > 1  # some ended by themselves
    weight = weights((ratios[0]["log_prob"] - ratios[1]["log_prob"]).to_numpy())
    assert weight.std() > 0.2  # not nothing
    assert abs(stats.ttest_1samp(weight, 0).statistic) < 3
    apart = ratios[0]["log_prob"] - ratios[1]["log_prob"]
    assert apart.loc[0].mean() > 0 > apart.loc[1].mean()


def test_likelihoods_of_models_that_made_none_are_refused(two_models, tmp_path):
    models, folders = two_models
    settings = ModelSettings(model=str(models[0]), device="cpu", dtype="float32")
    with pytest.raises(RunError, match="made none"):
        likelihood(folders[1:], settings)
    pair = Pair(0, [{"role": "user", "content": "Say"}], (), ())
    planted(tmp_path / "cold", ["b"], "b", [Prompt(pair.prompt_id, pair.prompt)], temperature=0.7)
    with pytest.raises(RunError, match="sample at 1"):
        likelihood([tmp_path / "cold"], settings)
