"""What an audit found, in the order in which a person should read it: ``summary.json``.

A finding is a tested combination of context and response cluster with ``q`` at most the threshold, whose two halves
agree. Effects are signed: positive leans to
the chosen side. Ranked by the key in the settings (``delta_min``: the smaller of the two halves' effects,
method.md §5), chosen-leaning and rejected-leaning apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from anatomy.hypotheses.views import Direction, Hypotheses, findings, rank
from anatomy.settings import HypothesisSettings

if TYPE_CHECKING:
    import pyarrow as pa

    from anatomy.prediction.expected_shift import Expected

VIEWS = ("global", "feature", "prompt")
DIRECTIONS: tuple[Direction, ...] = ("chosen", "rejected")
STORED = 25
"""Findings kept per view and direction; all of them are in the table of hypotheses."""
MOSTLY_LENGTH = 0.5
"""An effect is called mostly length when less than this share of it is left at equal length."""
EXCERPTS = 3

Labels = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""``labels.json``: kind (``response``, ``data``, ``prompt``) → cluster id → label."""


class Evidence(NamedTuple):
    """Rows of the context on which the signal has the finding's sign: how many, and the strongest of them.

    Each of ``rows`` has ``row_id``, ``index`` and excerpts ``chosen`` and ``rejected``, and may have more.
    """

    n_rows: int
    rows: list[dict[str, Any]]


RowsBehind = Callable[[str, str, str, str], Evidence]
"""(view, context, response, direction) → the rows behind a finding."""


def strongest_rows(
    signal_N: Float[np.ndarray, " N"], inside_N: Bool[np.ndarray, " N"], direction: str, top: int = EXCERPTS
) -> tuple[int, Int[np.ndarray, " R"]]:
    """Number of rows inside whose signal has the direction's sign, and the ``top`` strongest, strongest first."""
    leaning_N = np.where(inside_N, signal_N if direction == "chosen" else -signal_N, 0.0)
    order = np.argsort(-leaning_N, kind="stable")[:top]
    return int((leaning_N > 0).sum()), order[leaning_N[order] > 0]


def summarise(
    hypotheses: pa.Table,
    labels: Labels,
    health: Mapping[str, Any],
    settings: HypothesisSettings,
    rows_behind: RowsBehind,
    expected: Expected | None = None,
) -> dict[str, Any]:
    """The content of ``summary.json``.

    Args:
        hypotheses: one row per tested pair, as in ``hypotheses.parquet``; a NaN ``p`` means that no test was possible.
        labels: as in ``labels.json``.
        health: as in ``health.json``; its baselines and counts are repeated here.
        rows_behind: asked once for each finding kept.
        expected: what shift to expect after training, told in findings over the whole set.
    """
    table = _hypotheses(hypotheses)
    views = {view: _view(table.take(table.view == view), labels, settings, rows_behind) for view in VIEWS}
    not_assessed = _not_assessed(labels, health, settings)
    if expected is not None:
        _tell_expected(views["global"], expected.shifts)
        not_assessed.append({"what": "expected shifts", "count": None, "why": expected.condition})
    return {
        "rows": health.get("rows"),
        "retained": health.get("retained"),
        "q_threshold": settings.q_threshold,
        "rank_by": settings.rank_by,
        "views": views,
        "expected_shifts": {} if expected is None else expected.shifts,
        "baselines": dict(health.get("baselines") or {}),
        "not_assessed": not_assessed,
    }


def _view(table: Hypotheses, labels: Labels, settings: HypothesisSettings, rows_behind: RowsBehind) -> dict[str, Any]:
    tested = int(np.isfinite(table.p).sum())
    result: dict[str, Any] = {"tested": tested, "untestable": len(table.p) - tested, "found": {}}
    found = table.take(findings(table, settings.q_threshold))
    for direction in DIRECTIONS:
        leaning = found.take(rank(found, settings.rank_by, direction))
        result["found"][direction] = len(leaning.p)
        columns = {name: column[:STORED].tolist() for name, column in leaning.columns().items()}
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        result[direction] = [_finding(row, labels, rows_behind) for row in rows]
    return result


def _tell_expected(view: dict[str, Any], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Add what to expect to the findings over the whole set."""
    for finding in (finding for direction in DIRECTIONS for finding in view[direction]):
        told = expected.get(finding["response"])
        if told is not None:
            finding["expected_shift"] = dict(told)
            finding["sentence"] += f"; expected shift {told['text']}"


def _hypotheses(table: pa.Table) -> Hypotheses:
    return Hypotheses(**{field.name: table[field.name].to_numpy() for field in dataclasses.fields(Hypotheses)})


def _finding(row: Mapping[str, Any], labels: Labels, rows_behind: RowsBehind) -> dict[str, Any]:
    context_kind = {"feature": "data", "prompt": "prompt"}.get(row["view"], "")
    evidence = rows_behind(row["view"], row["context"], row["response"], row["direction"])
    names = {
        "context_label": _label(labels, context_kind, row["context"]),
        "response_label": _label(labels, "response", row["response"]),
    }
    return {
        "sentence": sentence({**row, **names}),
        **names,
        **{name: value for name, value in row.items() if name != "stable"},
        "mostly_length": mostly_length(row["effect"], row.get("effect_length_adjusted")),
        "rows_affected": evidence.n_rows,
        "rows": evidence.rows,
    }


def _label(labels: Labels, kind: str, cluster: str) -> str:
    return str(labels.get(kind, {}).get(cluster, {}).get("label", ""))


def sentence(row: Mapping[str, Any]) -> str:
    """A finding in plain words, with effect, interval, q and d; labels are quoted as they are (escape on display)."""
    response = _named(row["response"], row["response_label"])
    context = _named(row["context"], row["context_label"])
    direction = row["direction"]
    other = "rejected" if direction == "chosen" else "chosen"
    claim = {
        "global": f"{direction.capitalize()} responses show {response} more than {other} ones",
        "feature": f"In {context}, {response} leans more to the {direction} side than elsewhere",
        "prompt": f"When the prompt shows {context}, {response} leans more to the {direction} side than elsewhere",
    }[row["view"]]
    interval = f"[{row['effect_low']:+.3f}, {row['effect_high']:+.3f}]"
    text = f"{claim}: {row['effect']:+.3f} {interval}, d {row['d']:+.2f}, q {row['q']:.2g}, {row['n']:,} rows"
    if mostly_length(row["effect"], row.get("effect_length_adjusted")):
        text += f"; only {row['effect_length_adjusted']:+.3f} of it is left at equal length"
    return text


def _named(cluster: str, label: str) -> str:
    return f"{cluster} ({label})" if label else cluster


def mostly_length(effect: float, adjusted: float | None) -> bool:
    """Less than half of the effect is left when chosen and rejected are equally long."""
    return bool(effect and adjusted is not None and math.isfinite(adjusted) and adjusted / effect < MOSTLY_LENGTH)


def _not_assessed(labels: Labels, health: Mapping[str, Any], settings: HypothesisSettings) -> list[dict[str, Any]]:
    """What the audit cannot speak about: ``what``, ``count``, ``why``; only what occurs."""
    data = {name: label for name, label in labels.get("data", {}).items() if name != "D0"}
    small = [name for name, label in data.items() if label["n_rows"] < settings.min_rows]
    thin = [name for name, label in labels.get("response", {}).items()
            if name[0] == "R" and label.get("n_features", settings.min_features) < settings.min_features]  # fmt: skip
    silent = labels.get("data", {}).get("D0", {}).get("n_rows", 0)
    entries = [
        ("rows", reason["count"], f"not retained: {name}") for name, reason in (health.get("reasons") or {}).items()
    ]
    entries += [("rows", silent, "silent: too little activity to belong to a context (feature view only)")]
    entries += [("rows", cut, f"{span} longer than the window: only the part that the model saw was read")
                for span, cut in (health.get("truncated") or {}).items()]  # fmt: skip
    entries += [
        ("data clusters", len(small), f"fewer than {settings.min_rows} rows: {_some(small)}"),
        ("response clusters", len(thin), f"fewer than {settings.min_features} features: {_some(thin)}"),
    ]
    return [{"what": what, "count": count, "why": why} for what, count, why in entries if count]


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
