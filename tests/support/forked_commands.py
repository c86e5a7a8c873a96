"""The command line in forked processes: many runs at the cost of one import, each with limits and with accidents.

:class:`Commands` starts one process (this file, run as a script) that imports everything and then forks for each
request. A forked command may be limited in time, memory and file size, and may meet an accident at the n-th event at
which it changes something below a watched folder: a file opened for writing, a rename, a removal, a new folder.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BATCH = 100
SECONDS = 120
"""Limit of a command that is not asked to be quick: far beyond what a busy machine needs."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
ERROR = re.compile(r"anatomy: error: [^\n]+\Z")


@dataclass(frozen=True)
class Accident:
    """What happens at the ``at``-th change (from 1) below ``folder``.

    ``kind``: ``kill`` ends the process ``delay_s`` later as SIGKILL does; ``full`` fails this and every later change
    with ENOSPC; ``count`` lets it pass.
    """

    folder: str
    kind: str
    at: int = 0
    delay_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit status (negative: a signal), output, peak memory above the import's, and changes."""

    argv: list[str]
    status: int
    out: str
    err: str
    seconds: float
    timed_out: bool
    extra_mb: float = 0.0
    changes: int = 0

    def fault(self) -> str | None:
        """What breaks the rule that holds for every command, or None.

        The rule: exit 0, or exit 2 after one line that names the error; no traceback, no signal, no hang, and nothing
        on the terminal that it would obey.
        """
        if self.timed_out:
            return f"no end within {self.seconds:.0f} s"
        if self.status not in (0, 2):
            return f"exit {self.status}"
        if "Traceback" in self.err or "Traceback" in self.out:
            return "a traceback"
        found = CONTROL.search(self.err) or CONTROL.search(self.out)
        if found:
            return f"raw {found.group()!r} for the terminal"
        if self.status == 2 and not ERROR.search(self.err.rstrip("\n").rsplit("\n", 1)[-1]):
            return "exit 2 without a line that names the error"
        return None

    def described(self) -> str:
        """The command and its end, in ASCII, for the message of a failed test."""
        text = f"anatomy {' '.join(self.argv)}\nexit {self.status}\n{self.out[-1000:]}\n{self.err[-3000:]}"
        return ascii(text)[1:-1].replace("\\n", "\n")


@dataclass
class Commands:
    """Runs commands one after the other in forks of one process."""

    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(
        self,
        *argv: str | Path,
        seconds: float = SECONDS,
        memory_mb: int | None = None,
        file_mb: float | None = None,
        accident: Accident | None = None,
        cwd: Path | None = None,
    ) -> Outcome:
        """Run ``anatomy ARGV`` and return how it ended.

        Args:
            memory_mb: address space that it may take beyond what the imports hold.
            file_mb: size of the largest file that it may write.
        """
        request = {"batch": [[str(word) for word in argv]], "seconds": seconds, "memory_mb": memory_mb,
                   "file_mb": file_mb, "accident": asdict(accident) if accident else None,
                   "cwd": str(cwd) if cwd else None}  # fmt: skip
        return Outcome(**self._answer(request)[0])

    def run_each(self, commands: Sequence[Sequence[str | Path]], seconds: float = SECONDS) -> list[Outcome]:
        """Run commands one after the other in as few forks as possible: a new one only after one that died.

        Args:
            seconds: limit of each command.
        """
        done: list[Outcome] = []
        while len(done) < len(commands):
            rest = [[str(word) for word in argv] for argv in commands[len(done) : len(done) + BATCH]]
            done += [Outcome(**answer) for answer in self._answer({"batch": rest, "seconds": seconds})]
        return done

    def _answer(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the process that forks commands has died"
        return json.loads(line)

    def close(self) -> None:
        """End the process that forks."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def summed_up(bad: Sequence[tuple[str, Outcome]], count: int) -> str:
    """The first of the bad outcomes of ``count`` commands, for the message of a failed test."""
    return f"{len(bad)} of {count}:\n" + "\n\n".join(f"{fault}\n{outcome.described()}" for fault, outcome in bad[:6])


def _import_everything() -> None:
    import sae_lens  # noqa: F401
    import sklearn.cluster  # noqa: F401
    import trl  # noqa: F401
    from transformer_lens.model_bridge import TransformerBridge  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    import anatomy.cli.audit_verbs
    import anatomy.cli.concept_verbs
    import anatomy.cli.plan_verbs
    import anatomy.cli.prediction_verbs
    import anatomy.cli.probe_verbs
    import anatomy.cli.sae_verbs  # noqa: F401


def _serve() -> None:
    """Fork for each request on standard input; answer with one line each."""
    _import_everything()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps([asdict(outcome) for outcome in _forked(json.loads(line))]) + "\n")
        answers.flush()


def _forked(request: dict[str, Any]) -> list[Outcome]:
    """Outcomes of the batch's commands up to the first that ended the process."""
    with tempfile.TemporaryDirectory() as name:
        notes, started = Path(name), time.monotonic()
        child = os.fork()
        if child == 0:
            _become(request, notes)
        status, timed_out = _waited(child)
        done = [Outcome(**json.loads(path.read_bytes())) for path in sorted(notes.glob("done-*"))]
        if len(done) < len(request["batch"]):
            texts = [(notes / f"{kind}-{len(done):04d}").read_text("utf-8", "replace") for kind in ("out", "err")]
            argv, seconds = request["batch"][len(done)], time.monotonic() - started
            done.append(Outcome(argv, status, *texts, seconds, timed_out))
        return done


def _waited(child: int) -> tuple[int, bool]:
    """Exit status of a fork, and whether its own alarm ended it."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it started ends with it
    return status, status == -signal.SIGALRM


def _become(request: dict[str, Any], notes: Path) -> None:
    """The forked process: take the limits, run the commands, and end without the parent's clean-up."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request.get("cwd"):
        os.chdir(request["cwd"])
    if request.get("memory_mb"):
        limit = (_status_kb("VmSize") << 10) + (request["memory_mb"] << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    accident = request.get("accident")
    changes = _meet(Accident(**accident)) if accident else [0]
    for number, argv in enumerate(request["batch"]):
        started, before = time.monotonic(), _status_kb("VmRSS") / 1024
        streams = [_redirected(fd, notes / f"{kind}-{number:04d}") for fd, kind in ((1, "out"), (2, "err"))]
        sys.stdout, sys.stderr = streams
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends a process at once
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
        status = _status_of(argv, request.get("file_mb"))
        signal.setitimer(signal.ITIMER_REAL, 0)
        for stream in streams:
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        texts = [(notes / f"{kind}-{number:04d}").read_text("utf-8", "replace") for kind in ("out", "err")]
        peak = _status_kb("VmHWM") / 1024
        outcome = Outcome(argv, status, *texts, time.monotonic() - started, False, max(0.0, peak - before), changes[0])
        (notes / f"done-{number:04d}").write_text(json.dumps(asdict(outcome)))
    os._exit(0)


def _redirected(descriptor: int, path: Path) -> io.TextIOWrapper:
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, descriptor)
    os.close(file)
    return open(descriptor, "w", encoding="utf-8", buffering=1, closefd=False)


def _status_of(argv: list[str], file_mb: float | None) -> int:
    from anatomy.cli.app import main

    sys.argv = ["anatomy", *argv]
    if file_mb is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_mb * (1 << 20)), resource.RLIM_INFINITY))
    try:
        return main(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _meet(accident: Accident) -> list[int]:
    """Count changes below the folder, and let the accident happen; returns the cell that holds the count."""
    changes, folder = [0], accident.folder

    def hook(event: str, arguments: tuple) -> None:
        if not _is_change(event, arguments, folder):
            return
        changes[0] += 1
        if accident.kind == "kill" and changes[0] == accident.at:
            if not accident.delay_s:
                os.kill(os.getpid(), signal.SIGKILL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends a process at once, as SIGKILL does
            signal.setitimer(signal.ITIMER_REAL, accident.delay_s)
        if accident.kind == "full" and changes[0] >= accident.at and event != "os.remove":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)
    return changes


def _is_change(event: str, arguments: tuple, folder: str) -> bool:
    if event == "open":
        path, mode, flags = arguments
        writes = (
            any(letter in mode for letter in "wax+")
            if isinstance(mode, str)
            else bool(flags & (os.O_WRONLY | os.O_RDWR))
        )
        return writes and isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(folder)
    if event in ("os.rename", "os.remove", "os.mkdir", "os.truncate", "sqlite3.connect"):
        path = arguments[0]
        return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(folder)
    return False


def _status_kb(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name + ":"))
    return int(line.split()[1])


if __name__ == "__main__":
    _serve()
