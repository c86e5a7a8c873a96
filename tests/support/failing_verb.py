"""Run the command line with one workflow replaced: ``python failing_verb.py HOW[,HOW...] WORDS...``.

HOW names a failure. If there are several, each runs in a forked process, in a folder of its own name in the working
directory, and leaves there what it wrote to standard error, and its exit code.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

LIMIT = 1 << 16
"""Bytes that one file may have: what a full disk does to a write, but wanting no disk of its own."""


class Panic(BaseException):
    """What the panics of Rust libraries look like: no ``Exception``."""


def text(path: Path) -> None:
    path.write_text("x" * 4 * LIMIT)


def numpy_array(path: Path) -> None:
    import numpy as np

    np.save(path, np.zeros(LIMIT))


def parquet(path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": np.random.default_rng(0).random(LIMIT)}), path)


def tensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(LIMIT)}, path)


def checkpoint(path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(LIMIT)}, path)


def database(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as opened:
        opened.execute("CREATE TABLE t (a TEXT)")
        opened.execute("INSERT INTO t VALUES (?)", ("x" * 4 * LIMIT,))


def array_memory(path: Path) -> None:
    import numpy as np

    np.ones(1 << 56, dtype=np.uint8)


def tensor_memory(path: Path) -> None:
    import torch

    torch.empty(1 << 56, dtype=torch.uint8)


def table_memory(path: Path) -> None:
    import pyarrow as pa

    pa.allocate_buffer(1 << 56)


def gpu_memory(path: Path) -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def files(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    held = [open(os.devnull) for _ in range(100)]  # noqa: SIM115
    assert held


def long_name(path: Path) -> None:
    (path.parent / ("n" * 300)).write_text("")


def read_only(path: Path) -> None:
    raise OSError(30, os.strerror(30), str(path))


def forbidden(path: Path) -> None:
    raise PermissionError(13, os.strerror(13), str(path))


def missing(path: Path) -> None:
    (path.parent / "no-such" / "file").read_text()


def folder(path: Path) -> None:
    path.parent.read_text()


def not_a_folder(path: Path) -> None:
    path.write_text("")
    (path / "below").write_text("")


def circle(path: Path) -> None:
    path.symlink_to(path)
    path.read_text()


def broken(path: Path) -> None:
    raise OSError(5, os.strerror(5), str(path))


def bug(path: Path) -> None:
    raise KeyError("a \x1b]52;c;aGk=\x07 key\nof http://user:pass@host/sk-1/v1")


def panic(path: Path) -> None:
    raise Panic("index out of bounds")


def no_log(path: Path) -> None:
    os.environ["TMPDIR"] = "/nowhere"
    import tempfile

    tempfile.tempdir = "/nowhere"
    bug(path)


def hostile_output(path: Path) -> str:
    return "\x1b]52;c;aGk=\x07\x1b[2J\x9b2J \u202egnp.exe \ud800 \x00\x7f \u200b end"


def hostile_libraries(path: Path) -> str:
    """Warnings and messages of libraries, with and without handlers of their own, that quote a row or an address."""
    import logging
    import warnings
    from importlib import import_module

    hostile = "\x1b]52;c;aGk=\x07\x1b[2J\u202e\nsecond http://user:pass@host/sk-1/v1"
    for name in ("httpx", "trl", "datasets.x", "transformers.x", "huggingface_hub.x", "accelerate.x", "torch.x"):
        with contextlib.suppress(ImportError):
            import_module(f"{name.split('.')[0]}.utils.logging")  # has a handler of its own
        said = logging.getLogger(name)
        said.info("not shown %s", hostile)
        said.warning("%s: %s", name, hostile)
        try:
            raise ValueError(hostile)
        except ValueError:
            said.exception(name)
    said.warning("two %s of one", "words", "more")  # cannot be formatted
    warnings.warn(hostile, stacklevel=1)
    return "done"


def nothing(path: Path) -> str:
    return "done"


def run(how: str, words: list[str]) -> int:
    """One command line whose verb ``null`` fails in the way named."""
    if how not in ("nothing", "hostile_output", "hostile_libraries"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    stand_in = ModuleType("anatomy.workflows.null")

    def null(run: Path, **_: Any) -> Any:
        return globals()[how](Path(run))

    stand_in.null = null  # type: ignore[attr-defined]
    sys.modules[stand_in.__name__] = stand_in
    from anatomy.cli.app import main

    return main(words)


def run_each(hows: list[str], words: list[str]) -> None:
    """Fork once for each: libraries are imported once, and limits hold in the child only."""
    for name in ("pyarrow.parquet", "safetensors.torch", "torch", "anatomy.cli.app"):
        import_module(name)
    for how in hows:
        Path(how).mkdir()
        child = os.fork()
        if child == 0:
            os.chdir(how)
            os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT), 2)
            code = 99
            try:
                code = run(how, words)
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        Path(how, "code").write_text(str(code))


if __name__ == "__main__":
    names = sys.argv[1].split(",")
    sys.exit(run(names[0], sys.argv[2:]) if len(names) == 1 else run_each(names, sys.argv[2:]))
