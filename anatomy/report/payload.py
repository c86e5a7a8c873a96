"""What the page is told: the run in one small JSON document, and larger parts that it reads when it needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from anatomy import artifacts
from anatomy.clusters.assignments import Clusters
from anatomy.errors import AnatomyError
from anatomy.features.feature_store import FeatureStore
from anatomy.hypotheses.signals import top_rows
from anatomy.hypotheses.testing import Signals
from anatomy.naming.saved_names import read_names
from anatomy.report.packing import counts, pack, signed_bytes
from anatomy.report.positions import map_positions
from anatomy.report.summary_record import Summary
from anatomy.report.verdict import verdict
from anatomy.types import content_hash
from anatomy.validation.ablations import compare_arms

EXEMPLARS = {"nearest": 12, "random": 4}
EXCERPT = 220
KEPT_TESTS = 20_000
"""Tests of one view shown in full; beyond, those of smallest p."""
STATISTICS = ("effect", "effect_low", "effect_high", "effect_length_adjusted", "d", "z", "p", "q", "delta_min")

TOLD_ELSEWHERE = (artifacts.CALIBRATION, artifacts.CAPABILITY)
LARGEST_DOCUMENT = 500_000
"""Bytes of a JSON document under ``validation/`` that the page shows."""
KEPT_SHIFTS = 300
SHIFT_COLUMNS = ["predictor", "view", "context", "response", "predicted", "observed", "observed_low", "observed_high"]

Part = tuple[str, Any]
"""Name and value of a part of the page."""


def main_part(run_dir: Path, signals: Signals, clusters: Clusters, seed: int) -> dict[str, Any]:
    """The document that the page opens with.

    Raises:
        RunError: an artifact of the audit is missing.
    """
    documents = (artifacts.MANIFEST, artifacts.LABELS, artifacts.HEALTH)
    manifest, labels, health = (artifacts.read_json(run_dir / name) for name in documents)
    summary = Summary.read(run_dir / artifacts.SUMMARY)
    null = artifacts.read_json(run_dir / artifacts.NULL) if (run_dir / artifacts.NULL).is_file() else None
    validation, names = _validation(run_dir / artifacts.VALIDATIONS), read_names(run_dir)
    hypotheses = artifacts.read_table(run_dir / artifacts.HYPOTHESES)
    stages = {name: record for name, record in manifest["stages"].items() if name != "report"}  # still running
    clusters_now = manifest["stages"]["cluster"]["outputs"][artifacts.CLUSTERS]
    judged = verdict(summary, labels, hypotheses, null is not None, bool(validation), names)
    identity = [manifest["stages"][name]["fingerprint"] for name in ("rows", "harvest", "cluster")]
    return {
        "run": {"id": content_hash(identity)[:12], "path": str(run_dir), "name": run_dir.resolve().name},
        "manifest": {**manifest, "stages": stages},
        "health": health,
        "null": null,
        "validation": validation,
        "arms": asdict(compare_arms(run_dir / artifacts.VALIDATIONS, clusters_now)),
        "summary": {
            **summary.model_dump(include={"rows", "retained", "q_threshold", "rank_by"}),
            "views": {name: view.model_dump(include={"tested", "untestable", "found"})
                      for name, view in summary.views.items()},
        },
        "verdict": judged.model_dump(),
        "responses": list(dict.fromkeys([*signals.disparity.ids, *signals.shift.ids])),
        "clusters": _clusters(labels, names, signals, clusters, seed),
    }  # fmt: skip


def _validation(folder: Path) -> list[dict[str, Any]]:
    """JSON documents of ``validation/`` and its folders, with the shifts (predicted, observed) beside a validation."""
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        if path.name in TOLD_ELSEWHERE:
            continue
        shown: dict[str, Any] = {"name": str(path.relative_to(folder)), "document": {}, "shifts": []}
        try:
            large = path.stat().st_size > LARGEST_DOCUMENT
            shown["document"] = {"not shown": "too large"} if large else artifacts.finite(artifacts.read_json(path))
            if path.name == artifacts.VALIDATION and (path.parent / artifacts.SHIFTS).is_file():
                told = shown["document"]
                shown["predictor"] = (told.get("calibration") or {}).get("predictor") or next(iter(told["agreements"]))
                shown["shifts"] = _shifts(path.parent / artifacts.SHIFTS, shown["predictor"])
        except (AnatomyError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
            shown["document"] = {"cannot be read": str(error)}
        found.append(shown)
    return found


def _shifts(path: Path, predictor: str) -> list[dict[str, Any]]:
    """Rows of ``shifts.parquet`` of one predictor with a number on both sides, by view: ``KEPT_SHIFTS`` at most.

    A third are those of largest prediction, the others every so many in the order of prediction.
    """
    views: dict[str, list[dict[str, Any]]] = {}
    table = artifacts.read_table(path, SHIFT_COLUMNS)
    for line in table.filter(pc.equal(table["predictor"], predictor)).to_pylist():
        numbers = (line["predicted"], line["observed"])
        if None not in numbers and np.isfinite(numbers).all():
            views.setdefault(line["view"], []).append(line)
    return [line for lines in views.values() for line in _spread(lines)]


def _spread(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = sorted(lines, key=lambda line: -abs(line["predicted"]))
    largest, others = lines[: KEPT_SHIFTS // 3], sorted(lines[KEPT_SHIFTS // 3 :], key=lambda line: line["predicted"])
    places = np.linspace(0, len(others) - 1, min(len(others), KEPT_SHIFTS - len(largest))).round().astype(int)
    return [*largest, *(others[place] for place in places)]


def _clusters(
    labels: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: Mapping[str, Mapping[str, Any]],
    signals: Signals,
    clusters: Clusters,
    seed: int,
) -> dict[str, Any]:
    kinds = {kind: f"{kind} cluster" for kind in ("response", "data", "prompt")}
    detectors = {name for name in labels["response"] if not (name[0] in "RS" and name[1:].isdigit())}
    shown: dict[str, Any] = {}
    for kind, found in labels.items():
        for name, label in found.items():
            told = "concept" if name in detectors else "response shift" if name[0] == "S" else kinds[kind]
            shown[name] = {"kind": told, **_label(label), "name": names.get(name)}
    for name, place in _places(signals, seed).items():
        if name in shown:
            shown[name]["at"] = [round(float(value), 4) for value in place]
    return shown


def _label(label: Mapping[str, Any]) -> dict[str, Any]:
    """A label without most of its exemplars; those kept are cut."""
    counted: dict[str, int] = dict.fromkeys(EXEMPLARS, 0)
    exemplars = []
    for item in label["exemplars"]:
        counted[item["kind"]] += 1
        if counted[item["kind"]] <= EXEMPLARS[item["kind"]]:
            exemplars.append({**{name: item[name] for name in ("row_id", "index", "side", "kind", "tokens")},
                              "text": item["text"][:EXCERPT]})  # fmt: skip
    return {**{name: value for name, value in label.items() if name != "exemplars"}, "exemplars": exemplars}


def _places(signals: Signals, seed: int) -> dict[str, np.ndarray]:
    """Where each cluster lies on the map of its kind."""
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


def parts(run_dir: Path, signals: Signals, clusters: Clusters) -> Iterator[Part]:
    """The larger parts but for rows and tokens: tests, features of clusters, members of contexts, signals."""
    yield "tests", tests_part(artifacts.read_table(run_dir / artifacts.HYPOTHESES))
    labels = {"R": clusters.response_F, "S": clusters.shift_F, "P": clusters.prompt_F}
    yield "features", {prefix: counts(labels_F) for prefix, labels_F in labels.items()}
    yield "contexts", _contexts(signals)
    names: dict[str, int] = {}
    for tested in (signals.disparity, signals.shift):
        for column, name in enumerate(tested.ids):
            if name not in names:  # a concept stands in both
                names[name] = len(names)
                yield f"signal-{name}", signed_bytes(tested.values_NM[:, column])


def tests_part(hypotheses: pa.Table) -> dict[str, Any]:
    """The tests as packed columns; contexts and responses by number in ``names``."""
    table = _strongest(hypotheses)
    names = sorted({*table["context"].to_pylist(), *table["response"].to_pylist()})
    number = {name: place for place, name in enumerate(names)}
    views = ["global", "feature", "prompt"]
    columns = {name: pack(table[name].to_numpy().astype(np.float32)) for name in STATISTICS}
    coded = {name: counts(np.array([number[item] for item in table[name].to_pylist()], np.int64))
             for name in ("context", "response")}  # fmt: skip
    return {
        "names": names,
        "views": views,
        "total": hypotheses.num_rows,
        "view": counts(np.array([views.index(view) for view in table["view"].to_pylist()], np.int64)),
        **coded,
        "n": counts(table["n"].to_numpy()),
        "prompts": counts(table["prompts"].to_numpy()),
        "stable": counts(table["stable"].to_numpy().astype(np.int64)),
        **columns,
    }


def _strongest(hypotheses: pa.Table) -> pa.Table:
    """The tests that were possible; of a view with more than ``KEPT_TESTS``, those of smallest p."""
    p_H, view_H = hypotheses["p"].to_numpy(), hypotheses["view"].to_numpy(zero_copy_only=False)
    kept = []
    for view in ("global", "feature", "prompt"):
        rows = np.flatnonzero((view_H == view) & np.isfinite(p_H))
        kept.append(rows[np.argsort(p_H[rows], kind="stable")[:KEPT_TESTS]])
    return hypotheses.take(np.sort(np.concatenate(kept)))


def _contexts(signals: Signals) -> dict[str, Any]:
    """Rows of each prompt context, ascending; rows of a data cluster are told by the column ``data`` of the rows."""
    member_KN = top_rows(signals.score_NK, signals.top_rows, signals.prompts.rank_N)
    bounds = zip(member_KN.indptr, member_KN.indptr[1:], strict=False)
    return {f"P{k + 1}": counts(member_KN.indices[start:stop].astype(np.int64))
            for k, (start, stop) in enumerate(bounds)}  # fmt: skip


def top_signals(signals: Signals, top: int) -> dict[str, Any]:
    """For each row, the ``top`` responses whose signal is furthest from 0 in their own standard deviations."""
    values_NM = signals.disparity.values_NM
    spread_M = np.maximum(values_NM.std(0), 1e-12)
    top = min(top, values_NM.shape[1])
    order_NT = np.argsort(-np.abs(values_NM / spread_M), axis=1, kind="stable")[:, :top]
    shown_NT = np.take_along_axis(values_NM / spread_M, order_NT, axis=1)
    ids = list(signals.disparity.ids)
    return {"ids": ids, "top": top, "response": counts(order_NT.astype(np.int64)),
            "value": pack(np.clip(np.rint(shown_NT * 10), -127, 127).astype(np.int8))}  # fmt: skip


def data_clusters(clusters: Clusters, store: FeatureStore) -> dict[str, Any]:
    """Columns of rows that the features know: data cluster and tokens of each span."""
    spans = {f"{span}_tokens": counts(store.tokens(span)) for span in ("prompt", "chosen", "rejected")}
    return {"data": counts(clusters.data_N), **spans}
