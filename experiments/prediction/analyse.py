"""Tables and plots of finished runs: ``python -m experiments.prediction.analyse --out DIR``.

Reads the validations under ``DIR``, writes ``DIR/all-shifts.parquet`` (all raw numbers) and ``DIR/results``:
``table.md``, ``table.json``, ``share.html`` (r² beside what noise allows), a scatter of response clusters for each
training, and ``shifts.parquet``, the shifts of response clusters by the predictors and controls that claims rest on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from anatomy import artifacts
from anatomy.statistics.agreement import pearson
from anatomy.validation.plots import scatter_svg, write_page
from anatomy.validation.replication import Replication, replication
from experiments.prediction.by_prompt import validations
from experiments.prediction.leave_out import curves
from experiments.prediction.preference_sets import SCORES
from experiments.score import reward_accuracy
from experiments.tables import markdown, records

VIEWS = ("features", "global", "concept", "feature", "feature-contrast", "prompt", "prompt-contrast")
DRAWN = "sharpened"
KEPT = ("sharpened", "activations", "continuous", "length", "base-rate")
"""Predictors and controls whose shifts of response clusters stand in the repository."""
LEAST = 8
"""Shifts that a view needs for a figure."""
HEADER = ("set", "view", "n", "predictor", "r", "slope", "rank r", "R² fit", "R² out of sample", "sign, top 10",
          "r at equal length", "attainable r²: prompts", "training seed", "sampling seed", "r² / attainable",
          )  # fmt: skip


def main(words: Sequence[str] | None = None) -> None:
    """Write the results of a study's folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the study")
    print(analyse(parser.parse_args(words).out))


def analyse(out: Path) -> str:
    """Write the results of all finished validations under ``out``; returns the table."""
    sets = [folder for folder in sorted(out.iterdir()) if folder.is_dir() and validations(folder)]
    if not sets:
        raise SystemExit(f"{out}: no finished validations; run the study first")
    rows = [row for folder in sets for row in set_rows(folder)]
    results = out / "results"
    tables = [artifacts.read_table(path / artifacts.SHIFTS) for folder in sets for path in validations(folder)]
    shifts = short(pa.concat_tables(tables))
    artifacts.write_table(out / "all-shifts.parquet", shifts)
    claimed = pc.and_(pc.equal(shifts["view"], "global"), pc.is_in(shifts["predictor"], pa.array(KEPT)))
    artifacts.write_table(results / artifacts.SHIFTS, shifts.filter(claimed))
    moved, curve = trained(sets), curves(sets)
    found = {"rows": rows, "controls": controls(sets), "leave_out": curve, "trained": moved}
    artifacts.write_json(results / "table.json", found)
    text = markdown(HEADER, [list(row.values()) for row in rows])
    for part in (moved, curve):
        if part:
            text += "\n" + records(part)
    artifacts.write_text(results / "table.md", text)
    plot(results / "share.html", rows)
    for folder in sets:
        for path in validations(folder):
            seed = path.name.removeprefix("validate-")
            clusters_svg(results / f"{folder.name}-{seed}-clusters.svg", path)
    return text


def clusters_svg(out: Path, validated: Path) -> None:
    """Predicted and observed shifts of response clusters, where the predictor that is drawn was asked for."""
    figure = artifacts.read_json(validated / artifacts.VALIDATION)["agreements"].get(DRAWN, {}).get("global", {})
    if figure.get("r") is None:
        return
    shifts = artifacts.read_table(validated / artifacts.SHIFTS).to_pandas()
    shifts = shifts[(shifts["predictor"] == DRAWN) & (shifts["view"] == "global")]
    title = f"response clusters: {DRAWN}, r {figure['r']:+.2f}, attainable {figure['ceiling']['attainable_r']:.2f}"
    predicted_M, observed_M = (shifts[side].to_numpy() for side in ("predicted", "observed"))
    artifacts.write_text(out, scatter_svg(title, predicted_M, observed_M, figure["slope"]))


def short(shifts: pa.Table) -> pa.Table:
    """Numbers to seven digits: half the size."""
    fields = [field.with_type(pa.float32()) if pa.types.is_float64(field.type) else field for field in shifts.schema]
    return shifts.cast(pa.schema(fields, shifts.schema.metadata))


def set_rows(folder: Path) -> Iterable[dict[str, Any]]:
    """One row a view and predictor: means over training seeds, and the three ceilings."""
    paths = validations(folder)
    validated = [artifacts.read_json(path / artifacts.VALIDATION)["agreements"] for path in paths]
    again = sorted(folder.glob("validate-*-again"))
    equal_length = [beyond(artifacts.read_table(path / artifacts.SHIFTS).to_pandas(), "length") for path in paths]
    training = {name: replication(paths[0], paths[1], name) for name in validated[0]} if len(paths) > 1 else {}
    sampling = {name: replication(paths[0], again[0], name) for name in validated[0]} if again else {}
    for view in VIEWS:
        for predictor in validated[0]:
            figures = [part[predictor][view] for part in validated if view in part.get(predictor, {})]
            if not figures or figures[0]["n"] < LEAST or any(figure["r"] is None for figure in figures):
                continue
            r = mean(figure["r"] for figure in figures)
            yield {
                "set": folder.name,
                "view": view,
                "n": figures[0]["n"],
                "predictor": predictor,
                "r": r,
                **{key: mean(figure[key] for figure in figures) for key in ("slope", "spearman", "r2_fit", "r2_out")},
                "same_sign": mean(figure["top"][0]["same_sign"] for figure in figures),
                "equal_length": mean(part.get((view, predictor)) for part in equal_length),
                "attainable_prompts": mean(figure["ceiling"]["attainable_r2"] for figure in figures),
                "attainable_training": _attainable(training, predictor, view),
                "attainable_sampling": _attainable(sampling, predictor, view),
                "share": mean(figure["share_of_attainable"] for figure in figures),
            }


def _attainable(found: Mapping[str, Mapping[str, Replication]], predictor: str, view: str) -> float | None:
    """The attainable r² of a predictor in a view; None if it was not replicated."""
    again = found.get(predictor, {}).get(view)
    return None if again is None else again.attainable_r2


def beyond(shifts: pd.DataFrame, control: str) -> dict[tuple[str, str], float]:
    """By view and predictor: r of predicted and observed with a control's prediction held fixed (partial correlation).

    ``(r_po − r_pc r_oc) / √((1 − r_pc²)(1 − r_oc²))``. Left out: where one of them is constant, the control itself.
    """
    known = shifts[shifts["predictor"] == control].set_index(["view", "context", "response"])["predicted"]
    found = {}
    for (view, predictor), part in shifts[shifts["predictor"] != control].groupby(["view", "predictor"]):
        predicted, observed = (part[name].to_numpy() for name in ("predicted", "observed"))
        fixed = known.reindex(pd.MultiIndex.from_frame(part[["view", "context", "response"]])).to_numpy()
        r, fits, explains = pearson(predicted, observed), pearson(predicted, fixed), pearson(observed, fixed)
        left = (1 - fits**2) * (1 - explains**2)
        if np.isfinite(left) and left > 0:
            found[str(view), str(predictor)] = (r - fits * explains) / float(np.sqrt(left))
    return found


def trained(sets: Sequence[Path]) -> list[dict[str, Any]]:
    """How far each training moved the model: share of held-out pairs whose margin grew towards chosen."""
    rows = []
    for folder in sets:
        for scores in sorted(folder.glob(f"train-*/{SCORES}")):
            share, low, high, n = reward_accuracy(folder / SCORES, scores)
            accuracy = {"reward accuracy": share, "low": low, "high": high, "pairs": n}
            rows.append({"set": folder.name, "training": scores.parent.name, **accuracy})
    return rows


def controls(sets: Sequence[Path]) -> dict[str, Any]:
    """Random controls of every validation."""
    return {str(path.relative_to(path.parents[1])): artifacts.read_json(path / artifacts.VALIDATION)["controls"]
            for folder in sets for path in validations(folder)}  # fmt: skip


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the numbers that are there."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Signed r² of each predictor by set and view, beside what noise allows."""
    import plotly.graph_objects as go

    places = list(dict.fromkeys((row["set"], row["view"]) for row in rows))
    names = [f"{name}, {view}" for name, view in places]
    figure = go.Figure()
    for predictor in dict.fromkeys(row["predictor"] for row in rows):
        found = {(row["set"], row["view"]): row["r"] * abs(row["r"]) for row in rows if row["predictor"] == predictor}
        figure.add_bar(name=predictor, x=names, y=[found.get(place) for place in places])
    limit = {(row["set"], row["view"]): row["attainable_prompts"] for row in rows}
    figure.add_scatter(name="attainable", x=names, y=[limit[place] for place in places], mode="markers",
                       marker={"symbol": "line-ew-open", "size": 40, "color": "black"})  # fmt: skip
    figure.update_layout(barmode="group", yaxis_title="signed r²")
    write_page(path, figure)


if __name__ == "__main__":
    main()
