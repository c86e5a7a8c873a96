"""What settings, plan and launch alone forbid is said before rows are read or a model is loaded."""

from __future__ import annotations

import sys

import pytest
import torch
from support.rank_jobs import fsdp_environment

from anatomy.cli.app import main
from interventions.training import launch, run_training
from interventions.training.launch import Launch, check_launch
from interventions.training.train_settings import SHAPED, Loss, TrainSettings

PLAN = "interventions:\n- {concept: bold, direction: suppress, strength: %s, backend: reward_shaping}\n"
FSDP1 = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}


def refused(capsys, tmp_path, *more, verb="train"):
    """The error of a command whose rows and model are not there: it must not come to them."""
    out = tmp_path / "out"
    nothing = ["--rows", str(tmp_path / "no.jsonl"), "--model", str(tmp_path / "no-model"), "--out", str(out)]
    assert main([verb, *nothing, *(more if "--device" in more else ("--device", "cpu", *more))]) == 2
    assert not out.exists()
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    return error[0]


@pytest.mark.parametrize(
    ("flags", "environment", "reason"),
    [
        (["--batch-size", "4", "--micro-batch-size", "3"], {}, "batch_size 4 is no multiple of 3 = micro_batch_size 3"),
        (["--batch-size", "4"], {"WORLD_SIZE": "3"}, "no multiple of 3 = micro_batch_size 1 × 3 processes"),
        (["--device", "cuda"], {}, "--device cuda: torch finds no such device"),
        ([], {"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed is not supported"),
        ([], FSDP1, "FSDP of version 1 is not supported"),
        ([], {"ACCELERATE_USE_FSDP": "true"}, "FSDP of version 1 is not supported"),
        ([], {"ACCELERATE_MIXED_PRECISION": "bf16"}, "mixed precision bf16 and the settings for bf16=False"),
        (["--bf16"], {"ACCELERATE_MIXED_PRECISION": "fp16"}, "mixed precision fp16 and the settings for bf16=True"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "sft"])
def test_refused_before_any_work(capsys, tmp_path, monkeypatch, flags, environment, reason, verb):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert reason in refused(capsys, tmp_path, *flags, verb=verb)


def test_a_loss_that_admits_no_shaping_is_refused_before_any_work(capsys, tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN % 1.0)
    error = refused(capsys, tmp_path, "--plan", str(plan), "--loss", "ipo")
    assert "loss ipo does not admit reward shaping" in error
    assert str(plan) in error


@pytest.mark.parametrize("loss", Loss.__args__)
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_losses_and_plans(tmp_path, loss, strength):
    """Only an offset that is not 0 needs a loss with an argument."""
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN % strength)
    settings = TrainSettings(rows="x", device="cpu", plan=plan, loss=loss, label_smoothing=0.1)
    if strength and loss not in SHAPED:
        with pytest.raises(Exception, match="does not admit"):
            check_launch(settings)
    else:
        check_launch(settings)


def test_what_goes_together(monkeypatch):
    check_launch(TrainSettings(rows="x", device="cpu"))
    for name, value in {**fsdp_environment(), "ACCELERATE_MIXED_PRECISION": "bf16", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    check_launch(TrainSettings(rows="x", device="cpu", bf16=True, batch_size=8, micro_batch_size=2))
    assert Launch.of() == Launch(4, True, "2", False, "bf16")


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)


def test_one_process_that_sees_several_gpus_says_that_it_uses_one(gpus, caplog, monkeypatch):
    caplog.set_level("INFO", "anatomy")
    check_launch(TrainSettings(rows="x"))
    assert "4 GPUs are visible and one process was started, which uses the first" in caplog.text
    assert "--num_processes 4" in caplog.text
    caplog.clear()
    check_launch(TrainSettings(rows="x", device="cpu"))
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_launch(TrainSettings(rows="x"))
    assert caplog.text == ""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A driver with four GPUs."""
    for number in range(4):
        (tmp_path / "gpus" / f"0000:0{number}:00.0").mkdir(parents=True)
    monkeypatch.setattr(launch, "DRIVER_GPUS", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "gpus"


@pytest.mark.parametrize(("named", "count"), [
    (None, 4), ("0,1", 2), ("2", 1), ("", 0), ("-1", 0), ("0,1,-1,2", 2), ("GPU-a, GPU-b ,GPU-c", 3),
    ("0,1,2,3,4,5", 4), ("MIG-a,MIG-b,MIG-c,MIG-d,MIG-e", 5),
])  # fmt: skip
def test_gpus_are_counted_without_torch(driver, named, count):
    assert launch.visible_gpus({} if named is None else {"CUDA_VISIBLE_DEVICES": named}) == count


def test_without_a_driver_nothing_is_known(driver, monkeypatch):
    monkeypatch.setattr(launch, "DRIVER_GPUS", driver / "nothing")
    assert launch.visible_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}) is None


@pytest.mark.parametrize(("flags", "environment", "said"), [
    ([], {}, True), (["--device", "cuda"], {}, True), (["--device", "cpu"], {}, False),
    ([], {"CUDA_VISIBLE_DEVICES": "3"}, False), ([], {"WORLD_SIZE": "2"}, False),
])  # fmt: skip
@pytest.mark.parametrize("verb", ["train", "sft"])
def test_that_one_of_several_gpus_is_used_is_said_before_torch_is_imported(
    driver, verb, flags, environment, said, monkeypatch, capsys, tmp_path
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # of the log of that failure
    assert main([verb, "--rows", "x", "--out", str(tmp_path / "out"), *flags]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "torch" in lines[-1]
    assert len(lines) == 1 + said
    assert all(line.startswith("train: 4 GPUs are visible and one process was started") for line in lines[:-1])


def test_it_is_said_once_and_corrected_where_torch_finds_none(driver, gpus, caplog, monkeypatch):
    caplog.set_level("INFO", "anatomy")
    check_launch(TrainSettings(rows="x"))
    assert caplog.text.count("GPUs are visible") == 1
    caplog.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_launch(TrainSettings(rows="x"))
    assert "torch finds no GPU that it can use here; device cpu" in caplog.text


def test_a_gpu_without_bfloat16_is_refused(gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    check_launch(TrainSettings(rows="x"))
    with pytest.raises(Exception, match="does not compute in bfloat16"):
        check_launch(TrainSettings(rows="x", bf16=True))


@pytest.mark.parametrize("verb", ["train", "sft"])
def test_trl_is_given_one_gpu(tmp_path, tiny_model_dir, monkeypatch, verb):
    """TRL refuses a process with several; transformers counts those that are visible."""
    name = {"train": "dpo_config", "sft": "sft_config"}[verb]
    ordinary = getattr(run_training, name)

    def several(*given):
        args = ordinary(*given)
        assert args.n_gpu <= 1
        args._n_gpu = 4
        return args

    monkeypatch.setattr(run_training, name, several)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Hello there", "chosen": "a good dog", "rejected": "a dog"}\n' * 4)
    flags = ["--model", str(tiny_model_dir("llama")), "--device", "cpu", "--batch-size", "2", "--max-steps", "1"]
    assert main([verb, "--rows", str(rows), "--out", str(tmp_path / "out"), *flags]) == 0
