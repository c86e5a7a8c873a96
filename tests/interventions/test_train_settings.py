"""Recipes are what was published, every field is a flag, and the launch file is accelerate's."""

from pathlib import Path

import pytest
import yaml

from anatomy.cli.app import main
from anatomy.errors import SettingsError
from anatomy.settings import load_settings
from interventions.training.run_training import dpo_config
from interventions.training.train_settings import TrainSettings, learnt_by

CONFIGS = Path(__file__).parents[2] / "configs"


def recipe(name, **flags):
    return load_settings(TrainSettings, {"rows": "x", **flags}, CONFIGS / "recipes" / f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "loss", "beta", "rate", "length"),
    [
        ("paper", "sigmoid", 2.0, 1e-7, 8192),
        ("olmo3-7b", "sigmoid_norm", 5.0, 1e-6, 16384),
        ("tulu3-8b", "sigmoid_norm", 5.0, 5e-7, 2048),
    ],
)
def test_published_recipes(name, loss, beta, rate, length, tmp_path):
    """method.md §9: batch 128, warm-up 0.1, linear, one epoch, AdamW without weight decay, bf16."""
    settings = recipe(name)
    assert (settings.loss, settings.beta, settings.learning_rate, settings.max_length) == (loss, beta, rate, length)
    assert (settings.batch_size, settings.warmup_ratio, settings.schedule) == (128, 0.1, "linear")
    assert (settings.epochs, settings.weight_decay, settings.bf16) == (1, 0, True)


def test_the_laptop_recipe_is_what_trl_gets(tmp_path):
    args = dpo_config(recipe("laptop", device="cpu"), tmp_path)
    assert (args.loss_type, args.beta, args.max_length) == (["sigmoid"], 0.1, 384)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (2, 4)
    assert args.get_warmup_steps(100) == 10
    assert (args.bf16, args.logging_steps, args.report_to) == (False, 1, [])


def test_flags_win_over_recipes():
    settings = recipe("paper", bf16=False, max_steps="2", lora_rank="8")
    assert (settings.bf16, settings.max_steps, settings.lora_rank, settings.beta) == (False, 2, 8, 2.0)


def test_what_is_learnt_depends_on_these_settings_only(tmp_path):
    base = learnt_by(recipe("laptop"))
    for place in ({"save_steps": 7}, {"references": tmp_path}, {"batch_tokens": 64}):
        assert learnt_by(recipe("laptop", **place)) == base
    for matter in ({"beta": 0.2}, {"seed": 1}, {"max_length": 64}, {"lora_rank": 2}, {"micro_batch_size": 1}):
        assert learnt_by(recipe("laptop", **matter)) != base


def test_settings_that_do_not_go_together():
    with pytest.raises(SettingsError, match="exo_pair needs a label_smoothing"):
        recipe("laptop", loss="exo_pair")
    with pytest.raises(SettingsError, match="loss"):
        recipe("laptop", loss="kto")


def test_one_file_of_settings(tmp_path, capsys):
    file = str(CONFIGS / "recipes" / "laptop.yaml")
    assert main(["train", "--out", str(tmp_path), "--recipe", file, "--settings", file]) == 2
    assert "give one" in capsys.readouterr().err


def test_the_launch_file_is_what_accelerate_reads():
    """The recipe decides the numeric type; FSDP's second version is the one that trains here."""
    from accelerate.commands.config.config_args import load_config_from_file

    path = CONFIGS / "accelerate" / "fsdp2.yaml"
    config = load_config_from_file(str(path))
    assert (config.distributed_type, config.mixed_precision) == ("FSDP", "no")
    assert yaml.safe_load(path.read_text())["fsdp_config"]["fsdp_version"] == 2
    assert [path.name for path in (CONFIGS / "accelerate").iterdir()] == ["fsdp2.yaml"]
