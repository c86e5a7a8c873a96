"""What ``anatomy forecast`` does: suppress one concept, and see what is predicted to go with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from anatomy import artifacts
from anatomy.errors import RunError, SettingsError
from anatomy.prediction.explain_away import GROUPS, forecast
from anatomy.prediction.prediction_settings import ForecastSettings
from anatomy.prediction.predictors import Rewarding, build
from anatomy.prediction.response_pool import Readout
from anatomy.progress import progress_bar
from anatomy.report.layout import WIDTH, fit
from anatomy.runs.run import Run
from anatomy.stages import cluster_words
from anatomy.stages.run_prediction import Prediction

NUMBERS = ["predicted", "without", "change", "change_low", "change_high"]


def forecast_run(run_dir: Path, concept: str, settings: ForecastSettings, out: Path | None = None) -> str:
    """Predicted shifts of all concepts and response clusters of a run, and what is left once one is explained away.

    Into ``out``: ``forecast.parquet``, a line each with ``response``, ``predicted``, ``without``, ``change_low``,
    ``change_high`` (95 % of ``without − predicted``) and ``deviation`` (of the responses' values).

    Raises:
        RunError: the run has no such cluster or concept, or it is the same on all responses.
        SettingsError: no such predictor, one without a reward, or one over the model's own responses in a run without.
    """
    with Run.read(run_dir) as run:
        made = Prediction.of(run, settings.predictor, settings.tilt_c)
        if not isinstance(made.predictor, Rewarding):
            known = ", ".join(name for name, kind in build(settings.tilt_c).items() if isinstance(kind(), Rewarding))
            raise SettingsError(f"predictor {settings.predictor} has no reward to take a concept from; use {known}")
        concept_J = np.asarray(made.one(concept).values_JM, np.float64)[:, 0]
        if not np.ptp(concept_J):
            raise RunError(f"{run.path}: {concept} is the same on every response; nothing is explained away by it")
        readout = _all(made)
        with progress_bar("forecast", "fit", GROUPS + 1) as bar:
            found = forecast(made.predictor, made.data, made.pool, readout, concept_J, settings.strength,
                             settings.seed, bar.update)  # fmt: skip
        words = cluster_words(run)
    change_M = found.without_M - found.predicted_M
    table = pd.DataFrame(
        {
            "response": readout.ids,
            "predicted": found.predicted_M,
            "without": found.without_M,
            "change_low": change_M - found.half_M,
            "change_high": change_M + found.half_M,
            "deviation": np.asarray(readout.values_JM, np.float64).std(axis=0),
        }
    )
    if out is not None:
        artifacts.write_table(out / artifacts.FORECAST, pa.Table.from_pandas(table, preserve_index=False))
    return _text(table, concept, made, settings, words)


def _all(made: Prediction) -> Readout:
    """Concepts first, then response clusters."""
    clusters = made.responses(made.settings.min_features)
    if not made.concepts.ids:
        return clusters
    values = np.concatenate([made.concepts.values_JM, clusters.values_JM], axis=1)
    return Readout([*made.concepts.ids, *clusters.ids], values)


def _text(
    table: pd.DataFrame, concept: str, made: Prediction, settings: ForecastSettings, words: dict[str, str]
) -> str:
    """Every concept, and the response clusters that change most.

    In standard deviations of the responses, so that they can be compared, and divided by the largest predicted shift,
    because the unit of a tilt is arbitrary.
    """
    sd = table["deviation"].where(table["deviation"] > 0)
    unit = (table["predicted"] / sd).abs().max()
    table = table.assign(change=table["without"] - table["predicted"])
    table = pd.concat([table["response"], table[NUMBERS].div(sd * unit, axis="index")], axis=1)
    table = table.reindex(table["change"].abs().sort_values(ascending=False, kind="stable").index)
    own, named = table["response"] == concept, table["response"].isin(made.concepts.ids)
    over = "the data's responses" if made.pool is made.data else "the model's own responses"
    lines = [f"shifts predicted by {settings.predictor} from {len(made.data):,} rows, over {over}; then the same with "
             f"{concept} explained away",
             "  in sd of the responses over the largest predicted shift; * marks changes whose 95 % interval is not 0",
             f"  predicted   then  change [95 %]            suppressed, strength {settings.strength:g}"]  # fmt: skip
    parts = {
        "": table[own],
        "concepts": table[named & ~own],
        "response clusters": table[~named & ~own].head(settings.top),
    }
    for title, part in parts.items():
        lines += [f"{'':41}{title}"] if title and len(part) else []
        lines += [_line(row, words) for _, row in part.iterrows()]
    return "\n".join(lines)


def _line(row: pd.Series, words: dict[str, str]) -> str:
    predicted, without, change, low, high = (round(float(row[name]), 2) + 0.0 for name in NUMBERS)  # no -0.00
    interval = f"{change:+.2f} [{low:+.2f}, {high:+.2f}]"
    sure = "*" if row["change_low"] * row["change_high"] > 0 else " "
    name = row["response"]
    label = f"  {words[name]}" if name in words and name[1:].isdigit() else ""
    return fit(f"  {predicted:+9.2f} {without:+6.2f}  {interval:22} {sure} {name}{label}", WIDTH)
