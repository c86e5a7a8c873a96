"""``report.md`` of a training: what was done to which rows, what the loss saw, why chosen's log-probability falls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from anatomy.report.markdown_table import markdown_table
from anatomy.rollouts.training_folder import RowCounts, TrainingIdentity, TrainStep

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
    "push against one pulls the other down; what they lose goes to responses that are neither of the two "
    "(displacement). A falling chosen log-probability is not a fault in itself. It is one if chosen falls as fast as "
    "rejected, so that the margin does not grow, or if rollouts get worse: sample from the model. A smaller learning "
    "rate, a larger β, or loss `sigmoid_norm`, which removes the pull of length, slows it down."
)


def training_report(identity: TrainingIdentity, steps: Sequence[TrainStep]) -> str:
    """Return the report as Markdown."""
    counts = markdown_table(["rows", ""], _rows(identity.prepared.counts), verbatim=True)
    parts = ["# Training report", counts, *step_tables(steps)]
    values = ", ".join(f"{name} {value}" for name, value in identity.settings.items() if value is not None)
    return "\n\n".join([*parts, "## Settings", values]) + "\n"


def _rows(counts: RowCounts) -> list[list[str]]:
    always = ("retained", "trained")
    number = {name: getattr(counts, name) for name in ROWS}
    return [[meaning, f"{number[name]:,}"] for name, meaning in ROWS.items() if number[name] or name in always]


def step_tables(steps: Sequence[TrainStep]) -> list[str]:
    """Return means over the first and last steps of everything that is logged, and what they say of displacement."""
    if not steps:
        return []
    size = max(1, int(len(steps) * ENDS))
    names = [name for name in steps[-1].values if name != "epoch" and not name.startswith("rows/")]
    first, last = ({name: _mean(part, name) for name in names} for part in (steps[:size], steps[-size:]))
    table = [
        [name, _number(first[name], ".4g"), _number(last[name], ".4g"), _number(last[name] - first[name], "+.3g")]
        for name in names
    ]
    header = ["mean of", f"first {size}", f"last {size}", "change"]
    head = [f"## {len(steps)} steps", markdown_table(header, table, verbatim=True)]
    return head + (_displacement(first, last) if "logps/chosen" in first else [])


def _displacement(first: Mapping[str, float], last: Mapping[str, float]) -> list[str]:
    chosen, rejected = (last[f"logps/{side}"] - first[f"logps/{side}"] for side in ("chosen", "rejected"))
    margin = last["raw/margins"] - first["raw/margins"]
    found = (
        f"The summed log-probability of chosen responses changed by {chosen:+.2f}, that of rejected ones by "
        f"{rejected:+.2f} (last steps minus first steps, which hold different rows). The margin without shaping, in "
        f"units of reward, changed by {margin:+.3f}."
    )
    return ["## Why the log-probability of chosen responses may fall", found, FALLS]


def _mean(steps: Sequence[TrainStep], name: str) -> float:
    values = [step.values[name] for step in steps if step.values.get(name) is not None]
    return fmean(values) if values else float("nan")


def _number(value: float, form: str) -> str:
    """Return the number, or a dash if no step logged it."""
    return "–" if math.isnan(value) else format(value, form)
