"""How a training was launched, and what its settings alone forbid: said before the seconds that trainers take to load.

accelerate's launcher speaks to its processes through their environment. What it decides there (how many processes,
sharded or not, numeric type) is read here: accelerate's own state says that a model will be sharded only once an
``Accelerator`` exists, which is too late to choose where the reference comes from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anatomy.activations.model import choose_device
from anatomy.errors import AnatomyError, SettingsError
from anatomy.progress import logger
from interventions.plan.plan import Plan, RewardShaping, load_plan
from interventions.training.train_settings import SHAPED, SFTSettings, TrainSettings

SHARDED_FILE = "configs/accelerate/fsdp2.yaml"
DRIVER_GPUS = Path("/proc/driver/nvidia/gpus")
"""Linux's driver of NVIDIA GPUs has a folder for each here."""


@dataclass(frozen=True)
class Launch:
    """What accelerate's launcher decided.

    Attributes:
        processes: how many processes train together.
        sharded: whether FSDP splits the models among the processes.
        fsdp_version: FSDP's version, if it does.
        deepspeed: whether DeepSpeed was asked for.
        precision: numeric type that the launcher asks for, ``no`` if none.
    """

    processes: int
    sharded: bool
    fsdp_version: str
    deepspeed: bool
    precision: str

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Launch:
        """Read the launcher's environment; without a launcher there is one process, which is not sharded."""

        def flag(name: str) -> bool:
            return environment.get(name, "false").lower() in ("1", "true", "yes")

        return cls(
            processes=int(environment.get("WORLD_SIZE", "1")),
            sharded=flag("ACCELERATE_USE_FSDP"),
            fsdp_version=environment.get("FSDP_VERSION", "1"),
            deepspeed=flag("ACCELERATE_USE_DEEPSPEED"),
            precision=environment.get("ACCELERATE_MIXED_PRECISION", "no").lower(),
        )


def visible_gpus(environment: Mapping[str, str] = os.environ) -> int | None:
    """How many GPUs this process may use, as driver and environment say, without torch; None if they do not say."""
    if not DRIVER_GPUS.is_dir():
        return None
    there, named = len(list(DRIVER_GPUS.iterdir())), environment.get("CUDA_VISIBLE_DEVICES")
    if named is None or there == 0:
        return there
    words = [word.strip() for word in named.split(",")]
    hidden = next((at for at, word in enumerate(words) if word in ("", "-1")), len(words))  # CUDA stops reading there
    return hidden if "MIG-" in named else min(hidden, there)


@contextmanager
def said_once() -> Iterator[None]:
    """Within the context an error that every process comes to is said by the first; the others end without a word."""
    try:
        yield
    except AnatomyError:
        if os.environ.get("RANK", "0") != "0":
            raise SystemExit(2) from None
        raise


@said_once()
def check_launch(settings: SFTSettings) -> None:
    """Refuse what cannot be trained, from settings, plan and launch alone, and say which of several GPUs is used.

    Raises:
        SettingsError: settings that do not go together, or not with the launch.
        ModelError: torch finds no such device.
        PlanError: the plan cannot be read, or is wrong.
    """
    launch, visible = Launch.of(), visible_gpus()
    if settings.device in ("auto", "cuda"):
        _say_that_one_is_used(launch, visible or 0)
    _refuse_launch(settings, launch)
    accumulated_batches(settings, launch.processes)
    if isinstance(settings, TrainSettings) and settings.plan is not None:
        refuse_shaping(settings, load_plan(settings.plan))
    device = choose_device(settings.device)  # torch, which takes seconds to import, is not needed before
    if device == "cuda":
        _check_gpus(settings, launch, visible)
    elif visible and settings.device == "auto":
        logger.info(f"train: torch finds no GPU that it can use here; device {device}")


def accumulated_batches(settings: SFTSettings, processes: int) -> int:
    """Return how many forward passes of each process make a step.

    Raises:
        SettingsError: the batch does not divide among processes and forward passes.
    """
    at_once = settings.micro_batch_size * processes
    if settings.batch_size % at_once:
        raise SettingsError(
            f"batch_size {settings.batch_size} is no multiple of {at_once} = micro_batch_size "
            f"{settings.micro_batch_size} × {processes} processes; change one of them"
        )
    return settings.batch_size // at_once


def refuse_shaping(settings: TrainSettings, plan: Plan) -> None:
    """Refuse a plan that shapes rewards under a loss that has no argument to add an offset to.

    Raises:
        SettingsError: the loss does not admit what the plan asks for.
    """
    shapes = any(isinstance(item, RewardShaping) and item.strength != 0 for item in plan.interventions)
    if shapes and settings.loss not in SHAPED:
        raise SettingsError(
            f"loss {settings.loss} does not admit reward shaping, which {settings.plan} asks for; use one of "
            f"{', '.join(SHAPED)}, or another backend"
        )


def _refuse_launch(settings: SFTSettings, launch: Launch) -> None:
    if launch.deepspeed:
        raise SettingsError(f"DeepSpeed is not supported; launch with --config_file {SHARDED_FILE}")
    if launch.sharded and launch.fsdp_version != "2":
        raise SettingsError(
            f"FSDP of version {launch.fsdp_version} is not supported; launch with --config_file {SHARDED_FILE}"
        )
    if launch.precision not in ("no", "bf16" if settings.bf16 else "no"):
        raise SettingsError(
            f"the launcher asks for mixed precision {launch.precision} and the settings for bf16={settings.bf16}; give "
            "--bf16, or launch with --mixed_precision no"
        )


def _check_gpus(settings: SFTSettings, launch: Launch, said: int | None) -> None:
    import torch

    if settings.bf16 and not torch.cuda.is_bf16_supported():
        raise SettingsError("bf16: this GPU does not compute in bfloat16; give --no-bf16")
    if said is None:
        _say_that_one_is_used(launch, torch.cuda.device_count())


def _say_that_one_is_used(launch: Launch, visible: int) -> None:
    if launch.processes == 1 and visible > 1:
        logger.info(
            f"train: {visible} GPUs are visible and one process was started, which uses the first; for all of them: "
            f"accelerate launch --num_processes {visible} -m anatomy ..."
        )
