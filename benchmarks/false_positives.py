"""The table of false positives in ``docs/statistics.md``: ``python -m benchmarks.false_positives [DRAWS]``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np

SIMULATIONS = Path(__file__).parent.parent / "tests" / "statistics"


def main(draws: int) -> None:
    """Print a line for each kind of context and signal: per cent of nulls with p < 0.05, and by the paper's z."""
    sys.path.insert(0, str(SIMULATIONS))
    simulated = importlib.import_module("test_size_power")
    rows = [(200, False, kind) for kind in simulated.KINDS] + [(200, True, "normal"), (200, True, "rare")]
    rows += [(25, False, kind) for kind in ("normal", "signs", "rare")] + [(25, True, "normal")]
    for inside, across, kind in rows:
        cells = []
        for pairs in simulated.PER_PROMPT:
            rates = [simulated.false_positives(pairs, kind, across, inside, seed) for seed in range(draws)]
            ours, paper = 100 * np.mean(rates, axis=0)[:2]
            cells.append(f"{ours:.1f} ({paper:.0f})")
        print("|", inside, "|", "across" if across else "whole", "|", kind, "|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
