"""One exception tree. A message is one line: what is wrong, where, and how to fix it. The CLI exits with 2."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import reprlib
from types import FunctionType
from typing import TypeVar

_Kind = TypeVar("_Kind")


class _Starts(reprlib.Repr):
    """Cuts what it shows at the end, and shows integers that Python refuses to print."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxother = 4, 200
        self.maxlist = self.maxdict = self.maxtuple = self.maxset = 20

    def repr_str(self, x: str, level: int) -> str:
        return repr(x[:200])

    def repr_int(self, x: int, level: int) -> str:
        if not isinstance(x, int):  # the text of a flag, whose type is named like this one
            return self.repr_str(x, level)
        return repr(x) if x.bit_length() < 1000 else f"an integer of {x.bit_length()} bits"


_STARTS = _Starts()


def shown(value: object, width: int = 80) -> str:
    """The start of ``repr(value)`` on one line, at most ``width`` characters; never fails, whatever its size."""
    text = " ".join(_STARTS.repr(value).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def one_line(error: BaseException, width: int = 200) -> str:
    """The start of an error's message on one line, or its type's name where it says nothing."""
    return " ".join(str(error).split())[:width] or type(error).__name__


class AnatomyError(Exception):
    """Base of every error that a user can fix; shown without a traceback."""


class RowsError(AnatomyError):
    """The preference rows cannot be read as they are (file, column, row, value)."""


class SettingsError(AnatomyError):
    """A flag, a configuration file or a combination of settings is wrong."""


class ModelError(AnatomyError):
    """The subject model, its tokenizer or its chat template cannot be used."""


class SAEError(AnatomyError):
    """The sparse autoencoder is missing, does not fit the model, or is unhealthy on these rows."""


class ProbeError(AnatomyError):
    """A detector cannot be fitted on these examples, or a saved one does not fit what it is asked to score."""


class PlanError(AnatomyError):
    """A plan of interventions is wrong, or names what the rows, the run or the detectors do not have."""


class RunError(AnatomyError):
    """The run directory lacks an artifact, or holds one of another run."""


class JudgeError(AnatomyError):
    """The judge's endpoint refuses every request (address, key, model), or its cache cannot be used."""


class MachineError(AnatomyError):
    """The machine refuses: a full disk, a file that may not be read or written, too little memory."""


_FULL = "the disk, its quota or the limit on a file's size is reached; free space and give the same command again"
_FORBIDDEN = "not allowed here; change its rights or owner, or name another place"
_GONE = "not there; was it moved or deleted, and is the path right?"
_BROKEN = "the disk or network drive fails; check it, or name another place"
REFUSALS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: "this place is read-only; name another, or copy the folder",
    errno.ENAMETOOLONG: "the name is too long for this file system; name a shorter one",
    errno.ENOENT: _GONE,
    errno.ENOTDIR: "part of the path is a file, not a folder; name another place",
    errno.EISDIR: "a folder stands where a file is expected; move it, or name another place",
    errno.EEXIST: "something of this name is there already; move it, or name another place",
    errno.ENOTEMPTY: "the folder is not empty; another process may be writing there",
    errno.ELOOP: "its links lead in a circle; name the place itself",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n`)",
    errno.ENFILE: "the machine has too many files open; close other programs",
    errno.ENXIO: "no file that can be read as one; name a regular file",
    errno.ENODEV: "no file that can be read as one; name a regular file",
    errno.EBUSY: "in use by another process; wait for it, or name another place",
    errno.EIO: _BROKEN,
    errno.ESTALE: _BROKEN,
    errno.EAGAIN: "the machine is at its limit of processes or threads; close other programs",
    errno.ENOMEM: "not enough memory; close other programs, or take fewer rows or smaller batches",
}
"""What is wrong and what to do, for each ``errno`` that a user can do something about."""
_PHRASES = {
    r"unexpected pos \d+ vs|iostream error": errno.ENOSPC,  # torch, whose file stopped growing
    r"^\d+ requested and \d+ written$": errno.ENOSPC,  # numpy
    r"database or disk is full": errno.ENOSPC,  # SQLite, and the next
    r"disk I/O error": errno.EIO,
    r"can't start new thread": errno.EAGAIN,
    r"DefaultCPUAllocator|out of memory": errno.ENOMEM,  # torch: CPU, and GPUs
    r"with strerror: Permission denied": errno.EACCES,
    r"with strerror: No such file": errno.ENOENT,
    r"with strerror: Read-only": errno.EROFS,
}
"""Libraries that hide the ``errno`` say one of these."""
_KINDS = {MemoryError: errno.ENOMEM, FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}
_NUMBER = re.compile(r"(?:\bos error |\[errno )(\d+)", re.IGNORECASE)


class explained(contextlib.ContextDecorator):
    """A block, or a function, that raises a :class:`MachineError` in place of what the machine refuses inside."""

    def __enter__(self) -> None:
        """Nothing is prepared."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the explanation in place of ``error``."""
        found = None if error is None else machine_error(error)
        if found is not None:
            raise found from error


def methods_explained(kind: type[_Kind]) -> type[_Kind]:
    """Return a class after its public methods were made to raise what :class:`explained` says; a decorator."""
    for name, method in list(vars(kind).items()):
        if isinstance(method, FunctionType) and not name.startswith("_"):
            setattr(kind, name, explained()(method))
    return kind


def machine_error(error: BaseException) -> MachineError | None:
    """One line about a refusal of the operating system, by Python or any library; None if ``error`` is none."""
    if isinstance(error, AnatomyError):
        return None
    number = _refusal(error)
    if number is None:
        return None
    names = [name for name in (getattr(error, "filename", None), getattr(error, "filename2", None)) if name is not None]
    where = " → ".join(os.fsdecode(name) if isinstance(name, str | bytes) else str(name) for name in names)
    said = "" if where else f" ({' '.join(str(error).split()) or type(error).__name__})"
    return MachineError(f"{where + ': ' if where else ''}{REFUSALS[number]}{said}")


def _refusal(error: BaseException) -> int | None:
    """The ``errno`` that an exception is about, if it is one of :data:`REFUSALS`."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _NUMBER.search(str(error))):
        number = int(found[1])
    if number is None:
        number = next((number for kind, number in _KINDS.items() if isinstance(error, kind)), None)
    if number is None and not isinstance(error, ValueError | TypeError | LookupError):
        number = next((number for phrase, number in _PHRASES.items() if re.search(phrase, str(error))), None)
    return number if number in REFUSALS else None
