"""What a person sees while work runs, on standard error: progress bars on a terminal, and plain lines of messages.

Output goes to standard output by ``print``; everything else is a message of :data:`logger`, which a Python caller can
route as it likes and the command line shows as plain lines.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

logger = logging.getLogger("anatomy")
"""Messages that are not output: what a stage is about to cost, what it took, warnings."""


class Bar:
    """A progress bar on standard error; silent if that is not a terminal. Use as ``with progress_bar(...) as bar``."""

    def __init__(self, what: str, unit: str, total: int | None) -> None:
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            self._progress = _shown(unit)
            self._task = self._progress.add_task(what, total=total, note="")

    def __enter__(self) -> Bar:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more; ``note`` stands behind the bar until the next call. Safe from any thread."""
        if self._progress is not None:
            self._progress.update(self._task, advance=n, note=note)

    def start(self) -> None:
        """Show the bar."""
        if self._progress is not None:
            self._progress.start()

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()


def progress_bar(what: str, unit: str, total: int | None = None) -> Bar:
    """A bar named ``what`` that counts ``unit``s, of ``total`` if known."""
    return Bar(what, unit, total)


@cache
def _console() -> Console:
    """One console for all bars: rich stacks bars that share it, and writes messages above them."""
    from rich.console import Console

    return Console(stderr=True)


def _shown(unit: str) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}s", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=_console(),
        transient=True,
        redirect_stdout=False,  # standard output is for results, and may be a file
    )


class _StandardError(logging.Handler):
    """Prints to what ``sys.stderr`` is at that moment: a bar, or a test, may have replaced it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record as one plain line."""
        print(self.format(record), file=sys.stderr, flush=True)


def show_messages() -> None:
    """Show messages as plain lines on standard error; called once by each command-line entry."""
    if not logger.handlers:
        logger.addHandler(_StandardError())
        logger.setLevel(logging.INFO)
        logger.propagate = False  # a library that configures the root logger would show each line twice
