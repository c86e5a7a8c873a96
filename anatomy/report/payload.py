"""The document that the page opens with: the run in small, its verdict, its clusters and its validations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from pydantic import TypeAdapter

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.errors import AnatomyError
from anatomy.hypotheses.contexts import GROUP
from anatomy.hypotheses.null_rates import NullRate, NullRates
from anatomy.hypotheses.run_signals import Signals
from anatomy.hypotheses.views import HYPOTHESIS_COLUMNS
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.report.payload_types import (
    MainPart,
    OtherDocument,
    RowsOnPage,
    RunName,
    ShownCluster,
    ShownExemplar,
    ShownShift,
    ShownValidation,
    SummaryCounts,
    ViewCounts,
)
from anatomy.report.positions import map_positions
from anatomy.report.reading_text import reading
from anatomy.report.summary_record import Labels, Summary, View
from anatomy.report.texts_noted import noted_texts
from anatomy.report.verdict import verdict
from anatomy.runs.manifest import Manifest
from anatomy.runs.saved_names import ClusterName, read_names
from anatomy.validation.ablations import compare_arms
from anatomy.validation.validated import OTHER
from anatomy.validation.validation_record import Validation

EXEMPLARS = {"nearest": 12, "random": 4}
EXCERPT = 220

SHOWN_ELSEWHERE = (artifacts.CALIBRATION, artifacts.CAPABILITY, artifacts.OUTPUTS)
LARGEST_DOCUMENT = 500_000
"""Bytes of a JSON document under ``validation/`` that the page shows."""
KEPT_SHIFTS = 300
SHIFT_COLUMNS = {
    **dict.fromkeys(("predictor", "view", "context", "response"), "string"),
    **dict.fromkeys(("predicted", "observed", "observed_low", "observed_high"), "double?"),
}


def main_part(run_dir: Path, signals: Signals, seed: int, rows: RowsOnPage) -> MainPart:
    """The document that the page opens with.

    Raises:
        RunError: an artifact of the audit is missing.
    """
    labels, health = ClusterLabels.read(run_dir / artifacts.LABELS).kinds(), Health.read(run_dir / artifacts.HEALTH)
    manifest = Manifest.of(run_dir)
    summary = Summary.read(run_dir / artifacts.SUMMARY)
    null = _null(run_dir / artifacts.NULL, manifest)
    validation = validations(run_dir / artifacts.VALIDATIONS, manifest.cluster_hashes())
    names = read_names(run_dir)
    validated = any(isinstance(shown["document"], Validation) for shown in validation)
    hypotheses = artifacts.read_table(run_dir / artifacts.HYPOTHESES, HYPOTHESIS_COLUMNS)
    stages = {name: record for name, record in manifest.stages.items() if name != "report"}  # still running
    return {
        "run": RunName(id=manifest.identity, path=str(run_dir), name=run_dir.resolve().name),
        "manifest": manifest.model_copy(update={"stages": stages}),
        "health": health,
        "texts": [*(line.strip() for line in reading(health)), *noted_texts(health)],
        "null": null,
        "validation": validation,
        "arms": compare_arms(run_dir / artifacts.VALIDATIONS, manifest.cluster_hashes()[artifacts.CLUSTERS]),
        "summary": _counts(summary),
        "verdict": verdict(summary, labels, hypotheses, null is not None, validated, names),
        "responses": list(dict.fromkeys([*signals.disparity.ids, *signals.shift.ids])),
        "clusters": _clusters(labels, names, signals, seed),
        "rows": rows,
    }


def _null(path: Path, manifest: Manifest) -> dict[View, NullRate] | None:
    """The null check of these hypotheses; None if there is none, or one of others."""
    found = NullRates.read(path) if path.is_file() else None
    return found.views if found is not None and found.made_of == manifest.hypothesis_hashes() else None


def _counts(summary: Summary) -> SummaryCounts:
    return {
        "rows": summary.rows,
        "retained": summary.retained,
        "q_threshold": summary.q_threshold,
        "rank_by": summary.rank_by,
        "views": {
            name: ViewCounts(
                tested=view.tested,
                untestable=view.untestable,
                power=None if view.power is None else str(view.power),
                repeated=view.repeated,
                members=view.members,
                found=view.found,
            )
            for name, view in summary.views.items()
        },
    }


def validations(folder: Path, clusters: Mapping[str, str]) -> list[ShownValidation | OtherDocument]:
    """The JSON documents in ``validation/`` and its folders; of one about other clusters, what to do about it.

    Args:
        clusters: hashes of the run's clusterings as they are now.
    """
    found: list[ShownValidation | OtherDocument] = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        if path.name in SHOWN_ELSEWHERE:
            continue
        name = str(path.relative_to(folder))
        try:
            found.append(
                _validation(path, name, clusters) if path.name == artifacts.VALIDATION else _document(path, name)
            )
        except AnatomyError as error:
            found.append({"name": name, "document": {"cannot be read": str(error)}, "shifts": []})
    return found


def _document(path: Path, name: str) -> OtherDocument:
    large = path.stat().st_size > LARGEST_DOCUMENT
    document = {"not shown": "too large"} if large else artifacts.finite(artifacts.read_json(path))
    return {"name": name, "document": document, "shifts": []}


def _validation(path: Path, name: str, clusters: Mapping[str, str]) -> ShownValidation | OtherDocument:
    if artifacts.made_of(path.parent) != clusters:
        return {"name": name, "document": {"not shown": OTHER}, "shifts": []}
    validation = Validation.read(path)
    best = validation.calibration.predictor if validation.calibration else next(iter(validation.agreements), None)
    shifts = path.parent / artifacts.SHIFTS
    return {
        "name": name,
        "document": validation,
        "predictor": best,
        "shifts": _shifts(shifts, best) if best and shifts.is_file() else [],
    }


def _shifts(path: Path, predictor: str) -> list[ShownShift]:
    """Rows of ``shifts.parquet`` of one predictor with a number on both sides, by view: ``KEPT_SHIFTS`` at most.

    A third are those of largest prediction; the others are spread evenly over the order of prediction.
    """
    views: dict[str, list[ShownShift]] = {}
    table = artifacts.read_table(path, SHIFT_COLUMNS)
    for line in table.filter(pc.equal(table["predictor"], predictor)).to_pylist():
        numbers = (line["predicted"], line["observed"])
        if None not in numbers and np.isfinite(numbers).all():
            views.setdefault(line["view"], []).append(line)
    return [line for lines in views.values() for line in _spread(lines)]


def _spread(lines: list[ShownShift]) -> list[ShownShift]:
    lines = sorted(lines, key=lambda line: -abs(line["predicted"]))
    largest, others = lines[: KEPT_SHIFTS // 3], sorted(lines[KEPT_SHIFTS // 3 :], key=lambda line: line["predicted"])
    places = np.linspace(0, len(others) - 1, min(len(others), KEPT_SHIFTS - len(largest))).round().astype(int)
    return [*largest, *(others[place] for place in places)]


def _clusters(labels: Labels, names: Mapping[str, ClusterName], signals: Signals, seed: int) -> dict[str, ShownCluster]:
    shown = {
        name: _cluster(_kind(kind, name), label, names.get(name))
        for kind, found in labels.items()
        for name, label in found.items()
    }
    for name, place in _places(signals, seed).items():
        if name in shown:
            shown[name]["at"] = [round(float(value), 4) for value in place]
    return shown


def _kind(kind: str, name: str) -> str:
    if kind == "response" and not (name[0] in "RS" and name[1:].isdigit()):
        return "concept"
    if name.startswith(GROUP):
        return "group of rows"
    return "response shift" if name[0] == "S" else f"{kind} cluster"


def _cluster(kind: str, label: Mapping[str, Any], name: ClusterName | None) -> ShownCluster:
    """A label without most of its exemplars; those kept are cut."""
    counted: dict[str, int] = dict.fromkeys(EXEMPLARS, 0)
    exemplars: list[ShownExemplar] = []
    for item in label["exemplars"]:
        counted[item["kind"]] += 1
        if counted[item["kind"]] <= EXEMPLARS[item["kind"]]:
            exemplars.append(
                ShownExemplar(
                    row_id=item["row_id"],
                    index=item["index"],
                    side=item["side"],
                    kind=item["kind"],
                    tokens=item["tokens"],
                    text=item["text"][:EXCERPT],
                )
            )
    return TypeAdapter(ShownCluster).validate_python({**label, "kind": kind, "exemplars": exemplars, "name": name})


def _places(signals: Signals, seed: int) -> dict[str, np.ndarray]:
    """The place of each cluster on the map of its kind."""
    prompts = [f"P{number + 1}" for number in range(signals.score_NK.shape[1])]
    maps = [
        (signals.disparity.ids, signals.disparity.values_NM),
        (signals.shift.ids, signals.shift.values_NM),
        (prompts, signals.score_NK),
    ]
    places: dict[str, np.ndarray] = {}
    for ids, signal_NM in maps:
        places |= dict(zip(ids, map_positions(signal_NM, seed), strict=True)) if len(ids) else {}
    return places
