"""Inside versus outside: parity with scipy at unique prompts, with a brute-force sandwich where prompts repeat."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from anatomy.hypotheses.signals import members
from anatomy.statistics.clustered import clustered_mean, power_sums, q_values
from anatomy.statistics.context_cells import context_cells, geometry
from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.effects import Effects, mean_effects, stable
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts


def unique_prompts(n: int) -> Prompts:
    return Prompts.from_ids([f"prompt {i}" for i in range(n)])


def unequal_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signals with unequal means and variances over clusters 0..4, and a length difference."""
    generator = np.random.default_rng(seed)
    label_N = generator.integers(0, 5, 400)
    u_NM = generator.standard_normal((400, 6)) * (0.3 + label_N[:, None]) + generator.standard_normal((5, 6))[label_N]
    return u_NM, label_N, generator.standard_normal(400)


def by_hand(u: np.ndarray, inside: np.ndarray, prior: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Error and degrees of freedom at unique prompts: each mean's variance moderated by the pooled one."""
    part, rest, n = u[inside], u[~inside], len(u)
    a, b = len(part), len(rest)
    within = ((a - 1) * part.var(0, ddof=1) + (b - 1) * rest.var(0, ddof=1)) / (n - 2)
    centred = u - u.mean(0)
    tails = np.minimum(1, 2 / (stats.kurtosis(centred, fisher=False) - 1))
    rows = np.maximum(within, part.var(0, ddof=1))
    alike = within / rows
    weight_in, weight_out = (a - 1) * (alike * tails + 1 - alike), (b - 1) * tails
    prior_in = prior * alike**2
    own_in, own_out = part.var(0, ddof=1) / a, rest.var(0, ddof=1) / b
    var_in = (prior_in * rows / a + weight_in * own_in) / (prior_in + weight_in)
    var_out = (prior * within / b + weight_out * own_out) / (prior + weight_out)
    df = (var_in + var_out) ** 2 / (var_in**2 / (prior_in + weight_in) + var_out**2 / (prior + weight_out))
    return np.sqrt(var_in + var_out), np.minimum(df, n - 2)


def test_unique_prompts_give_the_moderated_test_between_welch_and_student() -> None:
    u, label, length = unequal_data(0)
    ours = contrast_effects(u, members(label), RowFrame(unique_prompts(400), length))
    for k in range(1, 5):
        inside, outside = u[label == k], u[label != k]
        welch = stats.ttest_ind(inside, outside, equal_var=False)
        error, df = by_hand(u, label == k)
        delta = inside.mean(0) - outside.mean(0)
        np.testing.assert_allclose(ours.effect[k - 1], delta, rtol=1e-10)
        np.testing.assert_allclose(ours.z_welch[k - 1], welch.statistic, rtol=1e-9)
        np.testing.assert_allclose(ours.z[k - 1], delta / error, rtol=1e-9)
        np.testing.assert_allclose(ours.p[k - 1], 2 * stats.t.sf(np.abs(delta / error), df), rtol=1e-7, atol=1e-300)
        np.testing.assert_allclose(ours.high[k - 1] - delta, stats.t.ppf(0.975, df) * error, rtol=1e-8)
        pooled = ((len(inside) - 1) * inside.var(0, ddof=1) + (len(outside) - 1) * outside.var(0, ddof=1)) / 398
        np.testing.assert_allclose(ours.d[k - 1], delta / np.sqrt(pooled), rtol=1e-10)


def test_without_a_prior_it_is_welch_and_with_endless_prior_student(monkeypatch: pytest.MonkeyPatch) -> None:
    u, label, length = unequal_data(0)
    inside = label == 1  # varies less than the rest
    frame = RowFrame(unique_prompts(400), length)
    for prior, equal in ((0.0, False), (1e12, True)):
        monkeypatch.setattr("anatomy.statistics.moderated.PRIOR", prior)
        z = contrast_effects(u, sp.csr_array(inside[None]), frame).z[0]
        np.testing.assert_allclose(z, stats.ttest_ind(u[inside], u[~inside], equal_var=equal).statistic, rtol=1e-6)


def test_whole_set_at_unique_prompts_is_the_one_sample_t_test() -> None:
    u, _, length = unequal_data(1)
    ours = mean_effects(u, RowFrame(unique_prompts(400), length))
    scipy = stats.ttest_1samp(u, 0)
    np.testing.assert_allclose(ours.p, scipy.pvalue, rtol=1e-8)
    np.testing.assert_allclose(ours.z, scipy.statistic, rtol=1e-10)
    np.testing.assert_allclose(ours.z, ours.z_welch, rtol=1e-10)
    np.testing.assert_allclose([ours.low, ours.high], scipy.confidence_interval(), rtol=1e-8)


def brute_constants(size_G: np.ndarray) -> tuple[float, float]:
    """Correction and degrees of freedom from the quadratic form itself: V = μ'Qμ with independent prompt means μ."""
    w = size_G / size_G.sum()
    centre = np.eye(len(w)) - np.outer(np.ones(len(w)), w)
    q = centre.T @ np.diag(w**2) @ centre
    return (w**2).sum() / np.trace(q), np.trace(q) ** 2 / np.trace(q @ q)


@pytest.mark.parametrize("size", [[1, 1, 1, 1], [8, 8, 8], [20, 1, 1, 1, 1, 1], [5, 3, 2, 9, 1, 1]])
def test_small_sample_constants_equal_the_quadratic_form(size: list[int]) -> None:
    ours = clustered_mean(power_sums(np.array(size)))
    assert (float(ours.correction), float(ours.df)) == pytest.approx(brute_constants(np.array(size, float)))
    if len(set(size)) == 1:
        groups = len(size)
        assert (float(ours.correction), float(ours.df)) == pytest.approx((groups / (groups - 1), groups - 1))


def brute_contrast(u: np.ndarray, inside: np.ndarray, code: np.ndarray) -> float:
    """p of the moderated test, with loops over prompts."""
    out = ~inside
    n, m = inside.sum(), out.sum()
    delta = u[inside].mean() - u[out].mean()
    a, b, sizes_in, sizes_out = [], [], [], []
    for prompt in np.unique(code):
        i, o = inside & (code == prompt), out & (code == prompt)
        a.append((u[i] - u[inside].mean()).sum())
        b.append((u[o] - u[out].mean()).sum())
        sizes_in.append(i.sum())
        sizes_out.append(o.sum())
    a, b, i_g, o_g = np.array(a), np.array(b), np.array(sizes_in), np.array(sizes_out)
    c_in, df_in = brute_constants(i_g[i_g > 0].astype(float))
    c_out, df_out = brute_constants(o_g[o_g > 0].astype(float))

    centred, size = u - u.mean(), i_g + o_g
    totals = np.array([centred[code == prompt].sum() for prompt in np.unique(code)])
    excess = (size**2).sum() - len(u)  # 0 where no prompt repeats
    rho = np.clip(((totals**2).sum() / (centred**2).mean() - len(u)) / excess, 0, 1) if excess else 0
    within = ((n - 1) * u[inside].var(ddof=1) + (m - 1) * u[out].var(ddof=1)) / (n + m - 2)
    means = totals / size
    tails = min(1, 2 / (len(means) * (means**4).sum() / (means**2).sum() ** 2 - 1))
    rows = max(within, u[inside].var(ddof=1))
    alike = within / rows
    w_in, w_out, prior = df_in * (alike * tails + 1 - alike), df_out * tails, 8 * alike**2
    var_in = prior * rows * ((1 - rho) / n + rho * (i_g**2).sum() / n**2) + w_in * c_in * (a**2).sum() / n**2
    var_out = 8 * within * ((1 - rho) / m + rho * (o_g**2).sum() / m**2) + w_out * c_out * (b**2).sum() / m**2
    shared = prior * np.sqrt(rows * within) * rho * (i_g * o_g).sum() + w_in * np.sqrt(c_in * c_out) * (a * b).sum()
    var_in, var_out, shared = var_in / (prior + w_in), var_out / (8 + w_out), shared / (n * m) / (prior + w_in)
    df = (var_in + var_out) ** 2 / (var_in**2 / (prior + w_in) + var_out**2 / (8 + w_out))
    return 2 * stats.t.sf(abs(delta) / np.sqrt(var_in + var_out - 2 * shared), min(df, len(size) - 2))


def repeated_data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """60 prompts of 1 to 12 rows, with a strong prompt effect; contexts that both follow and cut across prompts."""
    generator = np.random.default_rng(seed)
    code = np.repeat(np.arange(60), generator.integers(1, 13, 60))
    u = generator.standard_normal((60, 5))[code] + 0.5 * generator.standard_normal((len(code), 5)) + 3
    context = np.stack(
        [code % 7 == 0, generator.random(len(code)) < 0.3, (code < 20) & (generator.random(len(code)) < 0.6)]
    )
    return u, context, code


def test_repeated_and_straddling_prompts_equal_the_brute_force_sandwich() -> None:
    u, context, code = repeated_data(2)
    shuffle = np.random.default_rng(3).permutation(len(code))
    u, context, code = u[shuffle], context[:, shuffle], code[shuffle]
    ours = contrast_effects(u, sp.csr_array(context), RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code))))
    for k in range(3):
        for column in range(5):
            assert ours.p[k, column] == pytest.approx(brute_contrast(u[:, column], context[k], code), rel=1e-7)


def test_whole_set_with_repeated_prompts_equals_the_sandwich() -> None:
    u, _, code = repeated_data(4)
    ours = mean_effects(u, RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code))))
    correction, df = brute_constants(np.bincount(code).astype(float))
    deviations = np.array([(u - u.mean(0))[code == prompt].sum(0) for prompt in range(60)])
    error = np.sqrt(correction * (deviations**2).sum(0)) / len(u)
    np.testing.assert_allclose(ours.p, 2 * stats.t.sf(np.abs(u.mean(0)) / error, df), rtol=1e-8)


def test_halves_hold_whole_prompts_and_are_contrasts_of_their_own() -> None:
    u, context, code = repeated_data(5)
    prompts = Prompts.from_ids(code.astype(str))
    assert all(len(set(prompts.half_N[code == prompt])) == 1 for prompt in range(60))
    ours = contrast_effects(u, sp.csr_array(context), RowFrame(prompts, np.zeros(len(code))))
    whole = mean_effects(u, RowFrame(prompts, np.zeros(len(code))))
    for half, contrasts, means in ((False, ours.half_a, whole.half_a), (True, ours.half_b, whole.half_b)):
        rows = prompts.half_N == half
        np.testing.assert_allclose(means, u[rows].mean(0), rtol=1e-10)
        for k in range(3):
            delta = u[rows & context[k]].mean(0) - u[rows & ~context[k]].mean(0)
            np.testing.assert_allclose(contrasts[k], delta, rtol=1e-8)


@pytest.mark.parametrize("straddling", [False, True])
def test_halves_where_no_prompt_repeats_inside(straddling: bool) -> None:
    """Ids in no order of the rows: a row must meet its own prompt's half and total."""
    generator = np.random.default_rng(13)
    code = generator.permutation(np.concatenate([np.arange(80), np.arange(80)]) if straddling else np.arange(160))
    inside = np.zeros(160, dtype=bool)
    inside[np.unique(code, return_index=True)[1][:50]] = True
    u = generator.standard_normal((160, 3))
    prompts = Prompts.from_ids(code.astype(str))
    ours = contrast_effects(u, sp.csr_array(inside[None]), RowFrame(prompts, np.zeros(160)))
    for half, contrast in ((False, ours.half_a), (True, ours.half_b)):
        rows = prompts.half_N == half
        np.testing.assert_allclose(contrast[0], u[rows & inside].mean(0) - u[rows & ~inside].mean(0), rtol=1e-9)
    for column in range(3):
        assert ours.p[0, column] == pytest.approx(brute_contrast(u[:, column], inside, code), rel=1e-7)


def finite_or_nan(effects: Effects) -> bool:
    return not any(np.isinf(part).any() for part in effects)


def test_no_variance_is_untested_and_never_infinite() -> None:
    u = np.zeros((100, 3))
    u[:, 1] = 0.1  # constant, with rounding
    u[:50, 2] = 1  # constant on both sides of the context
    inside = np.arange(100) < 50
    ours = contrast_effects(u, sp.csr_array(inside[None]), RowFrame(unique_prompts(100), np.zeros(100)))
    assert finite_or_nan(ours)
    assert np.isnan(ours.p).all()
    assert np.isnan(ours.z).all()
    whole = mean_effects(u[:, :2], RowFrame(unique_prompts(100), np.zeros(100)))
    assert finite_or_nan(whole)
    assert np.isnan(whole.p).all()


def test_context_of_one_prompt_is_untested() -> None:
    u, _, code = repeated_data(8)
    ours = contrast_effects(
        u, sp.csr_array((code == 5)[None]), RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code)))
    )
    assert np.isnan(ours.p).all()
    assert np.isnan(ours.low).all()
    assert np.isfinite(ours.effect).all()


def test_a_rare_concept_absent_from_a_small_context_is_no_finding() -> None:
    """1 % of rows fire, all on the chosen side; none of the 25 rows inside happens to. Welch: z = −14, d = −0.1."""
    generator = np.random.default_rng(9)
    u = (generator.random((20_000, 1)) < 0.01).astype(float)
    u[:25] = 0
    ours = contrast_effects(
        u, sp.csr_array(np.arange(20_000)[None] < 25), RowFrame(unique_prompts(20_000), np.zeros(20_000))
    )
    assert ours.z_welch[0, 0] < -12
    assert abs(ours.z[0, 0]) < 1
    assert ours.p[0, 0] > 0.3


def test_signals_far_from_zero_keep_their_digits() -> None:
    u, context, code = repeated_data(10)
    prompts = Prompts.from_ids(code.astype(str))
    near = contrast_effects(u, sp.csr_array(context), RowFrame(prompts, np.zeros(len(code))))
    far = contrast_effects(u + 1e6, sp.csr_array(context), RowFrame(prompts, np.zeros(len(code))))
    np.testing.assert_allclose(near.p, far.p, rtol=1e-5)


def test_more_signals_than_one_block_and_no_signals() -> None:
    u, label, length = unequal_data(11)
    wide = np.tile(u, (1, 50))
    ours = contrast_effects(wide, members(label), RowFrame(unique_prompts(400), length))
    assert ours.p.shape == (4, 300)
    np.testing.assert_allclose(ours.p[:, :6], ours.p[:, -6:], rtol=1e-9)
    assert contrast_effects(u[:, :0], members(label), RowFrame(unique_prompts(400), length)).p.shape == (4, 0)
    assert contrast_effects(u, members(label * 0), RowFrame(unique_prompts(400), length)).p.shape == (0, 6)


def test_geometry_counts_by_hand() -> None:
    """Prompts a (3 rows: 2 inside), b (2 rows: 2 inside), c (1 row: outside)."""
    prompts = Prompts.from_ids(list("aabbca"))
    member = sp.csr_array(np.array([[True, True, True, True, False, False]]))
    shape = geometry(context_cells(member, RowFrame(prompts, np.zeros(6))), prompts)
    assert (shape.inside.n[0], shape.outside.n[0], shape.prompts_K[0]) == (4, 2, 2)
    assert (shape.square_inside_K[0], shape.square_outside_K[0], shape.product_K[0]) == (8, 2, 2)


def test_sign_agreement() -> None:
    a = np.array([1.0, -1.0, 1.0, 1e-7, np.nan])
    b = np.array([2.0, -0.1, -1.0, 1.0, 1.0])
    np.testing.assert_array_equal(stable(a, b), [True, True, False, False, False])


def test_q_values_by_hand_and_untested_pairs_count_for_nothing() -> None:
    """p = .01, .04, .03: sorted .01·3/1 = .03, .03·3/2 = .045, .04·3/3 = .04; monotone from above: .03, .04, .04."""
    q = q_values(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(q, [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(q_values(np.full(3, np.nan))).all()


def test_one_row_inside_and_one_outside_per_prompt_is_as_sure_as_a_paired_test() -> None:
    """Degrees of freedom are prompts − 2, not twice that, where every prompt is on both sides."""
    generator = np.random.default_rng(12)
    code = np.tile(np.arange(6), 2)
    inside = np.arange(12) < 6
    u = generator.standard_normal((6, 3000))[code] + generator.standard_normal((12, 3000))
    ours = contrast_effects(u, sp.csr_array(inside[None]), RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(12)))
    assert (ours.p[0] < 0.05).mean() <= 0.06
    np.testing.assert_allclose(ours.p[0], 2 * stats.t.sf(np.abs(ours.z[0]), 4), rtol=1e-6)
