"""Nothing asked for, nothing changed: with empty edits the loop is plain TRL's, bit by bit."""

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from support.dpo_runs import assert_same, load, make_pairs, ours, plain

from anatomy.activations.model import locate_model
from anatomy.settings import ModelSettings
from interventions.backends.pair_edits import PairEdit, SideEdit, SteeringVector


def unedited(pairs):
    return {}


def zero_offset(pairs):
    return {pair.row_id: PairEdit(pair.row_id, offset=0.0, gaps={"bold": 1.0}) for pair in pairs}


def empty_mask(pairs):
    side = SideEdit(masked=((3, 3), (10_000, 10_001)))
    return {pair.row_id: PairEdit(pair.row_id, chosen=side, rejected=side) for pair in pairs}


def same_prompt(pairs):
    side = SideEdit(instruction="")
    return {pair.row_id: PairEdit(pair.row_id, chosen=side, rejected=side) for pair in pairs}


def steered_by_nothing(pairs):
    side = SideEdit(steered=(0,))
    return {pair.row_id: PairEdit(pair.row_id, chosen=side, rejected=side) for pair in pairs}


NEUTRAL = [unedited, zero_offset, empty_mask, same_prompt, steered_by_nothing]
ZERO = (SteeringVector("bold", 1, torch.zeros(32)),)


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(10)


@pytest.fixture(scope="module")
def plain_dpo(tiny_model_dir, tmp_path_factory, pairs):
    """TRL's run on a tiny model, once for each architecture."""
    return lru_cache(lambda arch: plain(tiny_model_dir(arch), pairs, tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize(
    ("arch", "neutral"),
    [*(("llama", neutral) for neutral in NEUTRAL), ("olmo3", unedited), ("olmo3", steered_by_nothing)],
)
def test_a_neutral_edit_is_plain_dpo(tiny_model_dir, plain_dpo, tmp_path, pairs, arch, neutral):
    expected = plain_dpo(arch)
    vectors = ZERO if neutral is steered_by_nothing else ()
    assert_same(ours(tiny_model_dir(arch), pairs, tmp_path, neutral(pairs), vectors), expected)
    assert expected.losses[0] == pytest.approx(0.6931, abs=1e-4)
    assert expected.losses[-1] != expected.losses[0]


CHANGES = [
    {"peft": True},
    {"gradient_checkpointing": True},
    {"precompute_ref_log_probs": False},
    {"precompute_ref_log_probs": False, "peft": True, "gradient_checkpointing": True},
    {"loss_type": ["sigmoid_norm"], "beta": 5.0},
    {"max_length": 32},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_plain_dpo_under_other_settings(tiny_model_dir, tmp_path, pairs, changes):
    folder = tiny_model_dir("llama")
    expected = plain(folder, pairs, tmp_path / "plain", **changes)
    found = ours(folder, pairs, tmp_path / "ours", steered_by_nothing(pairs), ZERO, **changes)
    assert_same(found, expected)


def test_dropped_and_swapped_rows_are_plain_dpo_on_the_changed_set(tiny_model_dir, tmp_path, pairs):
    from dataclasses import replace

    folder = tiny_model_dir("llama")
    edits = {
        pairs[0].row_id: PairEdit(pairs[0].row_id, dropped="top gap"),
        pairs[3].row_id: PairEdit(pairs[3].row_id, swapped=True),
    }
    changed = [replace(pairs[3], chosen=pairs[3].rejected, rejected=pairs[3].chosen), *pairs[1:3], *pairs[4:]]
    changed = [*changed[1:3], changed[0], *changed[3:]]
    found = ours(folder, pairs, tmp_path / "ours", edits)
    assert_same(found, plain(folder, changed, tmp_path / "plain"))


def test_the_reference_is_the_model_in_memory(tiny_model_dir, tmp_path, pairs):
    """TRL would load the reference from the configuration's name again and start elsewhere than at log 2."""
    trainer = ours(tiny_model_dir("llama"), pairs, tmp_path, run=False, precompute_ref_log_probs=False).trainer
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(0.693147, abs=1e-6)


def everything(pairs):
    """All that is neutral, at once."""
    side = SideEdit(instruction="", masked=((3, 3),), steered=(0,))
    return {pair.row_id: PairEdit(pair.row_id, 0.0, chosen=side, rejected=side) for pair in pairs}


@pytest.fixture(scope="module")
def laptop_layers(tmp_path_factory):
    """The laptop model's first six layers with its vocabulary, tied head and template: what the tiny ones lack."""
    folder = tmp_path_factory.mktemp("laptop")
    model, tokenizer = load(Path(locate_model(ModelSettings()).path))
    model.model.layers = model.model.layers[:6]
    model.config.num_hidden_layers = 6
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.laptop
@pytest.mark.parametrize(
    "changes", [{}, {"peft": True, "gradient_checkpointing": True, "precompute_ref_log_probs": False}], ids=str
)
def test_laptop_model_is_plain_dpo(laptop_layers, tmp_path, pairs, changes):
    changes = {"max_steps": 2, "gradient_accumulation_steps": 1, "learning_rate": 1e-5, "max_length": 48, **changes}
    zero = (SteeringVector("bold", 3, torch.zeros(576)),)
    expected = plain(laptop_layers, pairs[:4], tmp_path / "plain", **changes)
    assert_same(ours(laptop_layers, pairs[:4], tmp_path / "ours", everything(pairs), zero, **changes), expected)
    assert expected.losses[-1] != expected.losses[0]
