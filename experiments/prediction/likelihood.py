"""How likely a model makes completions, its own and others': a step of the study, a process of its own.

Writes a table of ``side`` (the number of the folder among those given), ``prompt_id``, ``sample`` and ``log_prob``: the
summed log-probability (nats) of the tokens that a completion was made of, the one that ended it included.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from anatomy import artifacts
from anatomy.progress import progress_bar
from anatomy.rollouts.completion_log_probs import completion_log_probs
from anatomy.rollouts.rollout_set import read_rollouts
from anatomy.settings import ModelSettings


def main(words: Sequence[str] | None = None) -> int:
    """Read the completions of all folders, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="default: the laptop model")
    parser.add_argument("--rollouts", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    told = parser.parse_args(words)
    settings = ModelSettings(model=told.model, dtype=told.dtype, device=told.device)
    total = sum(len(read_rollouts(folder).texts) for folder in told.rollouts)
    with progress_bar("log-probabilities", "completion", total) as bar:
        table = completion_log_probs(told.rollouts, settings, bar.update)
    artifacts.write_table(told.out, table)
    return 0


if __name__ == "__main__":
    main()
