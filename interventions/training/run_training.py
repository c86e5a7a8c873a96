"""What ``anatomy train`` and ``anatomy sft`` do, as functions of settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from datasets import Dataset
from transformers import AutoModelForCausalLM, PrinterCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from anatomy import artifacts
from anatomy.activations.model import choose_device, choose_dtype, load_pretrained, locate_model
from anatomy.errors import SettingsError
from anatomy.progress import logger
from anatomy.runs.run import Run, locked
from anatomy.sae.model_bundle import ModelBundle
from interventions.backends.steering_vectors import VECTORS, read_vectors
from interventions.training.checkpoints import STAMP, Stamp, StepLog, last_checkpoint, refuse_changed, remove_incomplete
from interventions.training.collator import ChosenCollator
from interventions.training.dpo_trainer import InterventionTrainer
from interventions.training.prepared_rows import (
    ASKED,
    TOKENS,
    Prepared,
    asked_for,
    made_of,
    prepare,
    read_prepared,
    read_task,
)
from interventions.training.reference_cache import ReferenceCache
from interventions.training.train_settings import SFTSettings, TrainSettings, learnt_by
from interventions.training.training_report import write_report

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, Trainer

    from interventions.backends.planned_rows import Resolve

TRAINING = ".training"
"""Lock of the whole training; that of a run is held only while rows are prepared."""
CHECKPOINTS = "checkpoints"
REPORT = "report.md"
MODEL = "model"
ADAPTER = "adapter"

Build = Callable[[Any, Path, ModelBundle, Prepared], "Trainer"]


def train(settings: TrainSettings, out: Path, resolve: Resolve | None = None) -> str:
    """DPO with the interventions of ``settings.plan``: checkpoints, log, report and the final model in ``out``.

    A killed run goes on from its last checkpoint. Returns a line for the terminal, empty in all processes but the
    first of several. ``resolve`` turns the plan's names of concepts into detectors.

    Raises:
        SettingsError: settings that do not go together.
        RunError: ``out`` holds a training with other rows, plan, model, template or settings, or another process trains
            there.
    """
    return _training(settings, out, dpo_trainer, resolve)


def sft(settings: SFTSettings, out: Path) -> str:
    """Supervised fine-tuning on the chosen responses, as ``train``."""
    return _training(settings, out, sft_trainer)


def _training(settings: Any, out: Path, build: Build, resolve: Resolve | None = None) -> str:
    on_cpu = choose_device(settings.device) == "cpu"
    state = PartialState(cpu=on_cpu, timeout=timedelta(days=1))  # the first prepares for all
    with locked(out, TRAINING) if state.is_main_process else nullcontext():
        return _in_turn(settings, out, build, resolve, state)


def _in_turn(settings: Any, out: Path, build: Build, resolve: Resolve | None, state: PartialState) -> str:
    bundle = ModelBundle(settings)
    if state.is_main_process:
        asked = asked_for(settings, bundle)
        if is_begun(out) and (out / ASKED).is_file():
            refuse_changed(out / ASKED, asked)  # before anything is overwritten
        with Run.open(out):
            artifacts.write_json(out / ASKED, asked)
        task = read_task(settings, out, bundle, resolve)
        made = made_of(settings, bundle, task)
        if (out / artifacts.TRAINED).is_file():
            refuse_changed(out / artifacts.TRAINED, made)
        last_checkpoint(out / CHECKPOINTS, made)
        remove_incomplete(out / CHECKPOINTS)
        prepare(settings, out, bundle, task, made)
    state.wait_for_everyone()
    prepared = read_prepared(out)
    if not (out / artifacts.TRAINED).is_file():
        trainer = build(settings, out, bundle, prepared)
        _announce(prepared, trainer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(StepLog(out / artifacts.TRAIN_LOG))
        trainer.add_callback(Stamp(prepared.made_of))
        checkpoint = last_checkpoint(out / CHECKPOINTS, prepared.made_of)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        save_model(trainer, settings, out, bundle)
        if state.is_main_process:
            write_report(out / REPORT, settings, prepared, out / artifacts.TRAIN_LOG)
            artifacts.write_json(out / artifacts.TRAINED, {**prepared.made_of, "learnt_by": learnt_by(settings)})
        state.wait_for_everyone()
    return f"{prepared.counts['trained']:,} rows: {out / MODEL}, {out / REPORT}" if state.is_main_process else ""


def is_begun(out: Path) -> bool:
    """Whether ``out`` holds a finished training or a complete checkpoint."""
    return (out / artifacts.TRAINED).is_file() or any((out / CHECKPOINTS).glob(f"checkpoint-*/{STAMP}"))


def dpo_trainer(settings: TrainSettings, out: Path, bundle: ModelBundle, prepared: Prepared) -> InterventionTrainer:
    """The DPO trainer of a prepared directory."""
    args = dpo_config(settings, out)
    sharded = PartialState().distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)
    beside = not settings.precompute_references and settings.lora_rank is None
    dtypes = {"dtype": settings.dtype, "bf16": settings.bf16, "device": args.device.type}
    return InterventionTrainer(
        model=load_model(settings),
        args=args,
        dataset=Dataset.from_file(str(out / TOKENS)),
        tokenizer=bundle.tokenizer,
        vectors=read_vectors(out / VECTORS) if settings.plan is not None else (),
        concepts=prepared.concepts,
        cache=ReferenceCache(settings.references or out / "references", {"model": prepared.made_of["model"], **dtypes}),
        ref_model=load_model(settings) if sharded or beside else None,
        peft_config=lora_config(settings),
    )


def sft_trainer(settings: SFTSettings, out: Path, bundle: ModelBundle, prepared: Prepared) -> SFTTrainer:
    """The trainer on chosen responses of a prepared directory."""
    tokenizer = bundle.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return SFTTrainer(
        model=load_model(settings),
        args=SFTConfig(**arguments(settings, out), dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=Dataset.from_file(str(out / TOKENS)),
        processing_class=tokenizer,
        data_collator=ChosenCollator(tokenizer.pad_token_id),
        peft_config=lora_config(settings),
    )


def dpo_config(settings: TrainSettings, out: Path) -> DPOConfig:
    """TRL's settings of a DPO run."""
    return DPOConfig(
        **arguments(settings, out),
        loss_type=[settings.loss],
        beta=settings.beta,
        label_smoothing=settings.label_smoothing,
        precompute_ref_log_probs=settings.precompute_references,
    )


def arguments(settings: SFTSettings, out: Path) -> dict[str, Any]:
    """What DPO and supervised fine-tuning tell TRL alike.

    Raises:
        SettingsError: the batch does not divide among processes and forward passes.
    """
    at_once = settings.micro_batch_size * PartialState().num_processes
    if settings.batch_size % at_once:
        raise SettingsError(
            f"batch_size {settings.batch_size} is no multiple of {at_once} = micro_batch_size "
            f"{settings.micro_batch_size} × {PartialState().num_processes} processes; change one of them"
        )
    same = ("learning_rate", "weight_decay", "max_grad_norm", "seed", "bf16", "max_length", "save_steps")
    return {
        **{name: getattr(settings, name) for name in same},
        "output_dir": str(out / CHECKPOINTS),
        "per_device_train_batch_size": settings.micro_batch_size,
        "gradient_accumulation_steps": settings.batch_size // at_once,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.max_steps or -1,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup_ratio,  # below 1: a share
        "optim": "adamw_torch",
        "logging_steps": 1,
        "save_total_limit": 2,  # one is deleted before the next is stamped as complete
        "report_to": "none",
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "use_cpu": choose_device(settings.device) == "cpu",
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def load_model(settings: SFTSettings) -> PreTrainedModel:
    """The model that is trained, as transformers loads it."""
    dtype = choose_dtype(settings.dtype, torch.device(choose_device(settings.device)))
    model: PreTrainedModel = load_pretrained(AutoModelForCausalLM, locate_model(settings), "model", dtype=dtype)
    return model


def lora_config(settings: SFTSettings) -> PeftConfig | None:
    """Adapters on all linear layers but the head, or None for full fine-tuning."""
    if settings.lora_rank is None:
        return None
    from peft import LoraConfig

    rank, alpha = settings.lora_rank, settings.lora_alpha
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def save_model(trainer: Trainer, settings: SFTSettings, out: Path, bundle: ModelBundle) -> None:
    """Write ``out/model``, which every verb can load; adapters are kept in ``out/adapter`` and merged for it."""
    folder = out / (MODEL if settings.lora_rank is None else ADAPTER)
    trainer.save_model(str(folder))
    if not trainer.is_world_process_zero():
        return
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, and of no use to readers
    if settings.lora_rank is not None:
        from peft import PeftModel

        merged = PeftModel.from_pretrained(load_model(settings), folder).merge_and_unload()
        merged.save_pretrained(out / MODEL)
        bundle.tokenizer.save_pretrained(out / MODEL)


def _announce(prepared: Prepared, trainer: Trainer) -> None:
    if trainer.is_world_process_zero():
        args, counts = trainer.args, prepared.counts
        a_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
        steps = args.max_steps if args.max_steps > 0 else -(-counts["trained"] * args.num_train_epochs // a_step)
        tokens = counts["tokens"] / counts["trained"] * a_step * steps
        logger.info(f"train: {counts['trained']:,} rows, {steps:,.0f} steps, about {tokens:,.0f} tokens")
        if args.get_warmup_steps(int(steps)) >= steps:
            logger.warning(
                "warning: every step lies in the warm-up, whose first has learning rate 0; for so short a run give "
                "--warmup-ratio 0"
            )
