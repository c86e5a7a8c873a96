"""``report.md`` of a training: what was done to which rows, what the loss saw, why chosen's log-probability falls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from anatomy.artifacts import read_log, write_text
from interventions.training.prepared_rows import Prepared
from interventions.training.train_settings import SFTSettings, learnt_by

ENDS = 0.1
"""Share of the steps at either end that a number is averaged over."""

ROWS = {
    "retained": "rows that can be trained on",
    "dropped": "dropped by the plan",
    "window": "without room for a response in the window",
    "trained": "trained on",
    "swapped": "… chosen and rejected swapped",
    "shaped": "… with an offset in the loss",
    "inoculated": "… with an instruction for the policy",
    "masked": "… with tokens left out of the loss",
    "steered": "… with a steered policy",
}
FALLS = (
    "DPO rewards the difference between chosen and rejected, not the chosen response: any change that lowers the "
    "rejected response's log-probability more than the chosen one's is progress. Both responses share words, so the "
    "push against one pulls the other down; what they lose goes to responses that stand in neither column "
    "(displacement). A falling chosen log-probability is no fault in itself. It is one where chosen falls as fast as "
    "rejected, so that the margin does not grow, or where rollouts get worse: sample from the model. Smaller learning "
    "rates, a larger β, or loss `sigmoid_norm` against the pull of length, slow it down."
)


def write_report(path: Path, settings: SFTSettings, prepared: Prepared, log: Path) -> None:
    """Write the report from the step log."""
    lines = read_log(log)
    parts = ["# Training report", _table(["rows", ""], _rows(prepared.counts)), *_numbers(lines)]
    values = ", ".join(f"{name} {value}" for name, value in learnt_by(settings).items() if value is not None)
    write_text(path, "\n\n".join([*parts, "## Settings", values]) + "\n")


def _rows(counts: Mapping[str, int]) -> list[list[str]]:
    always = ("retained", "trained")
    return [[meaning, f"{counts[name]:,}"] for name, meaning in ROWS.items() if counts[name] or name in always]


def _numbers(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Means over the first and last steps of everything that is logged."""
    if not lines:
        return []
    size = max(1, int(len(lines) * ENDS))
    names = [name for name in lines[-1] if name not in ("step", "epoch") and not name.startswith("rows/")]
    first, last = ({name: _mean(part, name) for name in names} for part in (lines[:size], lines[-size:]))
    table = [
        [name, _told(first[name], ".4g"), _told(last[name], ".4g"), _told(last[name] - first[name], "+.3g")]
        for name in names
    ]
    head = [f"## {len(lines)} steps", _table(["mean of", f"first {size}", f"last {size}", "change"], table)]
    return head + (_displacement(first, last) if "logps/chosen" in first else [])


def _displacement(first: Mapping[str, float], last: Mapping[str, float]) -> list[str]:
    chosen, rejected = (last[f"logps/{side}"] - first[f"logps/{side}"] for side in ("chosen", "rejected"))
    margin = last["raw/margins"] - first["raw/margins"]
    found = (
        f"The summed log-probability of chosen responses changed by {chosen:+.2f}, of rejected ones by {rejected:+.2f} "
        f"(first against last steps, which hold different rows); the margin without shaping, in units of reward, by "
        f"{margin:+.3f}."
    )
    return ["## Why the log-probability of chosen responses may fall", found, FALLS]


def _mean(lines: Sequence[Mapping[str, Any]], name: str) -> float:
    values = [line[name] for line in lines if line.get(name) is not None]
    return fmean(values) if values else float("nan")


def _told(value: float, form: str) -> str:
    """A dash where no step logged it."""
    return "–" if math.isnan(value) else format(value, form)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
