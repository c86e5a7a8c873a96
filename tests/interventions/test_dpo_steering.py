"""Steering of the policy in training: which tokens, which passes, and the gradient against a brute-force forward."""

import pytest
import torch
import torch.nn.functional as F
from support.dpo_runs import load, make_pairs, ours

from anatomy.errors import ModelError, RunError
from interventions.backends.pair_edits import (
    NEVER,
    PairEdit,
    SideEdit,
    SteeringVector,
    read_vectors,
    steering,
    write_vectors,
)

VECTOR = torch.linspace(-1, 1, 32)
BOLD = SteeringVector("bold", 1, 2 * VECTOR)
LONG = SteeringVector("long", 2, VECTOR.flip(0))


def build(tiny_model_dir, tmp_path, arch="llama", peft=False, **changes):
    """Chosen of row 0 has both vectors, rejected of row 1 the second; nothing else is steered."""
    pairs = make_pairs(4)
    edits = {
        pairs[0].row_id: PairEdit(pairs[0].row_id, chosen=SideEdit(steered=(0, 1))),
        pairs[1].row_id: PairEdit(pairs[1].row_id, rejected=SideEdit(steered=(1,))),
    }
    run = ours(tiny_model_dir(arch), pairs, tmp_path, edits, (BOLD, LONG), peft=peft, run=False, **changes)
    trainer = run.trainer
    trainer.model.train()
    return trainer, trainer.collator([trainer.train_dataset[row] for row in range(4)])


def references(trainer):
    names = ("ref_chosen_logps", "ref_rejected_logps")
    return {name: torch.tensor(trainer.train_dataset[name][:]) for name in names}


def brute_force(model, trainer, batch):
    """The loss from full logits, with the layers' own ``forward`` replaced: no hook, no checkpointing."""
    for vector, start_B in zip((BOLD, LONG), batch["steer_from"], strict=True):
        layer = model.model.layers[vector.layer]
        places_BT = torch.arange(batch["input_ids"].shape[1])[None] >= start_B[:, None]

        def forward(*args, _run=layer.forward, _mask=places_BT, _vector=vector, **kwargs):
            return _run(*args, **kwargs) + _mask[..., None] * _vector.vector_D

        layer.forward = forward
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
    token_logp = logits.log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
    chosen, rejected = (token_logp * batch["completion_mask"][:, 1:]).sum(1).chunk(2)
    ref_chosen, ref_rejected = references(trainer).values()
    return -F.logsigmoid(0.3 * ((chosen - ref_chosen) - (rejected - ref_rejected))).mean()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("arch", ["llama", "olmo3"])
def test_gradient_is_the_brute_force_one(tiny_model_dir, tmp_path, arch, checkpointing):
    trainer, batch = build(tiny_model_dir, tmp_path, arch)
    brute, _ = load(tiny_model_dir(arch))
    expected = brute_force(brute, trainer, batch)
    expected.backward()
    if checkpointing:
        trainer.model.gradient_checkpointing_enable()
    loss = trainer.compute_loss(trainer.model, {**batch, **references(trainer)})
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert abs(loss.item() - 0.6931) > 1e-3
    for (name, weight), other in zip(trainer.model.named_parameters(), brute.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


def hidden(trainer, batch):
    with torch.no_grad():
        return trainer.model.model(
            batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True
        )


def test_only_the_steered_tokens_of_the_steered_sides_move(tiny_model_dir, tmp_path):
    trainer, batch = build(tiny_model_dir, tmp_path)
    plain = hidden(trainer, batch).hidden_states
    with steering(trainer.model, [BOLD, LONG], batch["steer_from"]):
        moved = hidden(trainer, batch).hidden_states
    start = trainer.train_dataset[0]["chosen"]["steer_from"]
    assert start > 0
    torch.testing.assert_close(moved[2][0, start:] - plain[2][0, start:], BOLD.vector_D.expand_as(moved[2][0, start:]))
    assert torch.equal(moved[2][0, :start], plain[2][0, :start])
    assert torch.equal(moved[2][1:], plain[2][1:])  # after block 1: row 0 alone
    changed = (moved[3] != plain[3]).any(-1).any(-1)  # after block 2: chosen 0, and rejected 1 (row 4 + 1)
    assert changed.nonzero().flatten().tolist() == [0, 5]
    assert torch.equal(hidden(trainer, batch).hidden_states[3], plain[3])  # nothing is left behind


def test_reference_evaluation_and_saved_weights_are_not_steered(tiny_model_dir, tmp_path):
    trainer, batch = build(tiny_model_dir, tmp_path)
    pairs = make_pairs(4)
    plain = ours(tiny_model_dir("llama"), pairs, tmp_path / "plain", run=False).trainer
    for name in ("ref_chosen_logps", "ref_rejected_logps"):
        assert trainer.train_dataset[name][:] == plain.train_dataset[name][:]
    batch |= references(plain)
    steered = trainer.compute_loss(trainer.model, batch).item()
    trainer.model.eval()
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(0.693147, abs=1e-5)
    assert abs(steered - 0.693147) > 1e-3
    names = {name for name, _ in [*trainer.model.named_parameters(), *trainer.model.named_buffers()]}
    assert names == {name for name, _ in [*plain.model.named_parameters(), *plain.model.named_buffers()]}


def test_live_references_are_not_steered(tiny_model_dir, tmp_path):
    """With LoRA the reference is the same module with its adapter off, run between the policy's passes."""
    trainer, batch = build(tiny_model_dir, tmp_path, peft=True, precompute_ref_log_probs=False)
    kept, kept_batch = build(tiny_model_dir, tmp_path / "kept", peft=True)
    kept_batch |= {
        name: torch.tensor(kept.train_dataset[name][:]) for name in ("ref_chosen_logps", "ref_rejected_logps")
    }
    live = trainer.compute_loss(trainer.model, batch).item()
    assert live == pytest.approx(kept.compute_loss(kept.model, kept_batch).item(), rel=1e-5)


def test_a_layer_that_is_told_no_positions_fails_loudly(tiny_model_dir, tmp_path):
    trainer, batch = build(tiny_model_dir, tmp_path)
    layer = trainer.model.model.layers[1]
    with steering(trainer.model, [BOLD], batch["steer_from"][:1]), pytest.raises(ModelError, match="position_ids"):
        layer(torch.zeros(8, 3, 32), position_embeddings=(torch.ones(1, 3, 8), torch.zeros(1, 3, 8)))


def test_vectors_are_kept_with_their_layers(tmp_path):
    write_vectors(tmp_path / "v.safetensors", [BOLD, LONG])
    found = read_vectors(tmp_path / "v.safetensors")
    assert [(vector.concept, vector.layer) for vector in found] == [("bold", 1), ("long", 2)]
    assert torch.equal(found[0].vector_D, BOLD.vector_D)
    write_vectors(tmp_path / "none.safetensors", [])
    assert read_vectors(tmp_path / "none.safetensors") == []
    (tmp_path / "text").write_text("no")
    for name in ("text", "missing"):
        with pytest.raises(RunError, match=name):
            read_vectors(tmp_path / name)


def test_unsteered_sequences_start_never(tiny_model_dir, tmp_path):
    _, batch = build(tiny_model_dir, tmp_path)
    assert (batch["steer_from"] < NEVER).nonzero().tolist() == [[0, 0], [1, 0], [1, 5]]
