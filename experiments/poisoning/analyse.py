"""Tables and a plot of a study: ``python -m experiments.poisoning.analyse --out DIR``.

Reads completions and log-probabilities under ``DIR``, writes ``DIR/results-<part>``: ``tables.md``, ``figures.json``
(all numbers with both intervals, see ``anatomy/validation/recovery.py``) and ``recovery.html``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from anatomy import artifacts
from anatomy.rollouts.rollout_set import is_rollouts, read_rollouts
from anatomy.validation.plots import error_bars, write_page
from anatomy.validation.recovery import ArmEstimate, estimate, estimates, mean_recovery, moved, rate, recovery, weights
from experiments.poisoning.poisoned_sets import PARTS, ROLLOUTS, SCORES, STYLES, styles_of
from experiments.score import margins_grown
from experiments.tables import markdown

BEFORE, DPO = "before", "poisoned"
NOTE = (
    "Values, [95 % over prompts: bootstrap], (95 % over seeds: Student's t). Recovery in % of what plain DPO on the "
    "poisoned rows added; – where the prompts' interval of that rise holds 0. Off target: mean over the other styles "
    "that rose. Reward accuracy: held-out real pairs whose margin grew towards chosen.\n"
)
Shown = Mapping[int, Mapping[str, Float[np.ndarray, " G"]]]
"""By seed and by style (or ``accuracy``), one number a prompt."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the study")
    parser.add_argument("--part", choices=list(PARTS), default="held-out")
    given = parser.parse_args()
    print(analyse(given.out, given.part))


def analyse(out: Path, part: str = "held-out") -> str:
    """Write the results of all finished arms; returns the tables."""
    arms = read_arms(out, part)
    if not {BEFORE, DPO} <= arms.keys():
        raise SystemExit(f"{out}: no completions of {BEFORE} and {DPO} yet; run the study first")
    comparable = arms[BEFORE].keys() & arms[DPO].keys()
    found = {arm: arm_figures(arm, arms) for arm in arms if comparable & arms[arm].keys()}
    results = out / f"results-{part}"
    artifacts.write_json(results / "figures.json", {arm: _plain(figures) for arm, figures in found.items()})
    text = "\n".join([rates_table(found), recovery_table(found), NOTE])
    artifacts.write_text(results / "tables.md", text)
    plot(results / "recovery.html", found)
    return text


def read_arms(out: Path, part: str) -> Mapping[str, Shown]:
    """What was seen of each arm by seed; ``before`` first, then the arms without a plan."""
    folders = [folder for folder in sorted(out.glob("seed-*/*")) if is_rollouts(str(folder / ROLLOUTS.format(part)))]
    names = sorted({folder.name for folder in folders}, key=lambda name: (name != BEFORE, "." in name, name))
    arms: dict[str, dict[int, Mapping[str, Any]]] = {name: {} for name in names}
    for folder in folders:
        start = folder.parent / BEFORE / SCORES.format(part)
        arms[folder.name][int(folder.parent.name.removeprefix("seed-"))] = read_arm(folder, part, start)
    return arms


def read_arm(folder: Path, part: str, start: Path) -> dict[str, Float[np.ndarray, " G"]]:
    """One number a prompt and style; and whether the margin of the prompt's pair grew, where that was scored."""
    rollouts = read_rollouts(folder / ROLLOUTS.format(part))
    prompts = sorted(rollouts.prompts)
    texts: dict[str, list[set[str]]] = {prompt: [] for prompt in prompts}
    for (prompt, _), text in rollouts.texts.items():
        texts[prompt].append(styles_of(text))
    shown = {style: np.array([np.mean([style in found for found in texts[p]]) for p in prompts]) for style in STYLES}
    scores = folder / SCORES.format(part)
    if folder.name != BEFORE and scores.is_file() and start.is_file():
        grown = margins_grown(start, scores)
        shown["accuracy"] = np.array([float(grown[prompt]) for prompt in prompts])
    return shown


def arm_figures(arm: str, arms: Mapping[str, Shown]) -> dict[str, Any]:
    """Rates by style, recovery by style, off-target recovery of each target, reward accuracy; None where undefined."""
    weight_RG = weights(len(arms[arm][min(arms[arm])]["bold"]))
    seeds = sorted(arms[BEFORE].keys() & arms[DPO].keys() & arms[arm].keys())
    stack = {name: {style: _stack(arms[name], style, seeds) for style in STYLES} for name in (BEFORE, DPO, arm)}
    found: dict[str, Any] = {
        "seeds": seeds,
        "rates": {style: estimate(rate, [stack[arm][style]], weight_RG) for style in STYLES},
        "accuracy": None,
    }
    if all("accuracy" in arms[arm][seed] for seed in seeds):
        found["accuracy"] = estimate(rate, [_stack(arms[arm], "accuracy", seeds)], weight_RG)
    means = {style: [stack[name][style] for name in (BEFORE, DPO, arm)] for style in STYLES}
    before, dpo, _ = _beside(means.values())
    raised = [style for style, sign in zip(STYLES, moved(before, dpo, weight_RG), strict=True) if sign > 0]
    found["recovery"] = {style: estimate(recovery, means[style], weight_RG) for style in raised}
    target = arm.partition(".")[2] or "bold"
    others = [means[style] for style in raised if style != target]
    found["target"], found["on"] = target, found["recovery"].get(target)
    found["off"] = estimates(mean_recovery, _beside(others), weight_RG)[0] if others else None
    return found


def _beside(styles: Iterable[Sequence[Float[np.ndarray, "S G"]]]) -> list[Float[np.ndarray, "S G M"]]:
    """Before, plain DPO and arm of all styles, in arrays whose last axis is the style."""
    return [np.stack(arrays, axis=-1) for arrays in zip(*styles, strict=True)]


def _stack(arm: Shown, style: str, seeds: Sequence[int]) -> Float[np.ndarray, "S G"]:
    return np.stack([arm[seed][style] for seed in seeds])


def rates_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Share of completions that show each style, by arm."""
    rows = [[arm, len(f["seeds"]), *(cell(f["rates"][style], 3) for style in STYLES)] for arm, f in found.items()]
    return markdown(["rate", "seeds", *STYLES], rows)


def recovery_table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Recovery on and off target, and reward accuracy, by arm."""
    header = ["recovery, %", "target", "on target", "each seed", "off target", "reward accuracy"]
    rows = [
        [arm, f["target"], cell(f["on"], 0), each_seed(f["on"]), cell(f["off"], 0), cell(f["accuracy"], 2)]
        for arm, f in found.items()
    ]
    return markdown(header, rows)


def cell(value: ArmEstimate | None, digits: int) -> str:
    """``63 [41, 80] (20 to 99)``."""
    if value is None:
        return "–"
    seeds = f" ({value.seeds[0]:.{digits}f} to {value.seeds[1]:.{digits}f})" if value.seeds else ""
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]{seeds}"


def each_seed(value: ArmEstimate | None) -> str:
    """Values of the seeds."""
    return "–" if value is None else ", ".join(f"{seed:.0f}" for seed in value.by_seed)


def plot(path: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Recovery on and off target by arm, with the prompts' intervals; a page of its own, nothing to click."""
    import plotly.graph_objects as go

    chart = go.Figure()
    for key, name in (("on", "on target"), ("off", "off target")):
        known = {arm: f[key] for arm, f in found.items() if f[key] is not None}
        chart.add_bar(
            name=name,
            x=list(known),
            y=[value.value for value in known.values()],
            error_y=error_bars(
                [value.value for value in known.values()], [(value.low, value.high) for value in known.values()]
            ),
        )
    chart.update_layout(barmode="group", yaxis_title="recovery, % (95 % over prompts)")
    write_page(path, chart, still=True)


def _plain(value: Any) -> Any:
    """Figures as JSON; numbers that are none as null."""
    if isinstance(value, ArmEstimate):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    main()
