"""The same signals in two sets of rows: what each set rewards, and the difference B − A with honest uncertainty.

``B̄ − Ā = Σ_j w_j u_j`` over the rows of both sets, with ``w = 1/n_B`` or ``−1/n_A``. A row that is in both sets counts
once, and its two weights nearly cancel. Rows of one prompt are dependent, within a set and across the two. Two tests
are made, and the one with the larger p is reported:

* **own variance**: ``Σ_g (B_g/n_B − A_g/n_A)²``; ``A_g`` and ``B_g`` sum prompt g's deviations from the mean of their
  set, with each mean's small-sample correction (``clustered.py``). The degrees of freedom are the effective number of
  prompts that carry the difference, less one: if two sets share all but ten rows, ten prompts carry it.
* **pooled variance**: ``s²·[(1−ρ) Σ_r h_r² + ρ Σ_g h_g²]``; ``h`` sums w over a row or a prompt, and ρ is the
  correlation of distinct rows of a prompt. It guards against a concept that happens to be absent from a small set.

A concept that is a finding in one set only is not yet different: a change needs the test of the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from anatomy.statistics.adjustment import mean_adjustments
from anatomy.statistics.clustered import clustered_mean, half_width, power_sums, q_values, two_sided_p
from anatomy.statistics.effects import mean_effects, positive, rounding, stable
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts, prompt_totals

CHANGES = ("changed sign", "appeared", "vanished", "stronger", "weaker", "moved")
"""Kinds of change, most important first; the last one differs, but is a finding in neither set."""
NO_CHANGE = "no difference shown"


class SetSignals(NamedTuple):
    """M signed signals of the N rows of one set, the rows' ids, and lengths, texts and authors as in :class:`RowFrame`.

    Rows with the same id are the same row and have the same values, also if they are in different sets.
    """

    values_NM: Num[np.ndarray, "N M"]
    row_ids: Sequence[str]
    prompt_ids: Sequence[str]
    length_N: Float[np.ndarray, " N"]
    text_N2: Int[np.ndarray, "N 2"] | None = None
    author_N2: Int[np.ndarray, "N 2"] | None = None


class SetFindings(NamedTuple):
    """Findings of one set alone, as the audit tests them over all rows; arrays [M], effects > 0 favour chosen."""

    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray
    adjusted: np.ndarray  # the effect beside length and authors (``adjustment.py``)
    q: np.ndarray
    found: Bool[np.ndarray, " M"]


class Differences(NamedTuple):
    """Findings of both sets, and B − A; arrays [M]. ``q`` is Benjamini–Hochberg over the M differences, or NaN."""

    a: SetFindings
    b: SetFindings
    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    adjusted: np.ndarray  # of adjusted effects
    d: np.ndarray
    z: np.ndarray
    p: np.ndarray
    q: np.ndarray
    change: np.ndarray  # one of CHANGES, or NO_CHANGE


def differences(a: SetSignals, b: SetSignals, q_threshold: float) -> Differences:
    """Test B − A for every signal; two equal sets give exactly 0 and no test."""
    alone_a, alone_b = set_findings(a, q_threshold), set_findings(b, q_threshold)
    difference_M = alone_b.effect - alone_a.effect
    joint = _joint(a, b)
    error_M, df_M, p_M = governing(difference_M, _own_error(joint), _pooled_error(joint))
    width_M, q_M = half_width(error_M, df_M), q_values(p_M)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Differences(
            a=alone_a,
            b=alone_b,
            difference=difference_M,
            low=difference_M - width_M,
            high=difference_M + width_M,
            adjusted=alone_b.adjusted - alone_a.adjusted,
            d=difference_M / np.where(joint.variance_M > 0, np.sqrt(joint.variance_M), np.nan),
            z=difference_M / error_M,
            p=p_M,
            q=q_M,
            change=_changes(alone_a, alone_b, q_M <= q_threshold),
        )


def set_findings(signals: SetSignals, q_threshold: float) -> SetFindings:
    """Findings of one set: effects whose q is at most the threshold and whose two halves agree.

    A signal that is the same in every row (each chosen response is bold and no rejected one is) has no variance for a
    t test; a sign test over the prompts gives its p.
    """
    prompts = Prompts.from_ids(signals.prompt_ids)
    frame = RowFrame(prompts, signals.length_N, signals.text_N2, signals.author_N2)
    effects = mean_effects(signals.values_NM, frame)
    adjusted_M = mean_adjustments(signals.values_NM, frame).both.effect
    agreed_M = (signals.values_NM == signals.values_NM[0]).all(axis=0) & (signals.values_NM[0] != 0)
    q_M = q_values(np.where(agreed_M, 2.0 ** (1 - len(prompts.half_G)), effects.p))
    with np.errstate(invalid="ignore"):
        found_M = (q_M <= q_threshold) & stable(effects.half_a, effects.half_b)
    return SetFindings(effects.effect, effects.low, effects.high, adjusted_M, q_M, found_M)


def governing(
    effect: np.ndarray, own: tuple[np.ndarray, np.ndarray], pooled: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error, degrees of freedom and p of the test with the larger p; NaN if either test cannot be made."""
    p_own, p_pooled = two_sided_p(effect, *own), two_sided_p(effect, *pooled)
    error, df = (np.where(p_pooled > p_own, *pair) for pair in zip(pooled, own, strict=True))
    p = np.maximum(p_own, p_pooled)
    return np.where(np.isnan(p), np.nan, error), df, p


class _Joint(NamedTuple):
    """Both sets as L rows, A's first: deviations from the mean of the row's set, weights, groupings."""

    deviation_LM: np.ndarray
    weight_L: np.ndarray
    correction_L: np.ndarray  # of the variance of the mean of the row's set
    rows: Prompts
    prompts: Prompts
    variance_M: np.ndarray  # 0 if there is nothing but rounding
    rounding_M: np.ndarray


def _joint(a: SetSignals, b: SetSignals) -> _Joint:
    sizes = [len(a.row_ids), len(b.row_ids)]
    values = [part.values_NM.astype(np.float64) for part in (a, b)]
    means = [clustered_mean(power_sums(Prompts.from_ids(part.prompt_ids).size_G)) for part in (a, b)]
    deviation_LM = np.concatenate([u_NM - u_NM.mean(axis=0) for u_NM in values])
    rounding_M = rounding(np.concatenate(values))
    return _Joint(
        deviation_LM=deviation_LM,
        weight_L=np.repeat([-1 / sizes[0], 1 / sizes[1]], sizes),
        correction_L=np.repeat([float(mean.correction) for mean in means], sizes),
        rows=Prompts.from_ids([*a.row_ids, *b.row_ids]),
        prompts=Prompts.from_ids([*a.prompt_ids, *b.prompt_ids]),
        variance_M=positive((deviation_LM**2).sum(axis=0) / max(sum(sizes) - 2, 1), rounding_M),
        rounding_M=rounding_M,
    )


def _own_error(joint: _Joint) -> tuple[np.ndarray, np.ndarray]:
    """Standard error from each prompt's own deviations, and the effective number of prompts less one; arrays [M]."""
    carried_LM = joint.deviation_LM * (joint.weight_L * np.sqrt(joint.correction_L))[:, None]
    square_M = (prompt_totals(carried_LM, joint.prompts) ** 2).sum(axis=0)
    error_M = np.sqrt(positive(square_M, joint.rounding_M / len(joint.weight_L)))
    weight_R, weight_G = _weights(joint)
    prompt_R = joint.prompts.code_N[_first(joint)]
    share_G = np.bincount(prompt_R, weight_R**2, minlength=len(weight_G)) + weight_G**2  # at ρ = 1/2
    with np.errstate(invalid="ignore"):
        effective = share_G.sum() ** 2 / (share_G**2).sum()
    return error_M, np.full(error_M.shape, effective - 1)


def _pooled_error(joint: _Joint) -> tuple[np.ndarray, np.ndarray]:
    """Standard error from one variance and one correlation within prompts for the rows of both sets; arrays [M]."""
    first = _first(joint)
    deviation_RM, prompts = joint.deviation_LM[first], joint.prompts.take(first)
    square_M = (deviation_RM**2).sum(axis=0)
    excess = float((prompts.size_G.astype(np.float64) ** 2).sum()) - len(first)  # 0 where no prompt repeats
    correlation_M = np.zeros(square_M.shape)
    if excess > 0:
        total_M = (prompt_totals(deviation_RM, prompts) ** 2).sum(axis=0)
        ratio_M = total_M / np.where(square_M > 0, square_M, np.inf) * len(first)
        correlation_M = np.clip((ratio_M - len(first)) / excess, 0, 1)
    weight_R, weight_G = _weights(joint)
    factor_M = (1 - correlation_M) * (weight_R**2).sum() + correlation_M * (weight_G**2).sum()
    least_M = joint.rounding_M / len(joint.weight_L)
    return np.sqrt(positive(joint.variance_M * factor_M, least_M)), np.full(square_M.shape, len(weight_G) - 2.0)


def _weights(joint: _Joint) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the weights of each distinct row and of each prompt."""
    return np.bincount(joint.rows.code_N, joint.weight_L), np.bincount(joint.prompts.code_N, joint.weight_L)


def _first(joint: _Joint) -> np.ndarray:
    """One place for each distinct row, in the order of their codes."""
    return np.unique(joint.rows.code_N, return_index=True)[1]


def _changes(a: SetFindings, b: SetFindings, differs_M: np.ndarray) -> np.ndarray:
    both_M, turned_M = a.found & b.found, np.sign(a.effect) != np.sign(b.effect)
    grown_M = np.abs(b.effect) > np.abs(a.effect)
    cases = [both_M & turned_M, b.found & ~a.found, a.found & ~b.found, both_M & grown_M, both_M & ~grown_M]
    change_M = np.select(cases, CHANGES[:-1], CHANGES[-1])
    return np.where(differs_M, change_M, NO_CHANGE)
