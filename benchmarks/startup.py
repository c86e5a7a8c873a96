"""Seconds until `anatomy --help` and `import anatomy` are done, beside an interpreter that does nothing.

    python benchmarks/startup.py

Best of several fresh processes, in turn: wall time and the processor time of the child.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import anatomy": ["-c", "import anatomy"],
    "anatomy --help": ["-m", "anatomy", "--help"],
    "anatomy": ["-m", "anatomy"],
    "anatomy audit --help": ["-m", "anatomy", "audit", "--help"],
}
REPEATS = 5


def measure(words: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):
        for name, words in COMMANDS.items():
            measured[name].append(measure(words))
    print(f"{'':22} {'wall s':>8} {'CPU s':>8}   best of {REPEATS}")
    for name, found in measured.items():
        walls, processors = zip(*found, strict=True)
        print(f"{name:22} {min(walls):8.3f} {min(processors):8.3f}")


if __name__ == "__main__":
    main()
