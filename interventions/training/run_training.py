"""DPO and supervised fine-tuning in a prepared directory: how trainers are configured and run, and what they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from accelerate.utils.constants import FSDP_MODEL_NAME
from datasets import Dataset
from transformers import PrinterCallback, TrainingArguments
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from anatomy import artifacts
from anatomy.activations.model import choose_device, choose_dtype, load_weights, locate_model
from anatomy.errors import AnatomyError, RunError, explained
from anatomy.progress import logger
from anatomy.report.training_report import training_report
from anatomy.rollouts.training_folder import (
    RowCounts,
    TrainingIdentity,
    read_identity,
    read_train_log,
    write_identity,
)
from anatomy.runs.out_folder import claimed
from interventions.backends.pair_edits import VECTORS, read_vectors
from interventions.training.checkpoints import (
    CHECKPOINTS,
    Stamp,
    StepLog,
    last_checkpoint,
    remove_unusable,
    tokens_until,
)
from interventions.training.dpo_trainer import InterventionTrainer
from interventions.training.launch import Launch, accumulated_batches, said_once
from interventions.training.prepared_rows import TOKENS, TrainingTask
from interventions.training.reference_cache import ReferenceCache, ReferenceModel
from interventions.training.token_rows import ChosenCollator
from interventions.training.train_settings import SFTSettings, TrainSettings

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel, Trainer

REPORT = "report.md"
MODEL = "model"
ADAPTER = "adapter"


@contextmanager
def training_processes(task: TrainingTask) -> Iterator[PartialState]:
    """Yield the state of the training's processes; the first of them holds the directory's lock until the block ends.

    Raises:
        RunError: another command trains in the directory.
    """
    on_cpu = choose_device(task.settings.device) == "cpu"
    state = PartialState(cpu=on_cpu, timeout=timedelta(days=1))  # the others wait while the first prepares
    with ExitStack() as stack:
        first_alone(lambda: stack.enter_context(claimed(task.out)))
        yield state


def first_alone(work: Callable[[], object]) -> None:
    """Do ``work`` in the first process while the others wait; what a user has to fix there ends all of them.

    Raises:
        AnatomyError: what ``work`` raises, in the first process; the others end without a word.
    """
    error: AnatomyError | None = None
    if PartialState().is_main_process:
        try:
            with explained():
                work()
        except AnatomyError as found:
            error = found
    if broadcast_object_list([error is not None])[0]:
        raise error or SystemExit(2)


def fit(task: TrainingTask) -> str:
    """Train in a prepared directory from the last complete checkpoint, and write the model and the report.

    A finished training is left as it is. Returns a line for the terminal, empty in all processes but the first.

    Raises:
        SettingsError: settings that do not go together.
        RunError: a checkpoint belongs to another training, or to one that is launched in another way; or what a
            finished training wrote is missing or changed.
    """
    state = PartialState()
    identity = read_identity(task.out)
    assert identity is not None  # prepared
    if identity.finished:
        first_alone(lambda: artifacts.require_outputs(task.out))
    else:
        first_alone(lambda: remove_unusable(task.out, identity))
        checkpoint = last_checkpoint(task.out)
        with said_once():
            refuse_other_launch(checkpoint)
        trainer = build_trainer(task, identity)
        _announce(identity.prepared.counts, trainer)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(StepLog(task.out / artifacts.TRAIN_LOG))
        trainer.add_callback(Stamp(identity))
        trainer._total_train_tokens = tokens_until(checkpoint)  # TRL counts them from 0 in each process
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        save_model(trainer, task)
        if state.is_main_process:
            steps = read_train_log(task.out / artifacts.TRAIN_LOG)
            artifacts.write_text(task.out / REPORT, training_report(identity, steps))
            artifacts.record_outputs(task.out, [artifacts.TRAIN_LOG, *_model_files(task.out)])
            write_identity(task.out, identity.model_copy(update={"finished": True}))
        state.wait_for_everyone()
    trained = identity.prepared.counts.trained
    return f"{trained:,} rows: {task.out / MODEL}, {task.out / REPORT}" if state.is_main_process else ""


def _model_files(out: Path) -> list[str]:
    """Return the files of the model and its adapter, by their paths in the training's directory."""
    files = (path for folder in (MODEL, ADAPTER) for path in sorted((out / folder).rglob("*")) if path.is_file())
    return [path.relative_to(out).as_posix() for path in files]


def refuse_other_launch(checkpoint: Path | None) -> None:
    """Refuse to resume with sharded models what was trained without, and the other way round.

    Raises:
        RunError: the checkpoint is of the other kind.
    """
    if checkpoint is None:
        return
    sharded = any(checkpoint.glob(f"{FSDP_MODEL_NAME}*"))
    if sharded != Launch.of().sharded:
        kind = ("without FSDP", "under FSDP")[sharded]
        raise RunError(f"{checkpoint}: was trained {kind}; launch it so again, use another --out, or delete it")


def build_trainer(task: TrainingTask, identity: TrainingIdentity) -> InterventionTrainer | SFTTrainer:
    """Return the trainer of a prepared directory: DPO, or supervised fine-tuning on the chosen responses."""
    if isinstance(task.settings, TrainSettings):
        return dpo_trainer(task, task.settings, identity)
    return sft_trainer(task)


def dpo_trainer(task: TrainingTask, settings: TrainSettings, identity: TrainingIdentity) -> InterventionTrainer:
    """Return the DPO trainer of a prepared directory."""
    args = dpo_config(settings, task.out)
    use_one_gpu(args)
    sharded = Launch.of().sharded  # the policy is split before it can be read, so that it cannot be the reference
    beside = not settings.precompute_references and settings.lora_rank is None
    model = reference_model(settings, identity.asked.model, sharded)
    return InterventionTrainer(
        model=load_model(settings),
        args=args,
        dataset=Dataset.from_file(str(task.out / TOKENS)),
        tokenizer=task.bundle.tokenizer,
        vectors=read_vectors(task.out / artifacts.WORK / VECTORS),
        concepts=identity.prepared.concepts,
        cache=ReferenceCache(task.out / "references", asdict(model), settings.references),
        ref_model=load_model(settings) if sharded or beside else None,
        peft_config=lora_config(settings),
    )


def reference_model(settings: TrainSettings, weights: str, sharded: bool) -> ReferenceModel:
    """Return what the reference's values depend on; ``weights`` is the fingerprint of the model that is trained."""
    device = torch.device(choose_device(settings.device))
    return ReferenceModel(
        weights=weights,
        revision=settings.model_revision,
        remote_code=settings.trust_remote_code,
        dtype=str(choose_dtype(settings.dtype, device)),
        bf16=settings.bf16,
        device=device.type,
        sharded=sharded,
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def sft_trainer(task: TrainingTask) -> SFTTrainer:
    """Return the trainer on chosen responses of a prepared directory."""
    settings, tokenizer = task.settings, task.bundle.tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    args = sft_config(settings, task.out)
    use_one_gpu(args)
    return SFTTrainer(
        model=load_model(settings),
        args=args,
        train_dataset=Dataset.from_file(str(task.out / TOKENS)),
        processing_class=tokenizer,
        data_collator=ChosenCollator(tokenizer.pad_token_id),
        peft_config=lora_config(settings),
    )


def dpo_config(settings: TrainSettings, out: Path) -> DPOConfig:
    """Return TRL's settings of a DPO run."""
    return DPOConfig(
        **arguments(settings, out),
        loss_type=[settings.loss],
        beta=settings.beta,
        label_smoothing=settings.label_smoothing,
        precompute_ref_log_probs=settings.precompute_references,
    )


def sft_config(settings: SFTSettings, out: Path) -> SFTConfig:
    """Return TRL's settings of supervised fine-tuning."""
    return SFTConfig(**arguments(settings, out), dataset_kwargs={"skip_prepare_dataset": True})


def use_one_gpu(args: TrainingArguments) -> None:
    """Keep a process from spreading over all the GPUs that it sees, which TRL refuses."""
    if args.n_gpu > 1:
        args._n_gpu = 1


def arguments(settings: SFTSettings, out: Path) -> dict[str, Any]:
    """Return what DPO and supervised fine-tuning ask of TRL alike.

    Raises:
        SettingsError: the batch does not divide among processes and forward passes.
    """
    same = ("learning_rate", "weight_decay", "max_grad_norm", "seed", "bf16", "max_length", "save_steps")
    return {
        **{name: getattr(settings, name) for name in same},
        "output_dir": str(out / CHECKPOINTS),
        "per_device_train_batch_size": settings.micro_batch_size,
        "gradient_accumulation_steps": accumulated_batches(settings, PartialState().num_processes),
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
    """Return the model that is trained, as transformers loads it."""
    dtype = choose_dtype(settings.dtype, torch.device(choose_device(settings.device)))
    return load_weights(locate_model(settings), dtype)


def lora_config(settings: SFTSettings) -> PeftConfig | None:
    """Return adapters on all linear layers but the head, or None for full fine-tuning."""
    if settings.lora_rank is None:
        return None
    from peft import LoraConfig

    rank, alpha = settings.lora_rank, settings.lora_alpha
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def save_model(trainer: Trainer, task: TrainingTask) -> None:
    """Write ``out/model``, which every verb can load; adapters are kept in ``out/adapter`` and merged for it."""
    out, settings = task.out, task.settings
    folder = out / (MODEL if settings.lora_rank is None else ADAPTER)
    trainer.save_model(str(folder))
    if not trainer.is_world_process_zero():
        return
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, and of no use to readers
    if settings.lora_rank is not None:
        from peft import PeftModel

        merged = PeftModel.from_pretrained(load_model(settings), folder).merge_and_unload()
        merged.save_pretrained(out / MODEL)
        task.bundle.tokenizer.save_pretrained(out / MODEL)


def _announce(counts: RowCounts, trainer: Trainer) -> None:
    """Say what the training will cost, and warn if it cannot learn."""
    if not trainer.is_world_process_zero():
        return
    args = trainer.args
    a_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    steps = args.max_steps if args.max_steps > 0 else -(-counts.trained * args.num_train_epochs // a_step)
    tokens = counts.tokens / counts.trained * a_step * steps
    logger.info(f"train: {counts.trained:,} rows, {steps:,.0f} steps, about {tokens:,.0f} tokens")
    if args.get_warmup_steps(int(steps)) >= steps:
        logger.warning(
            "warning: every step lies in the warm-up, whose first has learning rate 0; for so short a run give "
            "--warmup-ratio 0"
        )
