"""Reports of fitted and tested detectors, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anatomy.report.layout import table
from probes.detector import Detector
from probes.examples import Examples
from probes.fit_detector import FitReport, length_scores, unit_of, unit_scores
from probes.metrics import Figure, Metrics, best_f1_threshold, evaluate

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
        rows = [(str(s.layer), *_figure(Figure(s.auroc, s.low, s.high)), "← taken" if s.layer == report.layer else "")
                for s in report.layers]  # fmt: skip
        lines += table(rows, right=(0, 1), indent="    ")
    lines.append(f"  held out: {test.positives:,} positive and {test.negatives:,} negative {report.unit}s:")
    lines += figures(test, report.length)
    if report.shuffled is not None:
        lines.append(f"  AUROC of {report.shuffled.fits} fits to shuffled labels: {report.shuffled}")
    lines.append(f"  threshold {report.threshold:.4g}; saved in {out}")
    return "\n".join(lines)


def test_text(detector: Detector, examples: Examples, left_out: int, seed: int) -> str:
    """A saved detector's figures on examples, at its own threshold."""
    unit = unit_of(examples, detector.kind)
    scored = unit_scores(detector.estimator.decision, examples, unit, detector.pooling)
    by_length = length_scores(examples, unit)
    threshold = detector.threshold if detector.threshold is not None else best_f1_threshold(scored.score_U, scored.y_U)
    found = evaluate(*scored, threshold, seed)
    length = evaluate(*by_length, best_f1_threshold(by_length.score_U, by_length.y_U), seed)
    lines = [f"{detector.concept}: {detector.kind} at layer {detector.layer}, {found.positives:,} positive and "
             f"{found.negatives:,} negative {unit}s of {found.groups:,} prompts"]  # fmt: skip
    if left_out:
        lines.append(f"  {left_out:,} sequences left out: the detector was fitted on their prompts")
    if detector.threshold is None:
        lines.append("  it has no threshold of its own: F1 and balanced accuracy are at the best one here (optimistic)")
    return "\n".join([*lines, *figures(found, length)])


def figures(found: Metrics, length: Metrics) -> list[str]:
    """The four figures with their intervals, beside length alone."""
    rows = [("", "detector", "95 % interval", "length alone")]
    rows += [(name.replace("_", " "), *_figure(getattr(found, name)), f"{getattr(length, name).value:.3f}")
             for name in FIGURES]  # fmt: skip
    return table(rows, right=(1, 3), indent="    ")


def _figure(figure: Figure) -> tuple[str, str]:
    return f"{figure.value:.3f}", f"[{figure.low:.3f}, {figure.high:.3f}]"
