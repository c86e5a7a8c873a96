"""Command lines run one after another in each of two gloo processes on the CPU, started as ``torchrun`` starts them.

accelerate shards models on accelerators only. Here the CPU counts as one, so that FSDP2 runs as it does on GPUs, with
the settings of ``configs/accelerate/fsdp2.yaml``. One launch serves several jobs, because importing takes longest.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parents[2]
FSDP2 = ROOT / "configs" / "accelerate" / "fsdp2.yaml"


@dataclass(frozen=True)
class Job:
    """One command line.

    Attributes:
        arguments: of ``anatomy``; with ``--out``.
        sharded: under FSDP2, else DDP.
        treated: rows are edited by :func:`treated`, whatever the plan says.
        dies_at: step after which the second process is killed once, 0 for never.
        expected: exit code of each process.
    """

    arguments: list[str]
    sharded: bool = False
    treated: bool = False
    dies_at: int = 0
    expected: int = 0

    @property
    def out(self) -> Path:
        """Folder that the job writes to."""
        return Path(self.arguments[self.arguments.index("--out") + 1])


def fsdp_environment() -> dict[str, str]:
    """What ``accelerate launch --config_file configs/accelerate/fsdp2.yaml`` tells its processes."""
    import yaml

    file = yaml.safe_load(FSDP2.read_text())
    found = {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_MIXED_PRECISION": file["mixed_precision"]}
    for name, value in file["fsdp_config"].items():
        found[name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def launch(jobs: Sequence[Job], folder: Path, seconds: int = 300, **variables: str) -> str:
    """Run ``jobs`` in two processes; return what they wrote, and fail if one of them failed.

    Those that die are begun before, in processes of their own.
    """
    for job in jobs:
        if job.dies_at:
            killed = _launched([job], folder, seconds, variables)
            assert killed.returncode != 0, killed.stdout + killed.stderr
            assert _mark(job).exists(), killed.stdout + killed.stderr
    done = _launched(jobs, folder, seconds, variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _launched(
    jobs: Sequence[Job], folder: Path, seconds: int, variables: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    path = folder / "jobs.json"
    path.write_text(json.dumps([asdict(job) for job in jobs]))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(Path(__file__)), str(path)]
    paths = f"{ROOT}:{ROOT / 'tests'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **variables}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=folder, capture_output=True, text=True, timeout=seconds
    )


def _mark(job: Job) -> Path:
    """A file beside a job's output, there once its processes were killed."""
    return job.out.parent / f"{job.out.name}.killed"


@contextmanager
def treated() -> Iterator[None]:
    """Within the context every plan shapes, inoculates, masks and steers a row each of five, and leaves the fifth."""
    import torch

    from interventions.backends.pair_edits import PairEdit, SideEdit, SteeringVector
    from interventions.backends.planned_rows import plan_rows

    vector = SteeringVector("bold", 1, torch.randn(32, generator=torch.Generator().manual_seed(3)))
    sides = (
        {},
        {"chosen": SideEdit(instruction="Be bold.")},
        {"chosen": SideEdit(masked=((0, 9),)), "rejected": SideEdit(masked=((4, 12),))},
        {"chosen": SideEdit(steered=(0,)), "rejected": SideEdit(steered=(0,))},
        {},
    )

    def edited(number: int, edit: PairEdit) -> PairEdit:
        offset, gaps = (0.7 if number % 5 == 0 else 0.0), {"bold": float(number % 5 - 2)}
        return replace(edit, offset=offset, gaps=gaps, **sides[number % 5])

    def planned(*given):
        found = plan_rows(*given)
        return found._replace(edits=[edited(*item) for item in enumerate(found.edits)], vectors=[vector])

    with patch("interventions.training.prepared_rows.plan_rows", planned):
        yield


def _count_cpus_as_accelerators() -> None:
    """Let accelerate shard on the CPU."""
    import torch.distributed
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    def backend(*_: object) -> tuple[str, DistributedType]:
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true"
        return "gloo", DistributedType.MULTI_GPU if sharded else DistributedType.MULTI_CPU

    PartialState._prepare_backend = backend
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"


@contextmanager
def _slow_to_write() -> Iterator[None]:
    """Let the second process keep its reference log-probabilities later than the first comes to read them."""
    from interventions.training.reference_cache import ReferenceCache

    ordinary = ReferenceCache.write

    def write(self, lines):
        if os.environ["RANK"] == "1":
            time.sleep(0.7)
        ordinary(self, lines)

    with patch.object(ReferenceCache, "write", write):
        yield


@contextmanager
def _dying(job: Job) -> Iterator[None]:
    """Kill the second process after a step, once."""
    from interventions.training.checkpoints import StepLog

    mark, ordinary = _mark(job), StepLog.on_log

    def on_log(self, args, state, control, **named):
        found = ordinary(self, args, state, control, **named)
        if state.global_step == job.dies_at and os.environ["RANK"] == "1" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    with patch.object(StepLog, "on_log", on_log):
        yield


def merged_by(job_out: Path) -> Path:
    """A file beside a job's output with a line for each process that wrote the model that verbs load."""
    return job_out.parent / f"{job_out.name}.merged-by"


@contextmanager
def _recording(job: Job) -> Iterator[None]:
    """Note which processes write the model of a job."""
    from transformers import PreTrainedModel

    ordinary = PreTrainedModel.save_pretrained

    def save_pretrained(self, folder, *given, **named):
        if Path(folder) == job.out / "model":
            with merged_by(job.out).open("a") as file:
                file.write(os.environ["RANK"] + "\n")
        return ordinary(self, folder, *given, **named)

    with patch.object(PreTrainedModel, "save_pretrained", save_pretrained):
        yield


def _run(job: Job) -> None:
    from contextlib import nullcontext

    from accelerate.state import AcceleratorState

    from anatomy.cli.app import main

    AcceleratorState._reset_state(True)
    environment = patch.dict(os.environ, fsdp_environment() if job.sharded else {})
    with environment, treated() if job.treated else nullcontext(), _dying(job), _slow_to_write(), _recording(job):
        try:
            code = main(job.arguments)
        except SystemExit as left:  # a process that leaves the word to the first
            code = left.code
    if code != job.expected:
        print(f"{job.out}: exit code {code}", file=sys.stderr, flush=True)
        os._exit(1)


if __name__ == "__main__":
    import torch.distributed

    _count_cpus_as_accelerators()
    for values in json.loads(Path(sys.argv[1]).read_text()):
        _run(Job(**values))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # gloo's threads may outlive the group, and ending with one that runs aborts the process
