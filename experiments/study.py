"""Studies as data: arms, seeds and grids in a YAML file, every step one command and one output; killed, it resumes.

    python -m experiments.study experiments/prediction/study.yaml --out DIR data=DIR seed=0 --dry-run

A step is made once for each output that its template gives over the grid. A word in braces is an axis (``{seed}``), a
variable of an axis's value, a value, ``{root}`` (the study's folder), ``{here}`` (the YAML file's), ``{out}`` or the
name of another step, which stands for that step's output and makes it run before; ``{train[arm=top]}`` is that step at
another value of an axis. A flag whose value is null is left out with its value. Outputs that are there are passed over;
``study.json`` in the study's folder records the command that made each, and a changed command is refused.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from anatomy import artifacts
from anatomy.errors import AnatomyError, SettingsError
from experiments.study_grid import Grid, Step

RECORD = "study.json"
PRELOADED = [
    "anatomy.workflows.audit",
    "anatomy.workflows.validate",
    "anatomy.activations.forward",
    "anatomy.sae.load_sae",
    "interventions.training.dpo_trainer",
    "transformers.models.auto.modeling_auto",
]
"""Imported once, for all steps: on a slow machine their import takes longer than many a step."""

Call = Callable[[str, Sequence[str]], int]
"""Runs a module with arguments; returns its exit code."""


@dataclass
class StepRecord:
    """What made each output and whether it is whole, in the study's folder."""

    root: Path
    made: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, root: Path) -> StepRecord:
        """What a study left; nothing in a new folder."""
        path = root / RECORD
        return cls(root, artifacts.read_json(path) if path.is_file() else {})

    def done(self, step: Step) -> bool:
        """Whether the step's output is there.

        Raises:
            SettingsError: the output is there, or was begun, by another command.
        """
        known = self.made.get(self._key(step))
        if known is not None and step.out.exists() and known["made_by"] != step.made_by:
            raise SettingsError(f"{step.out}: made with other settings; give those, or another --out")
        return known is not None and known["done"] and step.out.exists()

    def write(self, step: Step, done: bool) -> None:
        """Note that a step has begun or is done."""
        self.made[self._key(step)] = {"made_by": step.made_by, "done": done}
        artifacts.write_json(self.root / RECORD, dict(sorted(self.made.items())))

    def _key(self, step: Step) -> str:
        return str(step.out.relative_to(self.root))


def run(steps: Sequence[Step], root: Path, workers: int, call: Call) -> None:
    """Run the steps whose outputs are not there, at most ``workers`` at a time; after a failure no other one begins.

    Raises:
        SystemExit: a step failed, with its exit code.
        SettingsError: an output is there that another command made.
    """
    record = StepRecord.read(root)
    waiting = {step.out: step for step in steps if not record.done(step)}
    running: dict[Future[int], Step] = {}
    failed = 0
    with ThreadPoolExecutor(workers) as pool:
        while running or (waiting and not failed):
            busy = {step.out for step in running.values()}
            ready = [step for step in waiting.values() if not step.after & (waiting.keys() | busy)]
            for step in ready[: 0 if failed else workers - len(running)]:
                record.write(waiting.pop(step.out), done=False)
                running[pool.submit(make, step, call)] = step
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                if code := future.result():
                    print(f"study: {step.name} failed with exit code {code}: {step.out}", file=sys.stderr)
                    failed = failed or code
                else:
                    record.write(step, done=True)
    if failed:
        sys.exit(failed)


def make(step: Step, call: Call) -> int:
    """Make one step's output; returns the exit code of its command."""
    step.out.parent.mkdir(parents=True, exist_ok=True)
    if not step.words:
        artifacts.write_text(step.out, yaml.safe_dump(step.content, sort_keys=False, allow_unicode=True))
        return 0
    print("$", *map(shlex.quote, step.words), file=sys.stderr, flush=True)
    code = call(step.words[0], step.words[1:])
    if code == 0:
        for part in step.discard:
            shutil.rmtree(step.out / part, ignore_errors=True)
    return code


def forked() -> Call:
    """Runs each command in a process forked from one that has imported what they need."""
    # Looking for a GPU must not start CUDA in the process that is forked.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def call(module: str, words: Sequence[str]) -> int:
        process = context.Process(target=_main, args=(module, list(words)), daemon=True)
        process.start()
        process.join()
        return process.exitcode or 0

    return call


def _main(module: str, words: list[str]) -> None:
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def listing(steps: Sequence[Step], root: Path) -> str:
    """A line for each step: whether its output is there, its name, its command."""
    record = StepRecord.read(root)
    lines = [f"{'done' if record.done(step) else 'to do'}\t{step.name}\t{shlex.join(step.words) or step.out}"
             for step in steps]  # fmt: skip
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Run a study, or list its steps; a user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study's YAML file")
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE", help="of an axis (seed=0,1) or a value of the study")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--part", help="what to run, of the study's `parts` (default: the first)")
    parser.add_argument("--workers", type=int, default=1, help="steps at a time (1)")
    parser.add_argument("--dry-run", action="store_true", help="list the steps, run nothing")
    arguments = parser.parse_intermixed_args(words)
    if wrong := [word for word in arguments.values if "=" not in word]:
        parser.error(f"{wrong[0]}: give NAME=VALUE")
    try:
        root = arguments.out.resolve()
        asked = dict(word.split("=", 1) for word in arguments.values)
        steps = Grid.read(arguments.study.resolve(), root, asked).expand(arguments.part)
        if arguments.dry_run:
            print(listing(steps, root))
        else:
            run(steps, root, arguments.workers, forked())
    except AnatomyError as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
