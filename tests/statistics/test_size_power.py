"""False positives where there is nothing (size) and discoveries where something is planted (power)."""

import numpy as np
import pytest
import scipy.sparse as sp

from anatomy.hypotheses.contexts import data_contexts
from anatomy.hypotheses.null_rates import flip_signs, null_rates
from anatomy.hypotheses.signals import members, top_rows
from anatomy.hypotheses.views import Hypotheses, Responses, feature_view, findings, global_view, prompt_view
from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.effects import Effects, mean_effects, stable
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts

KINDS = ("normal", "heavy tails", "signs", "rare", "skewed")
PER_PROMPT = (1, 2, 4, 8)
CORRELATION = 0.8


def draw(kind: str, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    if kind == "normal":
        return generator.standard_normal(shape)
    if kind == "heavy tails":
        return generator.standard_t(3, shape)
    if kind == "signs":  # few features, balanced
        return generator.choice([-1.0, 0.0, 1.0], shape, p=[0.1, 0.8, 0.1])
    if kind == "rare":  # a mean that is not zero, and mostly nothing
        return generator.choice([0.0, 1.0], shape, p=[0.98, 0.02])
    return generator.binomial(12, 0.3, shape) / 12 - generator.binomial(12, 0.05, shape) / 12


def correlated(kind: str, code_N: np.ndarray, m: int, generator: np.random.Generator) -> np.ndarray:
    """Rows share their prompt's draw so often that the correlation within a prompt is 0.8; margins as drawn."""
    shared = generator.random((len(code_N), m)) < np.sqrt(CORRELATION)
    by_prompt = draw(kind, (code_N.max() + 1, m), generator)[code_N]
    return np.where(shared, by_prompt, draw(kind, (len(code_N), m), generator))


def contexts(code_N: np.ndarray, across: bool, k: int, generator: np.random.Generator) -> sp.csr_array:
    if across:
        return members(generator.integers(1, k + 1, len(code_N)))
    return members(generator.integers(1, k + 1, code_N.max() + 1)[code_N])


def in_clusters(tested: Responses, label_N: np.ndarray, prompts: Prompts) -> Hypotheses:
    """The view of data clusters, for rows without lengths."""
    frame = RowFrame(prompts, np.zeros(len(label_N)))
    return feature_view(tested, data_contexts([label_N]), label_N > 0, frame)


def false_positives(per_prompt: int, kind: str, across: bool, rows: int, seed: int) -> tuple[float, float]:
    """Rates of ours and of the paper's Welch z over 300 signals in contexts of about ``rows`` rows of 2,000."""
    generator = np.random.default_rng([seed, per_prompt, KINDS.index(kind), across, rows])
    code = generator.permutation(np.repeat(np.arange(2000 // per_prompt), per_prompt))
    member = contexts(code, across, 2000 // rows, generator)
    u = correlated(kind, code, 300, generator)
    effects = contrast_effects(u, member, RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(2000)))
    tested = ~np.isnan(effects.p)
    return float((effects.p[tested] < 0.05).mean()), float((np.abs(effects.z_welch[tested]) > 1.96).mean())


@pytest.mark.parametrize("rows", [25, 200])
@pytest.mark.parametrize("across", [False, True], ids=["contexts of prompts", "contexts across prompts"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per_prompt", PER_PROMPT)
def test_contrast_size_is_at_most_six_percent(per_prompt: int, kind: str, across: bool, rows: int) -> None:
    assert false_positives(per_prompt, kind, across, rows, seed=0)[0] <= 0.06


@pytest.mark.parametrize("per_prompt", PER_PROMPT)
def test_contrast_size_is_near_five_percent_and_not_only_below(per_prompt: int) -> None:
    """With some 25 prompts inside and ordinary signals the test is not merely timid."""
    rates = [false_positives(per_prompt, kind, False, 200, seed=1)[0] for kind in ("normal", "signs")]
    assert 0.025 <= np.mean(rates) <= 0.06


def test_the_paper_s_z_fails_where_ours_holds() -> None:
    """So the simulation is hard enough to show the defect."""
    assert false_positives(8, "normal", False, 200, seed=2)[1] > 0.3
    assert false_positives(1, "rare", False, 25, seed=2)[1] > 0.3


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "signs"])
@pytest.mark.parametrize("per_prompt", PER_PROMPT)
def test_whole_set_size(per_prompt: int, kind: str, uneven: bool) -> None:
    generator = np.random.default_rng([3, per_prompt, uneven])
    n_prompts = 60
    size = generator.integers(1, 2 * per_prompt, n_prompts) if uneven else np.full(n_prompts, per_prompt)
    code = np.repeat(np.arange(n_prompts), size)
    u = correlated(kind, code, 4000, generator)
    p = mean_effects(u, RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code)))).p
    assert 0.035 <= (p < 0.05).mean() <= 0.06


def test_one_dominant_prompt_inside_a_context() -> None:
    """20 of 25 rows inside are of one prompt: the plain G/(G−1) correction alone gives many false positives."""
    generator = np.random.default_rng(4)
    code = np.concatenate([np.repeat([0], 20), [1, 2, 3, 4, 5], np.arange(6, 1000)])
    u = correlated("normal", code, 4000, generator)
    member = sp.csr_array((code < 6)[None])
    p = contrast_effects(u, member, RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code)))).p
    assert (p < 0.05).mean() <= 0.06


def planted(per_prompt: int, seed: int) -> tuple[np.ndarray, np.ndarray, Prompts]:
    """Signals 0–4 shift by one standard deviation in context D1, 5–9 by −0.5 everywhere, 10–99 nowhere."""
    generator = np.random.default_rng(seed)
    code = np.repeat(np.arange(4000 // per_prompt), per_prompt)
    label = generator.integers(1, 11, code.max() + 1)[code]
    u = correlated("normal", code, 100, generator)
    u[label == 1, :5] += 1
    u[:, 5:10] -= 0.5
    return u, label, Prompts.from_ids(code.astype(str))


@pytest.mark.parametrize("per_prompt", PER_PROMPT)
def test_planted_effects_are_found_in_their_place_with_their_sign(per_prompt: int) -> None:
    u, label, prompts = planted(per_prompt, 5)
    tested = Responses(u, [f"R{m}" for m in range(100)])
    inside = in_clusters(tested, label, prompts)
    found = inside.take(findings(inside, 0.05))
    local = {(context, response, side) for context, response, side in
             zip(found.context, found.response, found.direction, strict=True)}  # fmt: skip
    assert {("D1", f"R{m}", "chosen") for m in range(5)} <= local
    elsewhere = {hit for hit in local if hit[1] not in {f"R{m}" for m in range(5)}}
    assert len(elsewhere) <= 2  # of 950 true nulls; −0.5 everywhere is no contrast
    everywhere = global_view(tested, RowFrame(prompts, np.zeros(4000)))
    hits = everywhere.take(findings(everywhere, 0.05))
    assert {f"R{m}" for m in range(5, 10)} <= set(hits.response[hits.direction == "rejected"])
    assert len(set(hits.response) - {f"R{m}" for m in range(10)}) <= 2


def test_intervals_cover_the_planted_effect_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(6)
    code = np.repeat(np.arange(300), 4)
    inside = code < 60
    u = correlated("normal", code, 3000, generator) + 0.7 * inside[:, None]
    effects = contrast_effects(
        u, sp.csr_array(inside[None]), RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(1200))
    )
    covered = (effects.low <= 0.7) & (effects.high >= 0.7)
    assert 0.94 <= covered.mean() <= 0.98
    np.testing.assert_array_equal(effects.p < 0.05, (effects.low > 0) | (effects.high < 0))


def test_sign_agreement_alone_calls_half_of_all_nulls_stable_and_q_does_not() -> None:
    generator = np.random.default_rng(7)
    code = np.repeat(np.arange(1000), 2)
    label = generator.integers(1, 11, 1000)[code]
    prompts = Prompts.from_ids(code.astype(str))
    tested = Responses(correlated("normal", code, 200, generator), [f"R{m}" for m in range(200)])
    null = in_clusters(tested, label, prompts)
    assert 0.45 < null.stable.mean() < 0.55
    assert findings(null, 0.05).mean() < 0.002


def views_with(u: np.ndarray, label: np.ndarray, prompts: Prompts) -> dict:
    zeros = np.zeros(len(u))
    ids = [f"R{m}" for m in range(u.shape[1])]
    inside = top_rows(np.eye(label.max())[label - 1], 200, prompts.rank_N)
    return {
        "global": lambda sign: global_view(Responses(u * sign[:, None], ids), RowFrame(prompts, zeros)),
        "feature": lambda sign: in_clusters(Responses(u * sign[:, None], ids), label, prompts),
        "prompt": lambda sign: prompt_view(Responses(u * sign[:, None], ids), inside, RowFrame(prompts, zeros)),
    }


@pytest.mark.parametrize("per_prompt", PER_PROMPT)
def test_null_check_finds_five_percent_in_a_set_full_of_effects(per_prompt: int) -> None:
    u, label, prompts = planted(per_prompt, 8)
    rates = null_rates(views_with(u, label, prompts), prompts, repetitions=20, seed=0)
    for name, rate in rates.items():
        assert rate.tested == (100 if name == "global" else 1000)
        assert 0.02 <= rate.false_positive_rate <= 0.06 + (0.01 if name == "global" else 0)
        assert rate.low <= rate.false_positive_rate <= rate.high
    assert null_rates(views_with(u, label, prompts), prompts, 2, seed=1) == null_rates(
        views_with(u, label, prompts), prompts, 2, seed=1
    )


def test_null_check_exposes_a_test_that_ignores_prompts() -> None:
    """The flip keeps prompts whole, so a view that pretends that rows are independent is caught."""
    u, label, prompts = planted(8, 9)
    naive = Prompts.from_ids([str(i) for i in range(4000)])
    rates = null_rates(views_with(u, label, naive), prompts, repetitions=5, seed=0)
    assert rates["feature"].false_positive_rate > 0.2
    assert rates["global"].false_positive_rate > 0.2


def test_flips_are_whole_prompts() -> None:
    prompts = Prompts.from_ids(list("aabbbcd") * 20)
    sign = flip_signs(prompts, np.random.default_rng(0))
    assert set(np.abs(sign)) == {1.0}
    for code in range(4):
        assert len(set(sign[prompts.code_N == code])) == 1


def test_nothing_tested_is_no_rate() -> None:
    empty = Effects(*np.zeros((len(Effects._fields), 0)))
    assert not stable(empty.half_a, empty.half_b).any()
    tested = Responses(np.zeros((60, 2)), ["R1", "R2"])
    prompts = Prompts.from_ids([str(i) for i in range(60)])
    rates = null_rates({"global": lambda sign: global_view(tested, RowFrame(prompts, np.zeros(60)))}, prompts, 3, 0)
    assert rates["global"].tested == 0
    assert np.isnan(rates["global"].false_positive_rate)
