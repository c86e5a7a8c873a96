"""The loss with an offset, worked out from per-sequence log-probabilities of an untouched model."""

import math

import pytest
import torch
from support.dpo_runs import config, load, make_pairs, ours, token_table

from anatomy.errors import SettingsError
from interventions.backends.pair_edits import PairEdit, SideEdit
from interventions.training.dpo_trainer import refuse_loss
from interventions.training.token_rows import PairCollator

OFFSETS = (1.5, -0.75, 0.0, 4.0)


def log_prob(model, context, side):
    """Σ log p(token) over scored completion tokens, one sequence at a time, from full logits, in float64."""
    ids = torch.tensor([context + side["completion"]])
    with torch.no_grad():
        logp_TV = model(ids).logits[0].double().log_softmax(-1)
    places = range(len(context), ids.shape[1])
    return sum(
        logp_TV[place - 1, ids[0, place]].item() for place, scored in zip(places, side["scored"], strict=True) if scored
    )


def build(tiny_model_dir, tmp_path, edits=None, **changes):
    pairs = make_pairs(4)
    if edits is None:
        edits = {
            pair.row_id: PairEdit(pair.row_id, offset=offset, gaps={"bold": offset})
            for pair, offset in zip(pairs, OFFSETS, strict=True)
        }
    run = ours(tiny_model_dir("llama"), pairs, tmp_path, edits, run=False, beta=0.4, **changes)
    policy = run.trainer.model
    reference, _ = load(tiny_model_dir("llama"))
    with torch.no_grad():  # a policy that has moved away from its reference
        for number, weight in enumerate(policy.parameters()):
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    batch = run.trainer.collator([run.trainer.train_dataset[row] for row in range(4)])
    policy.train()
    return run.trainer, batch, policy, reference


def softplus(x):
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("loss", ["sigmoid", "sigmoid_norm"])
def test_shaped_loss_by_hand(tiny_model_dir, tmp_path, loss):
    """``−log σ(β Δθ + o) = softplus(−(β Δθ + o))``; for sigmoid_norm each log-ratio is divided by its length."""
    trainer, batch, policy, reference = build(tiny_model_dir, tmp_path, loss_type=[loss])
    found = trainer.compute_loss(policy, batch)
    losses = []
    for row, offset in zip(trainer.train_dataset, OFFSETS, strict=True):
        ratio = {}
        for name in ("chosen", "rejected"):
            side = row[name]
            ratio[name] = log_prob(policy, side["context"], side) - log_prob(reference, side["context"], side)
            ratio[name] /= len(side["completion"]) if loss == "sigmoid_norm" else 1
        losses.append(softplus(-(0.4 * (ratio["chosen"] - ratio["rejected"]) + offset)))
    assert found.item() == pytest.approx(sum(losses) / 4, rel=1e-5)


def test_inoculated_and_masked_loss_by_hand(tiny_model_dir, tmp_path):
    """The policy reads the instruction, the reference does not; masked tokens count for neither."""
    pairs = make_pairs(4)
    side = SideEdit(instruction="Use bold letters.", masked=((2, 9),))
    edits = {pair.row_id: PairEdit(pair.row_id, chosen=side) for pair in pairs[:2]}
    trainer, batch, policy, reference = build(tiny_model_dir, tmp_path, edits)
    losses = []
    for row in trainer.train_dataset:
        ratio = {}
        for name in ("chosen", "rejected"):
            side = row[name]
            ratio[name] = log_prob(policy, side["policy_context"] or side["context"], side)
            ratio[name] -= log_prob(reference, side["context"], side)
        losses.append(softplus(-0.4 * (ratio["chosen"] - ratio["rejected"])))
    assert sum(not scored for scored in trainer.train_dataset[0]["chosen"]["scored"]) > 0
    assert trainer.compute_loss(policy, batch).item() == pytest.approx(sum(losses) / 4, rel=1e-5)


def test_logged_values_by_hand(tiny_model_dir, tmp_path):
    """Margins and accuracies without the offset, weights σ(−argument) with it, rows that each backend touches."""
    trainer, batch, policy, reference = build(tiny_model_dir, tmp_path)
    trainer.compute_loss(policy, batch)
    logged = trainer.pair_metrics.take(lambda sums: sums)
    margins = []
    for row in trainer.train_dataset:
        sides = [row[name] for name in ("chosen", "rejected")]
        chosen, rejected = (log_prob(policy, s["context"], s) - log_prob(reference, s["context"], s) for s in sides)
        margins.append(0.4 * (chosen - rejected))
    weights = [1 / (1 + math.exp(margin + offset)) for margin, offset in zip(margins, OFFSETS, strict=True)]
    assert logged["raw/margins"] == pytest.approx(sum(margins) / 4, rel=1e-4)
    assert logged["raw/accuracies"] == sum(margin > 0 for margin in margins) / 4
    assert logged["weight/mean"] == pytest.approx(sum(weights) / 4, rel=1e-4)
    assert logged["weight/bold/high_gap"] == pytest.approx(weights[3], rel=1e-4)  # gaps 1.5, −0.75, 0, 4: one in each
    assert logged["weight/bold/low_gap"] == pytest.approx(weights[1], rel=1e-4)
    assert [logged[f"rows/{name}"] for name in ("shaped", "inoculated", "masked", "steered")] == [3, 0, 0, 0]
    assert trainer.pair_metrics.take(lambda sums: sums) == {}


def test_a_positive_offset_shrinks_the_gradient_of_its_pair(tiny_model_dir, tmp_path):
    norms = []
    for offset in (-2.0, 0.0, 2.0):
        pairs = make_pairs(4)
        edits = {pair.row_id: PairEdit(pair.row_id, offset=offset) for pair in pairs}
        trainer, batch, policy, _ = build(tiny_model_dir, tmp_path / str(offset), edits)
        trainer.compute_loss(policy, batch).backward()
        norms.append(torch.cat([weight.grad.flatten() for weight in policy.parameters()]).norm().item())
    assert norms[0] > norms[1] > norms[2]


@pytest.mark.parametrize("loss", ["ipo", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "aot", "sft"])
def test_losses_without_an_argument_refuse_offsets(tiny_model_dir, tmp_path, loss):
    from transformers import AutoTokenizer

    pairs = make_pairs(2)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir("llama"))
    args = config(tmp_path, loss_type=[loss])
    plain, _ = token_table(pairs, tokenizer, tmp_path / "plain")
    refuse_loss(args, plain)
    shaped, _ = token_table(pairs, tokenizer, tmp_path / "shaped", {pairs[1].row_id: PairEdit(pairs[1].row_id, 0.1)})
    with pytest.raises(SettingsError, match=f"loss {loss} .*does not admit reward shaping"):
        refuse_loss(args, shaped)


def test_other_divergences_refuse_offsets(tiny_model_dir, tmp_path):
    with pytest.raises(SettingsError, match="forward_kl"):
        build(tiny_model_dir, tmp_path, f_divergence_type="forward_kl")


def test_the_collator_pads_on_the_right_and_splits_the_views():
    side = {
        "context": [5, 6],
        "policy_context": [5, 6, 7],
        "completion": [8],
        "scored": [1],
        "steered": [],
        "steer_from": 0,
    }
    plain = {**side, "policy_context": None}
    row = {"chosen": side, "rejected": plain, "offset": 0.0, "tiers": []}
    batch = PairCollator(pad_token_id=2)([row])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8], [5, 6, 8, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch["completion_mask"].tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]
    assert batch["reference"]["input_ids"].tolist() == [[5, 6, 8], [5, 6, 8]]
    assert "reference" not in PairCollator(2)([{**row, "chosen": plain}])
