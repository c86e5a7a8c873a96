"""The three views of a preference set, as tidy columns (method.md §5–6).

``global``: each response over all rows, against 0; what DPO amplifies everywhere. ``feature``: inside a data cluster
against the other active rows. ``prompt``: rows whose prompts express a prompt cluster most, against all other rows.
A finding needs a q-value *and* two halves that agree; agreement alone is passed by half of all nulls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int, Num

from anatomy.clusters.label_ids import sizes
from anatomy.hypotheses.signals import members
from anatomy.hypotheses.what_is_left import survival
from anatomy.statistics.adjustment import Adjusted, Adjustments, contrast_adjustments, mean_adjustments
from anatomy.statistics.clustered import q_values
from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.effects import Effects, mean_effects, stable
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.win_rates import WinRates, win_rates

RankKey = Literal["delta_min", "effect", "d", "z"]
Direction = Literal["chosen", "rejected"]
EVERYWHERE = "all"
PartT = TypeVar("PartT", Effects, WinRates, Adjusted)


class Responses(NamedTuple):
    """Signals to test, with their ids; further columns (scores of a detector, say) are appended to both."""

    values_NM: Num[np.ndarray, "N M"]
    ids: Sequence[str]


ADJUSTED = ("length_adjusted", "author_adjusted", "adjusted")
"""What effects are adjusted for: length, authors, both."""

HYPOTHESIS_COLUMNS = {
    **dict.fromkeys(("view", "context", "response"), "string"),
    **dict.fromkeys(("n", "prompts"), "int64"),
    **dict.fromkeys(("effect", "effect_low", "effect_high"), "double"),
    **dict.fromkeys(
        (f"effect_{kind}{end}" for kind in ADJUSTED for end in ("", "_low", "_high")),
        "double",
    ),
    "support": "double",
    **dict.fromkeys(("differ", "win_rate", "win_rate_low", "win_rate_high"), "double"),
    **dict.fromkeys(("d", "z", "z_welch"), "double"),
    **dict.fromkeys(("p", "q", "half_a", "half_b", "delta_min"), "double"),
    "stable": "bool",
    "direction": "string",
    "verdict": "string",
}
"""Columns of ``hypotheses.parquet``: those of :class:`Hypotheses`."""


@dataclass(frozen=True)
class Hypotheses:
    """One entry per tested (context, response); all arrays have the same length H. Effects > 0 favour chosen."""

    view: np.ndarray
    context: np.ndarray
    response: np.ndarray
    n: np.ndarray  # rows in the context
    prompts: np.ndarray  # distinct prompts among them
    effect: np.ndarray
    effect_low: np.ndarray  # 95 % interval
    effect_high: np.ndarray
    effect_length_adjusted: np.ndarray  # what length does not explain
    effect_length_adjusted_low: np.ndarray
    effect_length_adjusted_high: np.ndarray
    effect_author_adjusted: np.ndarray  # what authors do not explain; NaN: not known
    effect_author_adjusted_low: np.ndarray
    effect_author_adjusted_high: np.ndarray
    effect_adjusted: np.ndarray  # what neither explains
    effect_adjusted_low: np.ndarray
    effect_adjusted_high: np.ndarray
    support: np.ndarray  # share of the label that length and authors do not determine
    differ: np.ndarray  # share of the context's pairs whose sides differ in the response
    win_rate: np.ndarray  # share of those in which the chosen side has more of it
    win_rate_low: np.ndarray
    win_rate_high: np.ndarray
    d: np.ndarray
    z: np.ndarray
    z_welch: np.ndarray
    p: np.ndarray
    q: np.ndarray  # Benjamini–Hochberg over the view; NaN: untested
    half_a: np.ndarray
    half_b: np.ndarray
    delta_min: np.ndarray  # method.md §5, Δ^min
    stable: np.ndarray
    direction: np.ndarray  # the side that the effect favours
    verdict: np.ndarray  # what the effect survives (``what_is_left.py``)

    def columns(self) -> dict[str, np.ndarray]:
        """Name → array, in the order of the table."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def take(self, rows: Int[np.ndarray, " n"] | Bool[np.ndarray, " H"]) -> Hypotheses:
        """Some of the entries."""
        return Hypotheses(**{name: column[rows] for name, column in self.columns().items()})

    @staticmethod
    def concatenate(parts: Sequence[Hypotheses]) -> Hypotheses:
        """Several views in one table; q-values stay those of each view."""
        names = [field.name for field in fields(Hypotheses)]
        return Hypotheses(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def default_top_rows(n_rows: int) -> int:
    """Rows in a prompt context: 2 % of all, at least 50."""
    return max(50, round(0.02 * n_rows))


def responses(
    prefix: str, values_NM: Num[np.ndarray, "N M"], labels_F: Int[np.ndarray, " F"], min_features: int
) -> Responses:
    """Columns of clusters with ``t_m ≥ min_features`` (method.md §5), named ``{prefix}1`` and so on by cluster."""
    kept = np.flatnonzero(sizes(labels_F) >= min_features)
    return Responses(values_NM[:, kept], [f"{prefix}{m + 1}" for m in kept])


def global_view(tested: Responses, frame: RowFrame) -> Hypotheses:
    """Mean of each response over all rows, against 0."""
    everywhere = sp.csr_array(np.ones((1, len(frame.length_N)), bool))
    adjusted = mean_adjustments(tested.values_NM, frame)
    measured = _MeasuredView(
        _one_row(mean_effects(tested.values_NM, frame)),
        Adjustments(*map(_one_row, adjusted)),
        win_rates(tested.values_NM, everywhere, frame),
    )
    counts = np.array([len(frame.length_N)]), np.array([len(frame.prompts.half_G)])
    return _table("global", [EVERYWHERE], tested.ids, *counts, measured)


def feature_view(tested: Responses, labels_N: Int[np.ndarray, " N"], frame: RowFrame, min_rows: int = 25) -> Hypotheses:
    """Each data cluster D1..DK against the other active rows; rows labelled 0 (silent) are in no test."""
    active_N = labels_N > 0
    values_NM, labels_N = tested.values_NM[active_N], labels_N[active_N]
    return _contexts(
        "feature", "D", Responses(values_NM, tested.ids), members(labels_N), frame.take(active_N), min_rows
    )


def prompt_view(tested: Responses, member_KN: sp.csr_array, frame: RowFrame, min_rows: int = 25) -> Hypotheses:
    """The rows of each prompt context P1..PK (:func:`top_rows`) against all other rows."""
    return _contexts("prompt", "P", tested, member_KN, frame, min_rows)


def findings(table: Hypotheses, q_threshold: float = 0.05) -> Bool[np.ndarray, " H"]:
    """What may be reported: ``q ≤ q_threshold`` and both halves agree (``SC``)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((table.q <= q_threshold) & table.stable)


def rank(table: Hypotheses, key: RankKey, direction: Direction) -> Int[np.ndarray, " n"]:
    """Entries that favour ``direction``, strongest first by ``|key|`` (method.md §5); NaN last."""
    rows = np.flatnonzero(table.direction == direction)
    strength = np.abs(getattr(table, key)[rows])
    return rows[np.argsort(-np.nan_to_num(strength, nan=-1.0), kind="stable")]


class _MeasuredView(NamedTuple):
    """All that is measured of K contexts and M responses; every part holds arrays [K, M]."""

    effects: Effects
    adjustments: Adjustments
    wins: WinRates


def _one_row(part: PartT) -> PartT:
    return type(part)(*(np.asarray(values)[None] for values in part))


def _contexts(
    view: str, prefix: str, tested: Responses, member_KN: sp.csr_array, frame: RowFrame, least: int
) -> Hypotheses:
    n_K = np.diff(member_KN.indptr)
    kept = np.flatnonzero((n_K >= least) & (n_K < len(frame.length_N)))  # method.md §5, n_k; an outside must exist
    member_KN = member_KN[kept]
    contexts = [f"{prefix}{k + 1}" for k in kept]
    by_context = np.split(frame.prompts.code_N[member_KN.indices], member_KN.indptr[1:-1])
    prompts_K = np.array([len(np.unique(codes)) for codes in by_context[: len(kept)]], dtype=np.int64)
    measured = _MeasuredView(
        contrast_effects(tested.values_NM, member_KN, frame),
        contrast_adjustments(tested.values_NM, member_KN, frame),
        win_rates(tested.values_NM, member_KN, frame),
    )
    return _table(view, contexts, tested.ids, n_K[kept], prompts_K, measured)


def _table(
    view: str,
    contexts: Sequence[str],
    ids: Sequence[str],
    n_K: np.ndarray,
    prompts_K: np.ndarray,
    measured: _MeasuredView,
) -> Hypotheses:
    flat, wins = _flat(measured.effects), _flat(measured.wins)
    adjustments = Adjustments(*map(_flat, measured.adjustments))
    adjusted = {
        f"effect_{kind}{end}": values
        for kind, part in zip(ADJUSTED, adjustments, strict=True)
        for end, values in zip(("", "_low", "_high"), part, strict=False)
    }
    return Hypotheses(
        view=np.full(len(flat.effect), view),
        context=np.repeat(np.asarray(contexts, dtype=str), len(ids)),
        response=np.tile(np.asarray(ids, dtype=str), len(contexts)),
        n=np.repeat(n_K, len(ids)),
        prompts=np.repeat(prompts_K, len(ids)),
        effect=flat.effect,
        effect_low=flat.low,
        effect_high=flat.high,
        **adjusted,
        support=adjustments.both.support,
        differ=wins.differ,
        win_rate=wins.rate,
        win_rate_low=wins.low,
        win_rate_high=wins.high,
        d=flat.d,
        z=flat.z,
        z_welch=flat.z_welch,
        p=flat.p,
        q=q_values(flat.p),
        half_a=flat.half_a,
        half_b=flat.half_b,
        delta_min=np.minimum(np.abs(flat.half_a), np.abs(flat.half_b)),
        stable=stable(flat.half_a, flat.half_b),
        direction=np.where(flat.effect > 0, "chosen", "rejected"),
        verdict=survival(flat.effect, adjustments),
    )


def _flat(part: PartT) -> PartT:
    return type(part)(*(np.ascontiguousarray(values).reshape(-1) for values in part))
