"""How likely a model makes completions: against the model's own loss, balanced over two models, read back in order."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer

from anatomy import artifacts
from anatomy.activations.generate import Completion
from anatomy.cli.app import main
from anatomy.errors import RunError
from anatomy.rollouts.completion_log_probs import completion_log_probs, read_completion_log_probs
from anatomy.rollouts.rollout_set import Prompt, SampledModel, drawn_tokens, read_rollouts, save_rollouts
from anatomy.rollouts.rollout_settings import SampleSettings
from anatomy.settings import ModelSettings
from anatomy.types import Pair


def planted(folder, texts, model, prompts, **more):
    sampling = SampleSettings(**{"samples": 2, **more})
    made_by = SampledModel(name=model, origin="test", folder=None, fingerprint=model)
    save_rollouts(folder, prompts, [Completion(text, [1]) for text in texts], made_by, "t", sampling)
    return read_rollouts(folder)


def test_log_probabilities_are_read_in_the_order_of_the_completions(tmp_path):
    """One is missing, the others stand in another order than in the table; of other completions it is refused."""
    pairs = [Pair(0, [{"role": "user", "content": f"Say {n}"}], (), ()) for n in range(2)]
    prompts = [Prompt(pair.prompt_id, pair.prompt) for pair in pairs]
    before = planted(tmp_path / "b", ["b00", "b10", "b01", "b11"], "b", prompts)
    after = planted(tmp_path / "a", ["a00", "a10", "a01", "a11"], "a", prompts)
    wanted = [(prompts[1].prompt_id, 1), (prompts[0].prompt_id, 0), (prompts[1].prompt_id, 0)]
    table = pd.DataFrame([(side, *key, 100 * side + 10 * (key[0] == prompts[1].prompt_id) + key[1])
                          for side in (0, 1) for key in sorted(before.texts)],
                         columns=["side", "prompt_id", "sample", "log_prob"])  # fmt: skip
    made_of = {"rollouts": f"{before.manifest.fingerprint} {after.manifest.fingerprint}"}
    pq.write_table(pa.Table.from_pandas(table).replace_schema_metadata(made_of), tmp_path / "l.parquet")
    artifacts.record_outputs(tmp_path, ["l.parquet"])
    found_SN = read_completion_log_probs(tmp_path / "l.parquet", wanted, (before, after))
    assert found_SN.tolist() == [[11, 0, 10], [111, 100, 110]]
    with pytest.raises(RunError, match="other completions"):
        read_completion_log_probs(tmp_path / "l.parquet", wanted, (before, before))


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
        settings, read = ModelSettings(model=str(model), device="cpu", dtype="float32"), []
        table = completion_log_probs(folders, settings, read.append)
        assert sum(read) == table.num_rows == sum(len(read_rollouts(folder).texts) for folder in folders)
        ratios[number] = table.to_pandas().set_index(["side", "prompt_id", "sample"])
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
    apart = ratios[0]["log_prob"] - ratios[1]["log_prob"]
    weight = 2 * np.tanh(apart.to_numpy() / 2)  # whose mean over both models' completions is 0
    assert weight.std() > 0.2  # not nothing
    assert abs(stats.ttest_1samp(weight, 0).statistic) < 3
    assert apart.loc[0].mean() > 0 > apart.loc[1].mean()


def test_likelihoods_of_models_that_made_none_are_refused(two_models, tmp_path):
    models, folders = two_models
    settings = ModelSettings(model=str(models[0]), device="cpu", dtype="float32")
    with pytest.raises(RunError, match="made none"):
        completion_log_probs(folders[1:], settings)
    pair = Pair(0, [{"role": "user", "content": "Say"}], (), ())
    planted(tmp_path / "cold", ["b"], "b", [Prompt(pair.prompt_id, pair.prompt)], temperature=0.7)
    with pytest.raises(RunError, match="sample at 1"):
        completion_log_probs([tmp_path / "cold"], settings)
