"""Share of pairs whose sides differ in a signal, and the share of those in which the chosen side has more of it.

The win rate is a ratio of sums over the rows of a context, so its variance is that of the sum of ``win − rate·differ``,
by prompt and by text (``shared_texts.py``). Its interval is Wilson's, which stays within 0–1, with the number of
independent pairs that this variance stands for, and Student's quantile for the number of independent clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Num
from scipy import special

from anatomy.statistics.context_cells import Cells, context_cells
from anatomy.statistics.contrast import COLUMNS
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.shared_texts import Bundles

ZERO = 1e-5
"""Standard deviations of a signal up to which two sides do not differ."""


class WinRates(NamedTuple):
    """Shares in 0–1 as arrays [K, M]; the win rate is NaN where no pair differs."""

    differ: np.ndarray
    rate: np.ndarray
    low: np.ndarray  # 95 % interval
    high: np.ndarray


def win_rates(u_NM: Num[np.ndarray, "N M"], member_KN: sp.csr_array, frame: RowFrame) -> WinRates:
    """Win rates of every signal inside every context.

    Args:
        u_NM: signed signals, whose sign follows the labels (not centred).
        member_KN: indicator of the rows of each context.
        frame: prompts and response texts of the same rows.
    """
    if 0 in (member_KN.shape[0], u_NM.shape[1]):
        return WinRates(*np.zeros((4, member_KN.shape[0], u_NM.shape[1])))
    cells = context_cells(member_KN, frame)
    blocks = []
    for start in range(0, u_NM.shape[1], COLUMNS):
        block_NM = u_NM[:, start : start + COLUMNS]
        least_M = ZERO * block_NM.std(axis=0, dtype=np.float64)
        won_NM, differ_NM = block_NM > least_M, np.abs(block_NM) > least_M
        rates = [_in_context(won_NM[c.rows], differ_NM[c.rows], c, frame.bundles) for c in cells]
        blocks.append(WinRates(*map(np.stack, zip(*rates, strict=True))))
    return WinRates(*(np.concatenate(part, axis=1) for part in zip(*blocks, strict=True)))


def _in_context(won_nM: np.ndarray, differ_nM: np.ndarray, c: Cells, shared: Bundles) -> WinRates:
    won_nM, differ_nM = won_nM.astype(np.float64), differ_nM.astype(np.float64)
    count_M = differ_nM.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate_M = won_nM.sum(axis=0) / count_M
        square_M, alike_M = _dependence(won_nM, differ_nM, rate_M, c, shared)
        clusters_M = count_M**2 / alike_M  # effective number, if the pairs of a prompt or text agree wholly
        variance_M = square_M / count_M**2 * clusters_M / (clusters_M - 1)
        varies_M = (square_M > 0) & (clusters_M > 1)
        pairs_M = np.where(varies_M, np.minimum(rate_M * (1 - rate_M) / variance_M, count_M), clusters_M)
        low_M, high_M = _wilson(rate_M, pairs_M, clusters_M - 1)
    return WinRates(differ_nM.mean(axis=0), rate_M, low_M, high_M)


def _dependence(
    won_nM: np.ndarray, differ_nM: np.ndarray, rate_M: np.ndarray, c: Cells, shared: Bundles
) -> tuple[np.ndarray, np.ndarray]:
    """``Σ_ij s_i s_j`` and ``Σ_ij d_i d_j`` over dependent rows, with s = win − rate·differ, d = differ: [M] each."""
    won, differ = c.sums(won_nM), c.sums(differ_nM)
    score = won - rate_M * differ
    square_M, alike_M = np.einsum("gm,gm->m", score, score), np.einsum("gm,gm->m", differ, differ)
    if c.texts is None:
        return square_M, alike_M
    sign_Q1, whole_Q1 = shared.sign_Q[c.texts.bundle, None], shared.whole_Q[c.texts.bundle, None]
    won, differ = c.texts.group @ won_nM, c.texts.group @ differ_nM
    share = differ / np.maximum(differ_nM.sum(axis=0), 1)
    left = np.where(whole_Q1, np.maximum(1 - share, 1e-9), 1)
    added_M = (sign_Q1 * ((won - rate_M * differ) / left) ** 2).sum(axis=0)
    return square_M + np.maximum(added_M, 0), alike_M + np.maximum((sign_Q1 * differ**2).sum(axis=0), 0)


def _wilson(
    rate_M: Float[np.ndarray, " M"], pairs_M: Float[np.ndarray, " M"], df_M: Float[np.ndarray, " M"]
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval; 0 and 1 where a single prompt or text differs."""
    quantile_M = special.stdtrit(np.maximum(df_M, 1e-3), 0.975)
    part_M = quantile_M**2 / pairs_M
    centre_M = (rate_M + part_M / 2) / (1 + part_M)
    width_M = np.sqrt(part_M * (rate_M * (1 - rate_M) + part_M / 4)) / (1 + part_M)
    alone_M, known_M = df_M < 0.1, np.isfinite(rate_M)
    low_M, high_M = np.clip(centre_M - width_M, 0, 1), np.clip(centre_M + width_M, 0, 1)
    return (np.where(known_M, np.where(alone_M, 0, low_M), np.nan),
            np.where(known_M, np.where(alone_M, 1, high_M), np.nan))  # fmt: skip
