"""A step of a study: a module in a process of its own; several at once where they do not wait for each other."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

PRELOADED = [
    "anatomy.workflows.audit",
    "anatomy.workflows.validate",
    "anatomy.activations.forward",
    "anatomy.sae.load_sae",
    "interventions.training.dpo_trainer",
    "transformers.models.auto.modeling_auto",
]
"""Imported once, for all steps: on a slow machine their import takes longer than many a step."""


class Steps:
    """Runs steps, at most ``workers`` at a time, each in a process forked from one that has imported what they need."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.free = threading.BoundedSemaphore(workers)
        self.failed = 0
        # Looking for a GPU must not start CUDA in the process that is forked.
        os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def __call__(self, module: str, *words: object) -> None:
        """Run a module with these arguments; a failure ends the study with its exit code."""
        with self.free:
            if not self.failed:
                print("$", module, *words, file=sys.stderr, flush=True)
                process = self.context.Process(target=_main, args=(module, [str(word) for word in words]))
                process.start()
                process.join()
                self.failed = process.exitcode or 0
        if self.failed:
            sys.exit(self.failed)

    def together(self, jobs: Sequence[Callable[[], object]]) -> None:
        """Call what does not depend on each other; after a failure no further step begins."""
        if self.workers == 1:
            for job in jobs:
                job()
            return
        with ThreadPoolExecutor(max(1, len(jobs))) as pool:  # a job's steps wait for a free worker
            for begun in [pool.submit(job) for job in jobs]:
                begun.result()


def _main(module: str, words: list[str]) -> None:
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


step = Steps()
"""One step at a time."""
