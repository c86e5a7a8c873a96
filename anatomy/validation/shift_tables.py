"""From compared shifts to ``shifts.parquet``, agreements, controls, the calibration line and the scatter plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.prediction.calibration import Line, fit_line
from anatomy.prediction.prediction_settings import ValidateSettings
from anatomy.prediction.predictors import Predictor
from anatomy.validation.controls import ControlSpread, clusters_permuted, labels_flipped
from anatomy.validation.plots import write_scatter
from anatomy.validation.shift_comparison import (
    NoAgreement,
    ShiftComparison,
    Shifts,
    Trained,
    ViewAgreement,
    table,
    view_agreement,
)

Found = Mapping[tuple[str, str], Shifts]
"""Shifts by predictor and view."""
Agreements = Mapping[str, Mapping[str, ViewAgreement | NoAgreement]]
"""Agreement by predictor and view."""


def all_shifts(comparison: ShiftComparison, predictors: Sequence[Predictor]) -> Found:
    """Every predictor in every view.

    Raises:
        RunError: too few unseen prompts for any comparison.
    """
    if not comparison.views():
        prompts = len(comparison.rollouts.pool.prompts.half_G)
        raise RunError(f"{prompts} unseen prompts, and every view needs {comparison.min_prompts}; roll out more")
    return {
        (predictor.name, view): comparison.shifts(predictor, view)
        for predictor in predictors
        for view in comparison.views()
    }


def all_agreements(found: Found, seed: int) -> Agreements:
    """Agreement and ceiling of every predictor in every view."""
    agreements: dict[str, dict[str, ViewAgreement | NoAgreement]] = {}
    for (name, view), shifts in found.items():
        agreements.setdefault(name, {})[view] = view_agreement(shifts, seed)
    return agreements


def write_shifts(out: Path, found: Found, trained: Trained) -> None:
    """Write ``shifts.parquet``."""
    artifacts.write_table(out / artifacts.SHIFTS, pa.table(table(list(found.values()), trained)))


def controls(
    settings: ValidateSettings, comparison: ShiftComparison, best: Predictor, found: Found
) -> dict[str, dict[str, ControlSpread]]:
    """Random controls of the best predictor everywhere, by view and control.

    The control predictors (length, base rate) are among the agreements.
    """
    spreads: dict[str, dict[str, ControlSpread]] = {}
    for view in ("features", "global"):
        if (best.name, view) in found:
            spreads[view] = {"labels flipped": _flipped(settings, comparison, best, view, found)}
    if "features" in spreads and "global" in spreads:
        shift_F = np.zeros(len(comparison.run.kept_F))
        shift_F[comparison.run.kept_F] = found[best.name, "features"].predicted
        shifts = found[best.name, "global"]
        spreads["global"]["clusters permuted"] = clusters_permuted(
            comparison.run.clusters.response_F,
            shift_F,
            shifts.observed.value,
            [int(name[1:]) for name in shifts.response],
            settings.controls,
            settings.seed,
        )
    return spreads


def _flipped(
    settings: ValidateSettings, comparison: ShiftComparison, best: Predictor, view: str, found: Found
) -> ControlSpread:
    def shifts_of(fitted: Predictor) -> np.ndarray:
        return comparison.predicted(fitted, view)

    seen = found[best.name, view].observed.value
    return labels_flipped(best, comparison.data.pool, shifts_of, seen, settings.controls, settings.seed)


def calibration_line(comparison: ShiftComparison, best: Predictor, found: Found) -> Line | None:
    """The calibration line of one predictor over response clusters and concepts everywhere; None for too few."""
    parts = []
    for view in ("global", "concept"):
        if (best.name, view) in found:
            shifts = found[best.name, view]
            readout = comparison.readout(view, best.statistic, "data")
            spread_M = np.asarray(readout.values_JM, np.float64).std(axis=0)
            parts.append((shifts.predicted, shifts.observed.value, spread_M))
    return fit_line(*(np.concatenate(part) for part in zip(*parts, strict=True))) if parts else None


def plots(out: Path, labels: Mapping[str, str], best: str, found: Found, agreements: Agreements) -> None:
    """One scatter a view of the best predictor; ``labels`` name clusters."""
    for (name, view), shifts in found.items():
        agreed = agreements[name][view]
        if name != best or isinstance(agreed, NoAgreement):
            continue
        seen = shifts.observed
        interval_X2 = np.stack([seen.low, seen.high], axis=1)
        used = np.flatnonzero(np.isfinite(interval_X2).all(axis=1) & np.isfinite(shifts.predicted))
        title = f"{view}: {best}, r {agreed.r:+.2f}, attainable {agreed.ceiling.attainable_r:.2f}"
        names = [_name(shifts.response[place], shifts.context[place], labels) for place in used]
        points = shifts.predicted[used], seen.value[used], interval_X2[used]
        write_scatter(out / f"scatter-{view}", title, names, *points, agreed.slope)


def _name(response: str, context: str, labels: Mapping[str, str]) -> str:
    return f"{response} {labels.get(response, '')} in {context} {labels.get(context, '')}"


HEADER = (f"{'predictor':12} {'view':17} {'n':>6} {'r':>6} {'95 % interval':>16} {'max r':>6} {'rank r':>6} "
          f"{'slope':>9} {'R2 out':>7} {'sign@10':>7}")  # fmt: skip


def as_text(agreements: Agreements) -> str:
    """The agreements as lines of at most 110 columns."""
    lines = [_line(name, view, agreed) for name, by_view in agreements.items() for view, agreed in by_view.items()]
    return "\n".join([HEADER, *lines])


def _line(name: str, view: str, agreed: ViewAgreement | NoAgreement) -> str:
    if isinstance(agreed, NoAgreement):
        return f"{name:12} {view:17} {agreed.n:6} {agreed.why}"
    interval = f"[{agreed.r_low:+.2f}, {agreed.r_high:+.2f}]"
    return (
        f"{name:12} {view:17} {agreed.n:6} {agreed.r:+6.2f} {interval:>16} "
        f"{agreed.ceiling.attainable_r:6.2f} {agreed.spearman:+6.2f} {agreed.slope:9.3g} "
        f"{agreed.r2_out:7.2f} {agreed.top[0].same_sign:7.0%}"
    )
