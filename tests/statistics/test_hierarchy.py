"""q-values of contexts within responses: by their definition, on nulls and beside one list of all pairs."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from anatomy.statistics.clustered import q_values
from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.hierarchy import family_p, hierarchical_q
from anatomy.statistics.power import LEVELS, context_count, context_size
from anatomy.statistics.prompts import Prompts

RESPONSES, CORRELATION, ALL_DIFFER = 60, 0.8, 0.5
LEVEL = 0.05


def found_by_definition(p_KM: np.ndarray, level: float) -> np.ndarray:
    """Which tests the procedure finds at one level, by scipy and without any shortcut."""
    tested_M = (~np.isnan(p_KM)).any(axis=0)
    simes = [stats.false_discovery_control(p_K[~np.isnan(p_K)]).min() for p_K in p_KM.T[tested_M]]
    omnibus = stats.false_discovery_control(simes) if simes else np.zeros(0)
    selected = np.flatnonzero(tested_M)[omnibus <= level]
    found = np.zeros(p_KM.shape, bool)
    for m in selected:
        tested_K = np.flatnonzero(~np.isnan(p_KM[:, m]))
        within = stats.false_discovery_control(p_KM[tested_K, m])
        found[tested_K[within <= level * len(selected) / tested_M.sum() * (1 + 1e-12)], m] = True
    return found


def test_q_is_the_least_level_at_which_a_test_is_found() -> None:
    generator = np.random.default_rng(0)
    for draw in range(40):
        shape = generator.integers(1, 9), generator.integers(1, 12)
        p = generator.random(shape) ** generator.choice([1, 3, 8], (1, shape[1]))
        p[generator.random(shape) < 0.1] = np.nan
        p = np.round(p, 2) if draw % 3 == 0 else p  # ties, and zeros
        q = hierarchical_q(p)
        np.testing.assert_array_equal(np.isnan(q), np.isnan(p))
        for level in [*generator.random(4), 0.05]:
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(q <= level * (1 + 1e-12), found_by_definition(p, level))


def test_a_response_is_selected_exactly_where_a_context_is_found() -> None:
    """So no response is said to depend on a context that nobody can name."""
    p = np.random.default_rng(1).random((12, 40)) ** np.repeat([1, 6], 20)
    q, omnibus = hierarchical_q(p), q_values(family_p(p))
    np.testing.assert_allclose(q.min(axis=0), omnibus)


def test_one_context_or_none() -> None:
    p = np.array([[0.01, 0.2, np.nan, 0.04]])
    np.testing.assert_allclose(hierarchical_q(p), q_values(p[0])[None])
    assert hierarchical_q(np.zeros((0, 3))).shape == (0, 3)
    assert hierarchical_q(np.zeros((3, 0))).shape == (3, 0)
    assert np.isnan(hierarchical_q(np.full((2, 2), np.nan))).all()


def sliced(n_prompts: int, code_N: np.ndarray, counts: tuple[int, ...]) -> sp.csr_array:
    """Contexts of whole prompts, in equal slices: each of ``counts`` is a level of so many."""
    levels = [code_N * k // n_prompts + start for k, start in zip(counts, np.cumsum([0, *counts]), strict=False)]
    rows = np.tile(np.arange(len(code_N)), len(levels))
    shape = (sum(counts), len(code_N))
    return sp.csr_array((np.ones(len(rows), bool), (np.concatenate(levels), rows)), shape=shape)


def drawn(win_GM: np.ndarray, per_prompt: int, generator: np.random.Generator) -> np.ndarray:
    """Sides differ in half of the pairs; chosen then has more with this probability, and rows of a prompt agree."""
    code_N = np.repeat(np.arange(len(win_GM)), per_prompt)

    def independent(win: np.ndarray) -> np.ndarray:
        side = np.where(generator.random(win.shape) < win, 1.0, -1.0)
        return np.where(generator.random(win.shape) < ALL_DIFFER, side, 0.0)

    own_NM = independent(win_GM[code_N])
    shared_NM = generator.random(own_NM.shape) < np.sqrt(CORRELATION)
    return np.where(shared_NM, independent(win_GM)[code_N], own_NM) if per_prompt > 1 else own_NM


class Layouts:
    """The contexts of one set: by rows over 50 as they were, and by power with the levels of the tree."""

    def __init__(self, n_prompts: int, per_prompt: int) -> None:
        self.n_prompts, self.per_prompt = n_prompts, per_prompt
        self.code_N = np.repeat(np.arange(n_prompts), per_prompt)
        k = context_count(n_prompts, context_size(n_prompts, RESPONSES))
        self.by_power = tuple(k // level for level in LEVELS if k // level > 1)
        self.by_rows = (int(np.clip(len(self.code_N) // 50, 2, 512)),)

    def p(self, u_NM: np.ndarray, counts: tuple[int, ...]) -> np.ndarray:
        """p of every context and response."""
        frame = RowFrame(Prompts.from_ids(self.code_N.astype(str)), np.zeros(len(self.code_N)))
        return contrast_effects(u_NM, sliced(self.n_prompts, self.code_N, counts), frame).p


def planted_power(
    n_prompts: int, per_prompt: int, share: float | None, win: float, draws: int, responses: int = 1, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Share of planted responses that are found inside their topic, and share of findings in other responses.

    ``share`` is that of the topic's prompts; None: as many as one of the finest contexts of each layout has.
    """
    layouts, generator = Layouts(n_prompts, per_prompt), np.random.default_rng([seed, n_prompts, per_prompt])
    ways = {
        "rows/50, one list": (layouts.by_rows, lambda p: q_values(p.reshape(-1)).reshape(p.shape)),
        "by power, one list": (layouts.by_power, lambda p: q_values(p.reshape(-1)).reshape(p.shape)),
        "by power, hierarchy": (layouts.by_power, hierarchical_q),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(draws):
        noise = generator.integers(2**32)
        for name, (counts, q) in ways.items():
            topic = int(np.ceil(n_prompts / counts[0] if share is None else share * n_prompts))
            win_GM = np.full((n_prompts, RESPONSES), 0.5)
            win_GM[:topic, :responses] = win
            u_NM = drawn(win_GM, per_prompt, np.random.default_rng(noise))
            members = sliced(n_prompts, layouts.code_N, counts).astype(float)
            inside = members @ (layouts.code_N < topic) / np.diff(members.indptr)
            with np.errstate(invalid="ignore"):
                passed = q(layouts.p(u_NM, counts)) <= LEVEL
            hits = passed[inside >= 0.5, :responses].any(axis=0).mean()
            found[name].append((float(hits), float(passed[:, responses:].sum() / max(1, passed.sum()))))
    return {name: (np.mean([hits for hits, _ in rates]), np.mean([false for _, false in rates]))
            for name, rates in found.items()}  # fmt: skip


@pytest.mark.parametrize(("n_prompts", "per_prompt"), [(1500, 1), (700, 4)])
def test_the_standard_effect_is_found_in_eighty_percent_where_the_power_target_says_so(
    n_prompts: int, per_prompt: int
) -> None:
    found = planted_power(n_prompts, per_prompt, None, 0.9, draws=8, responses=5)
    assert found["by power, hierarchy"][0] >= 0.75
    assert found["rows/50, one list"][0] < found["by power, hierarchy"][0]


def test_a_weak_effect_in_a_large_topic_is_found_on_a_coarse_level_only() -> None:
    found = planted_power(5000, 1, 0.25, 0.67, draws=2, responses=6)
    assert found["rows/50, one list"][0] <= 0.2
    assert found["by power, hierarchy"][0] >= 0.8


@pytest.mark.parametrize("per_prompt", [1, 4])
def test_false_findings_stay_at_the_level(per_prompt: int) -> None:
    """The share of false findings beside planted effects."""
    false = planted_power(1200, per_prompt, 0.125, 0.8, draws=6, responses=8)
    assert false["by power, hierarchy"][1] <= 0.08


@pytest.mark.parametrize("per_prompt", [1, 4])
def test_few_sets_have_a_finding_where_nothing_is_planted(per_prompt: int) -> None:
    """200 sets of 60 responses; 5 % and three standard errors."""
    layouts, generator = Layouts(600 // per_prompt, per_prompt), np.random.default_rng([9, per_prompt])
    with_any = []
    for _ in range(20):
        nothing = np.full((600 // per_prompt, 10 * RESPONSES), 0.5)
        p_KM = layouts.p(drawn(nothing, per_prompt, generator), layouts.by_power)
        with np.errstate(invalid="ignore"):
            with_any += [(hierarchical_q(part) <= LEVEL).any() for part in np.split(p_KM, 10, axis=1)]
    assert np.mean(with_any) <= 0.1
