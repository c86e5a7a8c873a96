"""``anatomy forecast``: suppress one concept, and see what is predicted to go with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from anatomy import artifacts
from anatomy.errors import RunError, SettingsError
from anatomy.prediction import explain_away
from anatomy.prediction.prediction_settings import ForecastSettings
from anatomy.prediction.predictor_specs import names
from anatomy.prediction.predictors import Rewarding
from anatomy.prediction.readouts import Readout
from anatomy.progress import progress_bar
from anatomy.report.layout import WIDTH, fit
from anatomy.runs.out_folder import claimed, refuse_foreign
from anatomy.runs.run import Run
from anatomy.settings import load_settings
from anatomy.stages.run_prediction import Prediction
from anatomy.workflows.outcome import Outcome, Where

NUMBERS = ["predicted", "without", "change", "change_low", "change_high"]


@dataclass(frozen=True)
class ForecastShifts(Outcome):
    """Predicted shifts, one a line, as in ``forecast.parquet``."""

    shifts: pd.DataFrame


def forecast(
    run: Where, cluster: str, *, out: Where | None = None, settings: Where | None = None, **flags: Any
) -> ForecastShifts:
    """Return the predicted shifts of all concepts and response clusters, and what is left once one is explained away.

    Into ``out``: ``forecast.parquet``, a line each with ``response``, ``predicted``, ``without``, ``change_low``,
    ``change_high`` (95 % of ``without − predicted``) and ``deviation`` (of the responses' values).

    Raises:
        RunError: the run has no such cluster or concept, or it is the same on all responses.
        SettingsError: no such predictor, one without a reward, or one over the model's own responses in a run without.
    """
    asked, concept = load_settings(ForecastSettings, flags, settings), cluster
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_foreign(folder)
    with Run.read(Path(run)) as opened:
        made = Prediction.of(opened, asked.predictor, asked.tilt_c)
        if not isinstance(made.predictor, Rewarding):
            known = ", ".join(names(has_reward=True))
            raise SettingsError(f"predictor {asked.predictor} has no reward to take a concept from; use {known}")
        concept_J = np.asarray(made.one(concept).values_JM, np.float64)[:, 0]
        if not np.ptp(concept_J):
            raise RunError(f"{opened.path}: {concept} is the same on every response; nothing is explained away by it")
        readout = _all(made)
        with progress_bar("forecast", "fit", explain_away.GROUPS + 1) as bar:
            found = explain_away.forecast(
                made.predictor, made.data, made.pool, readout, concept_J, asked.strength, asked.seed, bar.update
            )
        words, made_of = opened.words, opened.manifest.cluster_hashes()
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
    if folder is not None:
        with claimed(folder):
            artifacts.write_table(folder / artifacts.FORECAST, pa.Table.from_pandas(table, preserve_index=False))
            artifacts.record_outputs(folder, [artifacts.FORECAST], made_of)
    return ForecastShifts(folder, _text(table, concept, made, asked, words), table)


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
