"""Pairs that differ and how often chosen has more: by hand, coverage, and what repeats."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.win_rates import win_rates


def framed(code: np.ndarray, text_N2: np.ndarray | None = None) -> RowFrame:
    return RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code)), text_N2)


def everywhere(n: int) -> sp.csr_array:
    return sp.csr_array(np.ones((1, n), bool))


def test_shares_by_hand_and_rounding_is_no_difference() -> None:
    u = np.array([[1.0], [2.0], [-1.0], [0.5], [0.0], [1e-9], [-1e-9], [3.0]], np.float32)
    found = win_rates(u, sp.csr_array(np.array([[1] * 8, [1, 1, 1, 0, 0, 1, 1, 0]], bool)), framed(np.arange(8)))
    np.testing.assert_allclose(found.differ[:, 0], [5 / 8, 3 / 5])
    np.testing.assert_allclose(found.rate[:, 0], [4 / 5, 2 / 3])


def test_independent_pairs_have_wilson_s_interval() -> None:
    u = np.where(np.random.default_rng(0).random((500, 1)) < 0.8, 1.0, -1.0)
    found = win_rates(u, everywhere(500), framed(np.arange(500)))
    wilson = stats.binomtest(int((u > 0).sum()), 500).proportion_ci(method="wilson")
    assert (found.low[0, 0], found.high[0, 0]) == pytest.approx((wilson.low, wilson.high), abs=5e-4)


def test_nothing_that_differs_has_no_rate_and_one_prompt_no_interval() -> None:
    u = np.zeros((40, 2))
    u[:20, 1] = 1.0
    found = win_rates(u, everywhere(40), framed(np.repeat([0, 1], 20)))
    assert np.isnan([found.rate[0, 0], found.low[0, 0], found.high[0, 0]]).all()
    assert (found.differ[0, 0], found.rate[0, 1]) == (0, 1)
    assert (found.low[0, 1], found.high[0, 1]) == (0, 1)


@pytest.mark.parametrize("rate", [0.5, 0.75, 0.95])
@pytest.mark.parametrize("per_prompt", [1, 2, 4, 8])
def test_intervals_cover(per_prompt: int, rate: float) -> None:
    """240 pairs whose sides differ in half of them; pairs of a prompt agree with a correlation of 0.8."""
    generator = np.random.default_rng([1, per_prompt])
    code = np.repeat(np.arange(240 // per_prompt), per_prompt)
    shared = generator.random((240, 2000)) < np.sqrt(0.8)
    side = np.where(shared, generator.random((code.max() + 1, 2000))[code], generator.random((240, 2000)))
    u = np.where(generator.random((240, 2000)) < 0.5, np.where(side < rate, 1.0, -1.0), 0.0)
    found = win_rates(u, everywhere(240), framed(code))
    covered = ((found.low <= rate) & (rate <= found.high)).mean()
    assert 0.92 <= covered <= 0.995


def test_one_canned_response_is_one_pair_and_ten_are_ten() -> None:
    n = 400
    u = np.zeros((n, 2))
    text_N2 = np.arange(2 * n).reshape(n, 2)
    u[:80, 0] = 1.0
    u[100:300, 1] = 1.0
    text_N2[:80, 0] = 9000
    text_N2[100:300, 0] = 9001 + np.arange(200) // 20
    found = win_rates(u, everywhere(n), framed(np.arange(n), text_N2))
    assert found.low[0, 0] == 0
    ten = win_rates(np.ones((10, 1)), everywhere(10), framed(np.arange(10)))
    assert found.low[0, 1] == pytest.approx(ten.low[0, 0], abs=1e-6)
    assert win_rates(u, everywhere(n), framed(np.arange(n))).low[0, 0] > 0.9
