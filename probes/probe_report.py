"""Reports of fitted and tested detectors, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anatomy.report.layout import table
from probes.collect import Labelled
from probes.detector import Detector
from probes.detector_controls import PromptNull, crossed_baselines, prompt_null, within
from probes.examples import Examples
from probes.fit_detector import FitReport, length_scores, unit_of, unit_scores
from probes.metrics import FEWEST, Figure, Metrics, best_f1_threshold, evaluate

FIGURES = ("auroc", "pr_auc", "f1", "balanced_accuracy")


def fit_text(concept: str, facts: Mapping[str, Any], report: FitReport, out: Path) -> str:
    """What was fitted, on what, the layers tried, and the held-out figures beside length alone."""
    test, parts = report.test, report.prompts
    lines = [
        f"{concept}: {report.kind} by {report.unit}, from {facts.get('positives', 'a cluster')}",
        f"  prompts: {parts['fit']} to fit, {parts['validation']} for layer and threshold, {parts['test']} held out",
        *[f"  {name}: {facts[name]}" for name in ("asked", "kept", "filtered_by", "abstained") if name in facts],
    ]
    if report.layers:
        lines.append("  validation AUROC by layer (block, from 0):")
        rows = [(str(s.layer), *_figure(None if s.too_few else Figure(s.auroc, s.low, s.high)),
                 "← taken" if s.layer == report.layer else "")
                for s in report.layers]  # fmt: skip
        lines += table(rows, right=(0, 1), indent="    ")
    lines.append(f"  held out: {test.positives:,} positive and {test.negatives:,} negative {report.unit}s:")
    lines += figures(test, {"length": report.length, **report.baselines})
    lines += [*null_lines(test, report.null), *within_lines(report.within)]
    if report.shuffled is not None and not test.too_few:
        lines.append(f"  AUROC of {report.shuffled.fits} fits to labels shuffled by prompts: {report.shuffled}")
    lines.append(f"  threshold {report.threshold:.4g}; saved in {out}")
    return "\n".join(lines)


def test_text(detector: Detector, examples: Examples, items: Sequence[Labelled], left_out: int, seed: int) -> str:
    """A saved detector's figures on examples, at its own threshold; ``items`` are what they were read from.

    Words and columns alone are fitted to these examples, each prompt being scored by a fit to other prompts.
    """
    unit = unit_of(examples, detector.kind)
    scored = unit_scores(detector.estimator.decision, examples, unit, detector.pooling)
    by_length = length_scores(examples, unit)
    threshold = detector.threshold if detector.threshold is not None else best_f1_threshold(scored.score_U, scored.y_U)
    found = evaluate(*scored, threshold, seed)
    length = evaluate(*by_length, best_f1_threshold(by_length.score_U, by_length.y_U), seed)
    whole = list(items) if unit == "sequence" else []
    lines = [f"{detector.concept}: {detector.kind} at layer {detector.layer}, {found.positives:,} positive and "
             f"{found.negatives:,} negative {unit}s of {found.groups:,} prompts"]  # fmt: skip
    if left_out:
        lines.append(f"  {left_out:,} sequences left out: the detector was fitted on their prompts")
    if detector.threshold is None:
        lines.append("  it has no threshold of its own: F1 and balanced accuracy are at the best one here (optimistic)")
    lines += figures(found, {"length": length, **crossed_baselines(whole, seed)})
    lines += null_lines(found, prompt_null(*scored, seed))
    return "\n".join([*lines, *within_lines(within(whole, *scored, threshold, seed) if whole else {})])


def figures(found: Metrics, alone: Mapping[str, Metrics]) -> list[str]:
    """The four figures with their intervals, beside those of length, words and columns alone."""
    rows = [("", "detector", "95 % interval", *(f"{name} alone" for name in alone))]
    for name in FIGURES:
        others = (_figure(_reported(metrics, name))[0] for metrics in alone.values())
        rows.append((name.replace("_", " "), *_figure(_reported(found, name)), *others))
    return table(rows, right=(1, *range(3, 3 + len(alone))), indent="    ")


def null_lines(found: Metrics, null: PromptNull | None) -> list[str]:
    """What chance gives, in one line; none where an AUROC would be of too few."""
    if found.too_few:
        return [f"  too few: no AUROC from fewer than {FEWEST} of a class"]
    if null is None:
        return []
    chance = f"[{null.low:.3f}, {null.high:.3f}] in 95 % of {null.shuffles:,} shuffles, p {null.p:.2g}"
    return [f"  AUROC of these scores with labels shuffled by prompts: {chance}"]


def within_lines(found: Mapping[str, Metrics | None]) -> list[str]:
    """Figures of each value of a column alone."""
    if not found:
        return []
    rows = [("", "auroc", "", "balanced accuracy", "")]
    for name, metrics in found.items():
        both = ("too few", "", "too few", "")
        if metrics is not None:
            both = (*_figure(metrics.auroc), *_figure(metrics.balanced_accuracy))
        rows.append((name, *both))
    return ["  within:", *table(rows, right=(1, 3), indent="    ")]


def _reported(metrics: Metrics, name: str) -> Figure | None:
    figure: Figure = getattr(metrics, name)
    return None if metrics.too_few and name in ("auroc", "pr_auc") else figure


def _figure(figure: Figure | None) -> tuple[str, str]:
    return ("too few", "") if figure is None else (f"{figure.value:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]")
