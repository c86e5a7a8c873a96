"""How large a context must be, against simulated tests."""

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.power import FEWEST, POINTS, context_count, context_size, detectable_points
from anatomy.statistics.prompts import Prompts


@pytest.mark.parametrize(("size", "n_prompts", "tests"), [(60, 600, 20), (100, 4000, 4000)])
def test_four_in_five_effects_of_that_size_are_found(size: int, n_prompts: int, tests: int) -> None:
    """A signal of the same spread everywhere, which is what the formula takes: a shifted normal one."""
    points = detectable_points(size, n_prompts, tests)
    generator = np.random.default_rng(0)
    u = generator.standard_normal((n_prompts, 1500)) * np.sqrt(0.5)
    inside = np.arange(n_prompts) < size
    u[inside] += 2 * points / 100 * 0.5
    frame = RowFrame(Prompts.from_ids(np.arange(n_prompts).astype(str)), np.zeros(n_prompts))
    p = contrast_effects(u, sp.csr_array(inside[None]), frame).p
    assert 0.76 <= (p <= 0.05 / tests).mean() <= 0.86


def test_contexts_grow_slowly_with_the_set_and_are_held_to_an_eighth_of_a_small_one() -> None:
    sizes = [context_size(n, 60) for n in (60, 210, 1500, 5000, 20_000, 260_000)]
    assert sizes[:2] == [FEWEST, 26]
    assert (np.diff(sizes) > 0).all()
    assert sizes[-1] < 1.5 * sizes[2]
    assert [context_count(n, size) for n, size in zip((60, 210, 260_000), (10, 26, 129), strict=True)] == [6, 8, 512]


def test_the_size_is_the_first_that_is_large_enough() -> None:
    size = context_size(5000, 60, 70)
    assert detectable_points(size, 5000, 60 * 70) <= POINTS < detectable_points(size - 1, 5000, 60 * 70)


def test_nothing_is_detectable_without_an_inside_an_outside_or_a_test() -> None:
    assert np.isnan([detectable_points(*case) for case in ((0, 10, 1), (10, 10, 1), (5, 10, 0))]).all()
