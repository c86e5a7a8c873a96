"""Planted label flips: of as many rows as were flipped, how many of those that stand first are the flipped ones.

The baseline is chance, the share that was flipped. Sets are made up, or the rows of an audited run (``--run``), whose
own wrong labels then count as errors of ours.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from anatomy.runs.run import Run
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.label_model import label_model
from anatomy.statistics.prompts import Prompts

SHARES = (0.01, 0.05, 0.1)
STRENGTHS = (1.0, 2.0, 4.0)
"""Log-odds of the label for a standard deviation of each of the three signals that it follows."""


def made_up(strength: float, generator: np.random.Generator) -> tuple[np.ndarray, RowFrame]:
    """2,000 rows of 1,000 prompts with 40 signals, labels that follow three of them."""
    prompt_N = np.arange(2000) // 2
    v_NM = 0.7 * (generator.normal(size=(1000, 40))[prompt_N] + generator.normal(size=(2000, 40)))
    probability_N = 1 / (1 + np.exp(-strength * v_NM[:, :3].sum(axis=1)))
    label_N = np.where(generator.random(2000) < probability_N, 1, -1)
    texts = np.arange(4000).reshape(-1, 2)
    return v_NM * label_N[:, None], RowFrame(Prompts.from_ids(prompt_N.astype(str)), np.zeros(2000), texts)


def precision(u_NM: np.ndarray, frame: RowFrame, share: float, generator: np.random.Generator) -> tuple[float, float]:
    """Share of flipped rows among those that stand first, and the agreement with all labels."""
    flipped = generator.choice(len(u_NM), max(1, round(share * len(u_NM))), replace=False)
    u_NM = u_NM.copy()
    u_NM[flipped] *= -1
    model = label_model(u_NM, frame)
    first = np.argsort(model.score_N, kind="stable")[: len(flipped)]
    return float(np.isin(first, flipped).mean()), model.agreement.value


def line(name: str, found: list[tuple[float, float]], share: float) -> str:
    """One line of the table."""
    hits, agreement = np.array(found).T
    error = hits.std(ddof=1) / np.sqrt(len(hits)) if len(hits) > 1 else np.nan
    return f"| {name} | {agreement.mean():.0%} | {share:.0%} | {hits.mean():.0%} ± {error:.0%} | {share:.0%} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="an audited run, in place of made-up sets")
    parser.add_argument("--draws", type=int, default=6)
    arguments = parser.parse_args()
    print("| labels | predicted | flipped | of as many that stand first, flipped | by chance |")
    print("|---|---|---|---|---|")
    generator = np.random.default_rng(0)
    if arguments.run is not None:
        with Run.read(arguments.run) as run:
            u_NM, frame = run.signals.disparity.values_NM, run.signals.frame
        for share in SHARES:
            found = [precision(u_NM, frame, share, generator) for _ in range(arguments.draws)]
            print(line(run.path.name, found, share), flush=True)
        return
    for strength in STRENGTHS:
        for share in SHARES:
            found = [precision(*made_up(strength, generator), share, generator) for _ in range(arguments.draws)]
            print(line(f"follow three signals, {strength:g} each", found, share), flush=True)


if __name__ == "__main__":
    main()
