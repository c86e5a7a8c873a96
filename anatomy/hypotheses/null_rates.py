"""Null check: flip chosen and rejected at random within the real set and run the same views again.

Whole prompts are flipped. Rows of one prompt are dependent (they may share a response), and flipping them one by one
would destroy that dependence, so that even a test that ignores it would pass. Signed signals change sign with the
labels; activity, prompt scores and so all contexts are symmetric and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from scipy import stats

from anatomy.artifacts import Artifact, OrNaN
from anatomy.hypotheses.views import Hypotheses
from anatomy.statistics.prompts import Prompts

LEVEL = 0.05

View = Callable[[np.ndarray], Hypotheses]
"""Runs a view on signals multiplied by a sign per row: ``lambda sign_N: feature_view(...)``."""


class NullRate(BaseModel):
    """What a view finds if labels are random: ``tested`` and ``discoveries`` (q < 0.05) are per repetition.

    ``false_positive_rate`` is the share of tests with p < 0.05, NaN where nothing could be tested; ``low`` and ``high``
    are its 95 % interval over repetitions, since the tests within one are not independent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tested: int
    repetitions: int
    false_positive_rate: OrNaN
    low: OrNaN
    high: OrNaN
    discoveries: float


class NullRates(Artifact):
    """``null.json``: the rates of each view, by its name; ``made_of`` are hashes of the hypotheses that were tested."""

    NAME = "null check"
    VERSION = 2
    REMEDY = "run `anatomy null` again"

    made_of: dict[str, str]
    views: dict[Literal["global", "feature", "prompt"], NullRate]


def flip_signs(prompts: Prompts, generator: np.random.Generator) -> Float[np.ndarray, " N"]:
    """+1 or −1 per row, the same for all rows of a prompt."""
    return np.asarray(generator.choice(np.array([-1.0, 1.0]), len(prompts.half_G))[prompts.code_N])


def null_rates(views: Mapping[str, View], prompts: Prompts, repetitions: int, seed: int) -> dict[str, NullRate]:
    """False-positive rate of each view over ``repetitions`` random flips.

    A view of shift clusters must flip the uncentred signal: ``(shift_NM + offset_M) * sign_N[:, None]``.
    """
    generator = np.random.default_rng(seed)
    signs = [flip_signs(prompts, generator) for _ in range(repetitions)]
    return {name: _rate([view(sign_N) for sign_N in signs]) for name, view in views.items()}


def _rate(tables: list[Hypotheses]) -> NullRate:
    tested = [int((~np.isnan(table.p)).sum()) for table in tables]
    rates = np.array([(table.p < LEVEL).sum() / n for table, n in zip(tables, tested, strict=True) if n])
    if not rates.size:
        return NullRate(
            tested=0, repetitions=len(tables), false_positive_rate=np.nan, low=np.nan, high=np.nan, discoveries=0.0
        )
    error = rates.std(ddof=1) / np.sqrt(rates.size) if rates.size > 1 else np.nan
    width = stats.t.ppf(0.975, rates.size - 1) * error
    found = np.mean([(table.q < LEVEL).sum() for table in tables])
    mean = float(rates.mean())
    return NullRate(
        tested=tested[0],
        repetitions=len(tables),
        false_positive_rate=mean,
        low=max(0.0, mean - width),
        high=min(1.0, mean + width),
        discoveries=float(found),
    )
