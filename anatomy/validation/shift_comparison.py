"""Predicted beside observed shifts in every view, by every predictor: columns of ``shifts.parquet``, and agreements.

========================  ==============================================================================================
``features``              each SAE feature, everywhere
``global``                each response cluster, everywhere
``concept``               each named concept, everywhere (share of responses flagged, or standard deviations)
``feature``               each response cluster inside each data cluster; ``feature-contrast`` minus the other rows
``prompt``                each shift cluster inside each prompt cluster's context; ``prompt-contrast`` minus the rest
========================  ==============================================================================================

The contrasts are what an audit tests (method.md §5–6); the plain views what a reader of one context wants to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from anatomy.artifacts import OrNaN
from anatomy.clusters.assignments import Clusters
from anatomy.prediction.predictors import Predictor, predict
from anatomy.prediction.readouts import Readout, cluster_readout, feature_readout, shift_readout
from anatomy.prediction.response_pool import Pool
from anatomy.statistics.agreement import Agreement, Ceiling, agreement, ceiling, r_interval
from anatomy.statistics.resampling import Resampling
from anatomy.validation.context_rule import Context, everywhere, large_enough
from anatomy.validation.observed import Observed, observe

VIEWS = ("features", "global", "concept", "feature", "feature-contrast", "prompt", "prompt-contrast")
PoolName = Literal["data", "rollouts", "own"]


@dataclass(frozen=True)
class Definition:
    """What the run decides of readouts: clusters, features worth reading, units of shift clusters."""

    clusters: Clusters
    kept_F: Bool[np.ndarray, " F"]
    std_F: Float[np.ndarray, " F"]
    min_features: int
    min_rows: int
    prompt_statistic: str


@dataclass(frozen=True)
class PoolInContexts:
    """One pool of responses with its contexts (in the order of the run's clusters) and concept scores."""

    pool: Pool
    data_contexts: Sequence[Context]
    prompt_contexts: Sequence[Context]
    concepts: Readout

    def contexts(self, view: str) -> Sequence[Context]:
        """The contexts of a view."""
        kind = view.partition("-")[0]
        if kind in ("feature", "prompt"):
            return self.data_contexts if kind == "feature" else self.prompt_contexts
        return everywhere(len(self.pool))

    def readout(self, view: str, statistic: str, run: Definition) -> Readout:
        """What is read of a response in a view."""
        if view == "features":
            return feature_readout(self.pool, run.kept_F, statistic)
        if view == "concept":
            return self.concepts
        if view.startswith("prompt"):
            return shift_readout(self.pool, run.clusters.shift_F, run.std_F, run.prompt_statistic)
        return cluster_readout(self.pool, run.clusters.response_F, statistic, run.min_features)


class Shifts(NamedTuple):
    """Shifts of one predictor in one view, over contexts × responses, flat."""

    predictor: str
    view: str
    context: np.ndarray
    response: np.ndarray
    predicted: np.ndarray
    observed: Observed


class ShiftComparison:
    """The pool of the data, that of the rollouts and what the run says: predicted and observed shifts on request.

    ``own`` is the pool of the model's own responses, over which some predictors predict.
    """

    def __init__(
        self,
        run: Definition,
        data: PoolInContexts,
        rollouts: PoolInContexts,
        weights: Resampling,
        min_prompts: int,
        own: PoolInContexts | None = None,
    ) -> None:
        self.run, self.weights, self.min_prompts = run, weights, min_prompts
        self.data, self.rollouts, self.own = data, rollouts, own
        self.readout = cache(self._readout)
        self.observed = cache(self._observed)

    def pairs(self, view: str) -> list[tuple[Context, Context]]:
        """Contexts of a view that are large enough in the data and in the rollouts."""
        found = self.data.contexts(view), self.rollouts.contexts(view)
        return large_enough(*found, self.rollouts.pool.prompts, self.run.min_rows, self.min_prompts)

    def views(self) -> list[str]:
        """Views that can be compared here."""
        return [view for view in VIEWS if self.pairs(view) and len(self.readout(view, "freq", "data").ids)]

    def shifts(self, predictor: Predictor, view: str) -> Shifts:
        """Predicted (over the responses of the data, or the model's own) and observed shifts."""
        pairs = self.pairs(view)
        ids = np.array(self.readout(view, predictor.statistic, "data").ids)
        return Shifts(
            predictor.name,
            view,
            np.repeat([ours.name for ours, _ in pairs], len(ids)),
            np.tile(ids, len(pairs)),
            self.predicted(predictor, view),
            self.observed(view, predictor.statistic),
        )

    def predicted(self, predictor: Predictor, view: str) -> Float[np.ndarray, " X"]:
        """Predicted shifts in the order of :meth:`shifts`."""
        name: PoolName = "own" if predictor.own else "data"
        over, readout = self._pool(name), self.readout(view, predictor.statistic, name)
        by_name = {context.name: context for context in over.contexts(view)}
        parts = []
        for ours, _ in self.pairs(view):
            context = by_name[ours.name]
            shift_M = predict(predictor, over.pool, readout, context.inside_N)
            if view.endswith("-contrast"):
                shift_M = shift_M - predict(predictor, over.pool, readout, context.rest_N)
            parts.append(shift_M)
        return np.concatenate(parts)

    def _pool(self, name: PoolName) -> PoolInContexts:
        found = {"data": self.data, "rollouts": self.rollouts, "own": self.own}[name]
        assert found is not None  # no predictor over own responses is made without them
        return found

    def _readout(self, view: str, statistic: str, pool: PoolName) -> Readout:
        return self._pool(pool).readout(view, statistic, self.run)

    def _observed(self, view: str, statistic: str) -> Observed:
        readout, prompts = self.readout(view, statistic, "rollouts"), self.rollouts.pool.prompts
        difference = readout.difference()
        if sp.issparse(difference):
            difference = sp.csr_array(difference)
        contrast = view.endswith("-contrast")
        parts = [observe(difference, theirs, prompts, self.weights, contrast) for _, theirs in self.pairs(view)]
        return Observed(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))


@dataclass(frozen=True, kw_only=True)
class ViewAgreement(Agreement):
    """Agreement of one predictor in one view, the 95 % interval of its r, and what noise allows.

    ``share_of_attainable`` is ``r·|r|`` over the attainable r²; NaN if nothing is attainable.
    """

    r_low: OrNaN
    r_high: OrNaN
    share_of_attainable: OrNaN
    ceiling: Ceiling


@dataclass(frozen=True, kw_only=True)
class NoAgreement:
    """The reason why a view has no agreement, for its ``n`` shifts."""

    n: int
    r: None = None
    why: str = "fewer than three shifts, or all of them equal"
    ceiling: Ceiling


def view_agreement(shifts: Shifts, seed: int) -> ViewAgreement | NoAgreement:
    """Agreement of one predictor in one view, next to what noise allows."""
    seen = shifts.observed
    used = np.isfinite(shifts.predicted) & np.isfinite(seen.value)
    found = agreement(
        shifts.predicted[used],
        seen.value[used],
        seen.low[used],
        seen.high[used],
        shifts.response[used].tolist(),
        seed,
    )
    limit = ceiling(seen.half_a, seen.half_b)
    if found is None:
        return NoAgreement(n=int(used.sum()), ceiling=limit)
    low, high = r_interval(shifts.predicted[used], seen.groups[:, used], found.r)
    reach = limit.attainable_r2
    return ViewAgreement(
        **vars(found),
        r_low=low,
        r_high=high,
        share_of_attainable=found.r * abs(found.r) / reach if reach > 0 else float("nan"),
        ceiling=limit,
    )


class Trained(NamedTuple):
    """The training whose shifts are compared: its preference set, its seed, and whether a choice was made on the set.

    They are constant columns of ``shifts.parquet``.
    """

    data: str
    seed: int
    role: str


def table(shifts: Sequence[Shifts], trained: Trained) -> dict[str, np.ndarray]:
    """Columns of ``shifts.parquet``."""
    columns: dict[str, np.ndarray] = {
        "predictor": np.concatenate([np.repeat(part.predictor, len(part.predicted)) for part in shifts]),
        "view": np.concatenate([np.repeat(part.view, len(part.predicted)) for part in shifts]),
        "context": np.concatenate([part.context for part in shifts]),
        "response": np.concatenate([part.response for part in shifts]),
        "predicted": np.concatenate([part.predicted for part in shifts]),
        "observed": np.concatenate([part.observed.value for part in shifts]),
        "observed_low": np.concatenate([part.observed.low for part in shifts]),
        "observed_high": np.concatenate([part.observed.high for part in shifts]),
    }
    n = len(columns["predicted"])
    return {name: np.repeat(value, n) for name, value in trained._asdict().items()} | columns
