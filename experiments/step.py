"""A step of a study: a module in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def step(module: str, *words: object) -> None:
    """Run a module with these arguments; a failure ends the study with its exit code."""
    print("$", module, *words, file=sys.stderr, flush=True)
    code = subprocess.run([sys.executable, "-m", module, *map(str, words)]).returncode
    if code:
        sys.exit(code)
