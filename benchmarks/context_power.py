"""The table of context power in ``docs/statistics.md``: ``python -m benchmarks.context_power [DRAWS]``."""

from __future__ import annotations

import importlib
import sys

import numpy as np

from benchmarks.false_positives import SIMULATIONS

SETS = ((1_500, 1), (5_000, 1), (20_000, 1), (375, 4), (2_000, 4))
TOPICS = ((None, 0.9, "one context, 40 points"), (0.05, 0.75, "5 % of prompts, 25 points"),
          (0.25, 0.65, "25 % of prompts, 15 points"))  # fmt: skip


def main(draws: int) -> None:
    """Print a line for each set and topic: per cent of ten planted responses found, and of findings that are false."""
    sys.path.insert(0, str(SIMULATIONS))
    simulated = importlib.import_module("test_hierarchy")
    for prompts, per_prompt in SETS:
        for share, win, words in TOPICS:
            found = simulated.planted_power(prompts, per_prompt, share, win, draws, responses=10)
            cells = [f"{100 * power:.0f} ({100 * false:.1f})" for power, false in found.values()]
            print("|", prompts * per_prompt, "|", per_prompt, "|", words, "|", " | ".join(cells), "|", flush=True)
    for prompts, per_prompt in SETS[:2] + SETS[3:]:
        layouts, generator = simulated.Layouts(prompts, per_prompt), np.random.default_rng([7, prompts])
        nothing = np.full((prompts, simulated.RESPONSES), 0.5)
        with np.errstate(invalid="ignore"):
            any_found = [
                (simulated.hierarchical_q(layouts.p(simulated.drawn(nothing, per_prompt, generator), layouts.by_power))
                 <= simulated.LEVEL).any() for _ in range(20 * draws)
            ]  # fmt: skip
        share = 100 * np.mean(any_found)
        print(f"nothing planted, {prompts} prompts of {per_prompt}: a finding in {share:.1f} % of sets", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
