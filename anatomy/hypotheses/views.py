"""The three views of a preference set, as tidy columns (method.md §5–6).

``global``: each response over all rows, against 0; what DPO amplifies everywhere. ``feature``: inside a data cluster,
of any level, or a group of the user's against the other active rows. ``prompt``: rows whose prompts express a prompt
cluster most, against all other rows. A finding needs a q-value *and* two halves that agree (agreement alone is passed
by half of all nulls), and it must not repeat a stronger one in a context of nearly the same rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from jaxtyping import Bool, Int, Num

from anatomy.clusters.label_ids import sizes
from anatomy.hypotheses.contexts import Contexts, numbered, repeated
from anatomy.hypotheses.what_is_left import survival
from anatomy.statistics.adjustment import Adjusted, Adjustments, contrast_adjustments, mean_adjustments
from anatomy.statistics.clustered import q_values
from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.effects import Effects, mean_effects, stable
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.hierarchy import hierarchical_q
from anatomy.statistics.power import context_size
from anatomy.statistics.prompts import Prompts
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
    "repeats": "string",
    "concept": "string?",
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
    q: np.ndarray  # Benjamini–Hochberg over responses, then over the contexts of each; NaN: untested
    half_a: np.ndarray
    half_b: np.ndarray
    delta_min: np.ndarray  # method.md §5, Δ^min
    stable: np.ndarray
    direction: np.ndarray  # the side that the effect favours
    verdict: np.ndarray  # what the effect survives (``what_is_left.py``)
    repeats: np.ndarray  # the context whose finding it repeats (``contexts.py``), or empty
    concept: np.ndarray  # the concept that the response is or follows (``followed.py``), or None

    @classmethod
    def of_table(cls, table: pa.Table) -> Hypotheses:
        """The content of ``hypotheses.parquet``."""
        return cls(**{field.name: table[field.name].to_numpy() for field in fields(cls)})

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


def default_top_rows(prompts: Prompts, responses: int, contexts: int) -> int:
    """Rows in a prompt context: 2 % of all, at least 50 and as many as a standard effect needs (``power.py``)."""
    n_rows, n_prompts = len(prompts.code_N), len(prompts.half_G)
    size = context_size(n_prompts, responses, max(contexts, 1))
    return max(50, round(0.02 * n_rows), math.ceil(size * n_rows / n_prompts))


def responses(
    prefix: str, values_NM: Num[np.ndarray, "N M"], labels_F: Int[np.ndarray, " F"], min_features: int
) -> Responses:
    """Columns of clusters with ``t_m ≥ min_features`` (method.md §5), named ``{prefix}1`` and so on by cluster."""
    kept = np.flatnonzero(sizes(labels_F) >= min_features)
    return Responses(values_NM[:, kept], [f"{prefix}{m + 1}" for m in kept])


def global_view(tested: Responses, frame: RowFrame, explain: bool = True) -> Hypotheses:
    """Mean of each response over all rows, against 0; without ``explain`` no adjustments, win rates and repeats."""
    everywhere = Contexts([EVERYWHERE], sp.csr_array(np.ones((1, len(frame.length_N)), bool)), [""])
    explained = None
    if explain:
        adjusted = mean_adjustments(tested.values_NM, frame)
        explained = _Explained(Adjustments(*map(_one_row, adjusted)),
                               win_rates(tested.values_NM, everywhere.member_KN, frame))  # fmt: skip
    return _table("global", everywhere, tested.ids, frame, _one_row(mean_effects(tested.values_NM, frame)), explained)


def feature_view(
    tested: Responses,
    contexts: Contexts,
    active_N: Bool[np.ndarray, " N"],
    frame: RowFrame,
    min_rows: int = 25,
    explain: bool = True,
) -> Hypotheses:
    """Each data cluster or group against the other active rows; the rest (silent) are in no test.

    ``explain`` is that of :func:`global_view`.
    """
    active = Responses(tested.values_NM[active_N], tested.ids)
    return _contexts("feature", active, contexts.among(active_N), frame.take(active_N), min_rows, explain)


def prompt_view(
    tested: Responses, member_KN: sp.csr_array, frame: RowFrame, min_rows: int = 25, explain: bool = True
) -> Hypotheses:
    """The rows of each prompt context P1..PK (:func:`top_rows`) against all other rows."""
    return _contexts("prompt", tested, numbered("P", member_KN), frame, min_rows, explain)


def findings(table: Hypotheses, q_threshold: float = 0.05, repeats: bool = False) -> Bool[np.ndarray, " H"]:
    """What may be reported: ``q ≤ q_threshold``, both halves agree (``SC``), and it repeats no stronger finding.

    With ``repeats``, those that repeat one too.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray((table.q <= q_threshold) & table.stable & (repeats | (table.repeats == "")))


def rank(table: Hypotheses, key: RankKey, direction: Direction) -> Int[np.ndarray, " n"]:
    """Entries that favour ``direction``, strongest first by ``|key|`` (method.md §5); NaN last."""
    rows = np.flatnonzero(table.direction == direction)
    strength = np.abs(getattr(table, key)[rows])
    return rows[np.argsort(-np.nan_to_num(strength, nan=-1.0), kind="stable")]


class _Explained(NamedTuple):
    """What explains an effect; every part holds arrays [K, M]."""

    adjustments: Adjustments
    wins: WinRates


def _one_row(part: PartT) -> PartT:
    return type(part)(*(np.asarray(values)[None] for values in part))


def _contexts(
    view: str, tested: Responses, contexts: Contexts, frame: RowFrame, least: int, explain: bool
) -> Hypotheses:
    n_K = np.diff(contexts.member_KN.indptr)
    contexts = contexts.take((n_K >= least) & (n_K < len(frame.length_N)))  # method.md §5, n_k; an outside must exist
    explained = None
    if explain:
        explained = _Explained(contrast_adjustments(tested.values_NM, contexts.member_KN, frame),
                               win_rates(tested.values_NM, contexts.member_KN, frame))  # fmt: skip
    effects = contrast_effects(tested.values_NM, contexts.member_KN, frame)
    return _table(view, contexts, tested.ids, frame, effects, explained)


def _table(
    view: str,
    contexts: Contexts,
    ids: Sequence[str],
    frame: RowFrame,
    effects: Effects,
    explained: _Explained | None,
) -> Hypotheses:
    flat, shape = _flat(effects), (len(contexts.ids), len(ids))
    q_KM = q_values(effects.p) if view == "global" else hierarchical_q(effects.p)
    stable_KM, repeats = stable(effects.half_a, effects.half_b), np.full(shape, "")
    if explained is not None:
        repeats = repeated(effects.p, effects.effect, stable_KM, contexts)
    return Hypotheses(
        view=np.full(len(flat.effect), view),
        context=np.repeat(np.asarray(contexts.ids, dtype=str), len(ids)),
        response=np.tile(np.asarray(ids, dtype=str), len(contexts.ids)),
        n=np.repeat(np.diff(contexts.member_KN.indptr).astype(np.int64), len(ids)),
        prompts=np.repeat(_prompts(contexts.member_KN, frame), len(ids)),
        effect=flat.effect,
        effect_low=flat.low,
        effect_high=flat.high,
        **_explaining(flat.effect, explained),
        d=flat.d,
        z=flat.z,
        z_welch=flat.z_welch,
        p=flat.p,
        q=q_KM.reshape(-1),
        half_a=flat.half_a,
        half_b=flat.half_b,
        delta_min=np.minimum(np.abs(flat.half_a), np.abs(flat.half_b)),
        stable=stable_KM.reshape(-1),
        direction=np.where(flat.effect > 0, "chosen", "rejected"),
        repeats=repeats.reshape(-1),
        concept=np.full(len(flat.effect), None),
    )


def _prompts(member_KN: sp.csr_array, frame: RowFrame) -> Int[np.ndarray, " K"]:
    """Prompts with a row in each context."""
    inside = (member_KN.indices[start:stop] for start, stop in itertools.pairwise(member_KN.indptr))
    return np.array([len(np.unique(frame.prompts.code_N[rows])) for rows in inside], dtype=np.int64)


def _explaining(effect: np.ndarray, explained: _Explained | None) -> dict[str, np.ndarray]:
    """Columns of adjustments, win rates and verdict; NaN, and undecided, where nothing was explained."""
    nothing = np.full(len(effect), np.nan)
    if explained is None:
        nowhere, no_rate = Adjusted(*[nothing] * 4), WinRates(*[nothing] * 4)
        explained = _Explained(Adjustments(nowhere, nowhere, nowhere), no_rate)
    adjustments, wins = Adjustments(*map(_flat, explained.adjustments)), _flat(explained.wins)
    adjusted = {
        f"effect_{kind}{end}": values
        for kind, part in zip(ADJUSTED, adjustments, strict=True)
        for end, values in zip(("", "_low", "_high"), part, strict=False)
    }
    return {
        **adjusted,
        "support": adjustments.both.support,
        "differ": wins.differ,
        "win_rate": wins.rate,
        "win_rate_low": wins.low,
        "win_rate_high": wins.high,
        "verdict": survival(effect, adjustments),
    }


def _flat(part: PartT) -> PartT:
    return type(part)(*(np.ascontiguousarray(values).reshape(-1) for values in part))
