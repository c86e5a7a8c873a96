"""All that reaches a terminal: output, and on standard error progress bars and plain lines of messages.

Nothing else in the package prints. Results go to standard output by :func:`output`; everything else is a message of
:data:`logger`, which a Python caller can route as it likes and the command line shows as plain lines, like the warnings
and the messages of libraries. Rows, names and answers of models are in all of them: what a terminal would obey is
escaped here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from functools import cache
from pathlib import PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from anatomy.errors import one_line
from anatomy.text.redaction import redacted
from anatomy.text.visible import printable, visible

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
            self._task = self._progress.add_task(visible(what), total=total, note="")

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
            self._progress.update(self._task, advance=n, note=visible(note) if note else "")

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


def output(text: object, end: str = "\n") -> None:
    """Write a result to standard output at once, with everything that a terminal would obey escaped."""
    if sys.stdout is not None:  # None where it was closed before the start
        sys.stdout.write(printable(str(text)) + end)
        sys.stdout.flush()


def message(text: str) -> None:
    """Write a message to standard error, escaped and without secrets in addresses; lost where nobody can read it."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: closed
        if sys.stderr is not None:
            sys.stderr.write(printable(redacted(text)) + "\n")
            sys.stderr.flush()


class _StandardError(logging.Handler):
    """Writes to what ``sys.stderr`` is at that moment: a bar, or a test, may have replaced it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one plain line."""
        message(self.format(record))


class _PlainRecord(logging.LogRecord):
    """A message of any logger as one plain line, whichever handler shows it: libraries bring handlers of their own."""

    def __init__(
        self, name: str, level: int, pathname: str, lineno: int, msg: object, args: Any, exc_info: Any, *more: Any
    ) -> None:
        super().__init__(name, level, pathname, lineno, msg, args, None, *more[:1])  # no traceback, no stack
        error = exc_info[1] if exc_info else None
        self._said = "" if error is None else f" ({type(error).__name__}: {one_line(error)})"

    def getMessage(self) -> str:
        """Return the message with what an exception says behind it, on one line, escaped and without secrets."""
        return printable(redacted(" ".join(super().getMessage().split("\n")) + self._said))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what the module ``warnings`` has to say as a message; it would write it as it is."""
    logger.warning(f"warning: {message} ({category.__name__}, {PurePath(filename).name}, line {lineno})")


def prepare_streams() -> None:
    """Make standard streams safe to write to: closed ones lead nowhere, and no character is one that they refuse."""
    for number in range(3):  # else the next file that is opened would take the number, and the prints
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def end_output() -> None:
    """Write what standard output still holds, or throw it away, so that the interpreter's end does not fail on it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):  # no file of the operating system
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_messages() -> None:
    """Show messages, and what libraries log and warn of, as plain lines on standard error; for command-line entries."""
    if not logger.handlers:
        logger.addHandler(_StandardError())
        logger.setLevel(logging.INFO)
        logger.propagate = False  # a library that configures the root logger would show each line twice
    logging.setLogRecordFactory(_PlainRecord)
    logging.lastResort = _StandardError(logging.WARNING)  # shows what libraries without a handler say
    logging.raiseExceptions = False  # a message that cannot be shown is no reason for a traceback
    warnings.showwarning = _show_warning
