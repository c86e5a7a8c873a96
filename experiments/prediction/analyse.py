"""Tables and plots of finished runs: ``python -m experiments.prediction.analyse --out DIR``.

Reads the validations under ``DIR``, writes ``DIR/results``: ``shifts.parquet`` (all raw numbers), ``table.md``,
``table.json``, ``share.html`` (r² beside what noise allows), a scatter of response clusters a training.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from anatomy import artifacts
from anatomy.report.markdown_table import markdown_table
from anatomy.statistics.agreement import pearson
from anatomy.validation.plots import scatter_svg, write_page
from anatomy.validation.replication import Replication, replication
from experiments.prediction.preference_sets import SCORES
from experiments.score import reward_accuracy

VIEWS = ("features", "global", "concept", "feature", "feature-contrast", "prompt", "prompt-contrast")
DRAWN = "sharpened"
LEAST = 8
"""Shifts that a view needs for a figure."""
SMALL = ("slope", "observed", "less", "nats", "±")
"""Columns of small numbers, told to three digits."""
HEADER = ("set", "view", "n", "predictor", "r", "slope", "rank r", "R² fit", "R² out of sample", "sign, top 10",
          "r at equal length", "attainable r²: prompts", "training seed", "sampling seed", "r² / attainable",
          )  # fmt: skip


def validations(folder: Path) -> list[Path]:
    """Validations of one set by training seed, the repeated one left out."""
    return sorted(path.parent for path in folder.glob(f"validate-*/{artifacts.VALIDATION}") if "again" not in str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder that run.py filled")
    print(analyse(parser.parse_args().out))


def analyse(out: Path) -> str:
    """Write the results of all finished validations under ``out``; returns the table."""
    sets = [folder for folder in sorted(out.iterdir()) if folder.is_dir() and validations(folder)]
    if not sets:
        raise SystemExit(f"{out}: no finished validations; run experiments.prediction.run first")
    rows = [row for folder in sets for row in set_rows(folder)]
    results = out / "results"
    tables = [artifacts.read_table(path / artifacts.SHIFTS) for folder in sets for path in validations(folder)]
    artifacts.write_table(results / artifacts.SHIFTS, short(pa.concat_tables(tables)))
    taught, curve = trained(sets), curves(sets)
    told = {"rows": rows, "controls": controls(sets), "leave_out": curve, "trained": taught}
    artifacts.write_json(results / "table.json", told)
    text = markdown(HEADER, [list(row.values()) for row in rows])
    for part in (taught, curve):
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
    points = (shifts[side].to_numpy() for side in ("predicted", "observed"))
    artifacts.write_text(out, scatter_svg(title, *points, figure["slope"]))


def short(shifts: pa.Table) -> pa.Table:
    """Numbers to seven digits: half the size."""
    fields = [field.with_type(pa.float32()) if pa.types.is_float64(field.type) else field for field in shifts.schema]
    return shifts.cast(pa.schema(fields, shifts.schema.metadata))


def set_rows(folder: Path) -> Iterable[dict[str, Any]]:
    """One row a view and predictor: means over training seeds, and the three ceilings."""
    paths = validations(folder)
    told = [artifacts.read_json(path / artifacts.VALIDATION)["agreements"] for path in paths]
    again = sorted(folder.glob("validate-*-again"))
    equal_length = [beyond(artifacts.read_table(path / artifacts.SHIFTS).to_pandas(), "length") for path in paths]
    training = {name: replication(paths[0], paths[1], name) for name in told[0]} if len(paths) > 1 else {}
    sampling = {name: replication(paths[0], again[0], name) for name in told[0]} if again else {}
    for view in VIEWS:
        for predictor in told[0]:
            figures = [part[predictor][view] for part in told if view in part.get(predictor, {})]
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
            told = {"reward accuracy": share, "low": low, "high": high, "pairs": n}
            rows.append({"set": folder.name, "training": scores.parent.name, **told})
    return rows


def controls(sets: Sequence[Path]) -> dict[str, Any]:
    """Random controls of every validation."""
    return {str(path.relative_to(path.parents[1])): artifacts.read_json(path / artifacts.VALIDATION)["controls"]
            for folder in sets for path in validations(folder)}  # fmt: skip


def curves(sets: Sequence[Path]) -> list[dict[str, Any]]:
    """Observed shift of a traced cluster or concept after training on all rows and without some, a row an arm.

    ``observed`` is the mean over trainings, ``trainings`` each of them. ``less`` says by how much less is left without
    the rows that carry the shift than without as many random ones, trainings of one seed beside each other: positive
    where the rows that were traced matter more. Intervals as in :func:`intervals`.
    """
    return [row for folder in sets for trace in sorted(folder.glob("trace-*")) for row in curve(folder, trace)]


def curve(folder: Path, trace: Path) -> Iterable[dict[str, Any]]:
    """The arms of one traced cluster or concept."""
    cluster, told = trace.name.removeprefix("trace-"), artifacts.read_json(trace / artifacts.TRACE)
    untrained, whole = sides(folder, cluster)
    arms = {("none", ""): (whole, 1.0)}
    for item in told["without"]:
        random, top = sides(trace / artifacts.share_name(item["share"]), cluster)
        share = artifacts.share_name(item["share"]).replace("-percent", " %")
        arms[share, item["kind"]] = top if item["kind"] == "top" else random, item["predicted"] / told["predicted"]
    start, direction = untrained.mean(axis=1), float(np.sign(told["predicted"]))
    found = {name: after.sub(start, axis="index").dropna() for name, (after, _) in arms.items() if len(after)}
    noise = training_noise(list(found.values()))
    for (share, kind), change in found.items():
        row = {"set": folder.name, "cluster": cluster, "without": f"{share} {kind}".strip(),
               "predicted, of all rows'": arms[share, kind][1],
               **named("observed", intervals(change, noise, len(change.columns))),
               "trainings": ", ".join(f"{value:.3g}" for value in change.mean())}  # fmt: skip
        less = direction * (found[share, "random"] - change).dropna() if kind == "top" else None
        # a difference of two trainings has twice the variance of one
        yield row | named("less", (None,) * 5 if less is None else intervals(less, noise, len(less.columns) / 2))


def sides(folder: Path, cluster: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean of a cluster or concept on every prompt (rows), before and after, in every validation (columns)."""
    found: dict[str, dict[str, pd.Series]] = {"before": {}, "after": {}}
    for validated in validations(folder):
        means = artifacts.read_table(validated / artifacts.PROMPT_MEANS).to_pandas()
        means = means[(means["response"] == cluster) & means["view"].isin(["global", "concept"])].set_index("prompt_id")
        for side, columns in found.items():
            columns[validated.name] = means[side]
    return pd.DataFrame(found["before"]), pd.DataFrame(found["after"])


class Noise(NamedTuple):
    """Variance of a mean shift among trainings of one arm, pooled over the arms, and its degrees of freedom."""

    variance: float
    freedom: int


def training_noise(arms: Sequence[pd.DataFrame]) -> Noise:
    """From the trainings of each arm about their mean; no degrees of freedom where each arm was trained once."""
    means = [change.mean().to_numpy() for change in arms]
    freedom = sum(len(values) - 1 for values in means)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in means)
    return Noise(squares / freedom if freedom else float("nan"), freedom)


def intervals(change: pd.DataFrame, noise: Noise, trainings: float) -> tuple[float | None, ...]:
    """Mean over prompts and trainings, its 95 % interval over prompts, and over trainings, both by Student's t.

    The first takes the trainings as they are, the second the prompts: it holds the noise of dealing rows into batches
    and of sampling the completions after.
    """
    by_prompt = change.mean(axis=1)
    mean = float(by_prompt.mean())
    half = float(stats.t.ppf(0.975, len(by_prompt) - 1) * by_prompt.sem())
    if not noise.freedom:
        return mean, mean - half, mean + half, None, None
    wide = float(stats.t.ppf(0.975, noise.freedom) * np.sqrt(noise.variance / trainings))
    return mean, mean - half, mean + half, mean - wide, mean + wide


def named(what: str, values: Sequence[float | None]) -> dict[str, float | None]:
    """A mean and its two intervals, as columns."""
    names = ("", ", prompts: low", ", prompts: high", ", trainings: low", ", trainings: high")
    return {what + name: value for name, value in zip(names, values, strict=True)}


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the numbers that are there."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers to two digits after the point, slopes and shifts to three in all."""
    cells = [[_cell(value, name) for name, value in zip(header, row, strict=True)] for row in rows]
    return markdown_table(header, cells, verbatim=True) + "\n"


def records(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of rows with the same keys, which head the columns."""
    return markdown(list(rows[0]), [list(row.values()) for row in rows])


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if any(word in name for word in SMALL) else f"{value:.2f}"
    return str(value)


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
