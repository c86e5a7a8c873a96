"""Every setting of a recipe reaches TRL, or what loads rows and weights: a table, and a test that it is whole."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from interventions.training import run_training
from interventions.training.reference_cache import ReferenceCache, ReferenceModel
from interventions.training.run_training import dpo_config, load_model, lora_config, reference_model, sft_config
from interventions.training.token_rows import ChosenCollator
from interventions.training.train_settings import ELSEWHERE, SFTSettings, TrainSettings

BOTH = {
    "learning_rate": (3e-4, "learning_rate", 3e-4),
    "schedule": ("cosine", "lr_scheduler_type", "cosine"),
    "warmup_ratio": (0.25, "warmup_steps", 0.25),
    "weight_decay": (0.02, "weight_decay", 0.02),
    "max_grad_norm": (0.5, "max_grad_norm", 0.5),
    "epochs": (2.5, "num_train_epochs", 2.5),
    "max_steps": (7, "max_steps", 7),
    "batch_size": (24, "gradient_accumulation_steps", 12),
    "micro_batch_size": (4, "per_device_train_batch_size", 4),
    "gradient_checkpointing": (True, "gradient_checkpointing", True),
    "bf16": (True, "bf16", True),
    "seed": (11, "seed", 11),
    "max_length": (99, "max_length", 99),
    "save_steps": (13, "save_steps", 13),
    "device": ("cpu", "use_cpu", True),
}
"""Setting → a value that is not its default, TRL's field, and what that holds; beside it micro_batch_size is 2."""
DPO = {
    "loss": ("ipo", "loss_type", ["ipo"]),
    "beta": (0.7, "beta", 0.7),
    "label_smoothing": (0.2, "label_smoothing", 0.2),
    "precompute_references": (False, "precompute_ref_log_probs", False),
}
WEIGHTS = {"model", "model_revision", "trust_remote_code", "dtype", "lora_rank", "lora_alpha"}
"""Decide what is loaded and trained; tested below, or in ``tests/activations/test_model.py``."""
ROWS = {"rows", "config", "split", "revision", "format", "limit", "sample", "chat_template"}
ROWS |= {"map", "label", "score", "pairs", "group_by", "most_faulty"}
"""Say which rows are read, and in which words."""
TOKENS = {"max_prompt_length", "max_response_length", "batch_tokens"}
"""Cut the token table, or what detectors read and how much at once."""
FILES = {"plan", "sae", "concepts_file", "references"}


def test_every_setting_has_its_place():
    """A new setting fails here until the table says where it goes."""
    rows = ROWS | TOKENS | WEIGHTS
    assert SFTSettings.model_fields.keys() == BOTH.keys() | rows
    assert TrainSettings.model_fields.keys() == BOTH.keys() | DPO.keys() | rows | FILES
    assert ELSEWHERE >= ROWS | FILES


def changed(kind, name, value):
    given = {"rows": "x", "device": "cpu", "batch_size": 8, "micro_batch_size": 2, name: value}
    return kind.model_validate(given)


@pytest.mark.parametrize("name", [*BOTH, *DPO])
def test_a_setting_reaches_dpo(name, tmp_path):
    value, field, expected = (BOTH | DPO)[name]
    assert getattr(dpo_config(changed(TrainSettings, name, value), tmp_path), field) == expected
    if name != "device":  # the default would use a GPU
        assert getattr(dpo_config(changed(TrainSettings, "device", "cpu"), tmp_path), field) != expected


@pytest.mark.parametrize("name", BOTH)
def test_a_setting_reaches_supervised_fine_tuning(name, tmp_path):
    value, field, expected = BOTH[name]
    assert getattr(sft_config(changed(SFTSettings, name, value), tmp_path), field) == expected


@pytest.mark.parametrize("config", ["dpo", "sft"])
def test_what_is_the_same_in_every_training(config, tmp_path):
    """Plain AdamW, each step logged, two checkpoints kept, no reports elsewhere, each row as it is, once an epoch."""
    settings = TrainSettings(rows="x", device="cpu")
    args = (dpo_config if config == "dpo" else sft_config)(settings, tmp_path)
    assert args.optim == "adamw_torch"
    assert (args.logging_strategy, args.logging_steps, args.save_strategy, args.save_total_limit) == (
        "steps", 1, "steps", 2,
    )  # fmt: skip
    assert (args.report_to, args.remove_unused_columns, args.disable_tqdm) == ([], False, True)
    assert args.output_dir == str(tmp_path / "checkpoints")
    assert (args.max_steps, args.dataloader_drop_last) == (-1, False)
    if config == "dpo":
        found = args.f_divergence_type, args.ld_alpha, args.sync_ref_model, args.disable_dropout
        assert found == ("reverse_kl", None, False, True)
    else:
        assert (args.packing, args.dataset_kwargs) == (False, {"skip_prepare_dataset": True})


def test_adapters(tmp_path):
    assert lora_config(changed(SFTSettings, "lora_alpha", 5)) is None
    found = lora_config(SFTSettings(rows="x", lora_rank=3, lora_alpha=5))
    assert (found.r, found.lora_alpha, found.target_modules, found.task_type) == (3, 5, "all-linear", "CAUSAL_LM")


def test_weights_are_loaded_as_asked(tiny_model_dir, monkeypatch):
    seen = []
    monkeypatch.setattr(run_training, "load_weights", lambda source, dtype: seen.append((source, dtype)))
    model = str(tiny_model_dir("llama"))
    given = {"rows": "x", "device": "cpu", "model": model, "model_revision": "r", "trust_remote_code": True}
    load_model(SFTSettings(**given, dtype="bfloat16"))
    load_model(SFTSettings(rows="x", device="cpu", model=model))
    (source, dtype), (plain, single) = seen
    assert source.path == plain.path == model
    assert (source.arguments["revision"], source.arguments["trust_remote_code"]) == ("r", True)
    assert (plain.arguments["revision"], plain.arguments["trust_remote_code"]) == (None, False)
    assert (dtype, single) == (torch.bfloat16, torch.float32)


KEY = {
    "weights": ({}, "other", False),
    "revision": ({"model_revision": "other"}, "w", False),
    "remote_code": ({"trust_remote_code": True}, "w", False),
    "dtype": ({"dtype": "bfloat16"}, "w", False),
    "bf16": ({"bf16": True}, "w", False),
    "sharded": ({}, "w", True),
}
"""Field of the reference's key → settings, fingerprint of the weights and sharding that change it."""
MACHINE = {"device", "torch", "transformers"}


@pytest.mark.parametrize("field", KEY)
def test_what_changes_a_reference_changes_its_folder(field, tmp_path):
    def folder(settings, weights, sharded):
        found = reference_model(TrainSettings(rows="x", device="cpu", **settings), weights, sharded)
        return found, ReferenceCache(tmp_path, vars(found)).path

    plain, changed = folder({}, "w", False), folder(*KEY[field])
    assert plain[1] != changed[1]
    assert [name for name in vars(plain[0]) if getattr(plain[0], name) != getattr(changed[0], name)] == [field]


def test_the_key_of_a_reference_is_whole(monkeypatch):
    assert {field.name for field in fields(ReferenceModel)} == KEY.keys() | MACHINE
    found = reference_model(TrainSettings(rows="x", device="cpu"), "w", False)
    assert found.device == "cpu"
    for name in ("torch", "transformers"):
        monkeypatch.setattr(f"interventions.training.run_training.{name}.__version__", "9.9")
        assert getattr(reference_model(TrainSettings(rows="x", device="cpu"), "w", False), name) == "9.9"


def test_labels_of_supervised_fine_tuning_by_hand():
    """Prompt and template −100, the scored tokens of the chosen response as they are, padding −100."""
    long = {"context": [5, 6, 7], "completion": [8, 9], "scored": [1, 0]}
    short = {"context": [4], "completion": [2], "scored": [1]}
    other = {"context": [1], "completion": [1], "scored": [1]}
    batch = ChosenCollator(pad_token_id=2)([{"chosen": long, "rejected": other}, {"chosen": short, "rejected": other}])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [4, 2, 2, 2, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[-100, -100, -100, 8, -100], [-100, 2, -100, -100, -100]]
    assert batch.keys() == {"input_ids", "attention_mask", "labels"}
