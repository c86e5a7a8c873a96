"""What is left of an error of ours: one line, and a private log with the traceback."""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
import traceback
from collections.abc import Sequence

from anatomy import __version__
from anatomy.text.redaction import redacted
from anatomy.text.visible import printable


def bug_line(error: BaseException, words: Sequence[str]) -> str:
    """The line about an error of ours, after its log was written: a file that nobody else can read."""
    log = _written(error, words)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"{os.path.basename(frame.filename)}, line {frame.lineno}" for frame in last)
    said = " ".join(str(error).split()) or "no message"
    details = f"the log {log} holds the details" if log else f"no log could be written; it happened in {place}"
    return f"{type(error).__name__}: {said[:500]}; {details}, please report it"


def _written(error: BaseException, words: Sequence[str]) -> str | None:
    """Path of the log; None where the temporary folder cannot be written to."""
    head = (
        f"anatomy {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"$ anatomy {shlex.join(words)}\n"
        "The messages below may quote your rows: read them before you send this file.\n\n"
    )
    text = printable(redacted(head + "".join(traceback.format_exception(error))))
    try:
        handle, path = tempfile.mkstemp(prefix="anatomy-bug-", suffix=".log")  # readable by its owner only
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return path
