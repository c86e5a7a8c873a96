"""Rows that share a response text: parity with a sum over pairs of rows, and no discovery from one canned response."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from anatomy.statistics.contrast import contrast_effects
from anatomy.statistics.effects import mean_effects
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.prompts import Prompts
from anatomy.statistics.shared_texts import bundles, text_part


def framed(code: np.ndarray, text_N2: np.ndarray | None) -> RowFrame:
    return RowFrame(Prompts.from_ids(code.astype(str)), np.zeros(len(code)), text_N2)


def own_texts(n: int) -> np.ndarray:
    return np.arange(2 * n).reshape(n, 2)


def drawn(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose texts recur within and across prompts, on either side, alone and as pairs; prompts repeat."""
    generator = np.random.default_rng(seed)
    text_N2 = generator.integers(0, 25, (n, 2))
    text_N2[:, 1] += text_N2[:, 0] == text_N2[:, 1]
    text_N2[10:14] = [[3, 4], [4, 3], [3, 4], [4, 3]]
    return generator.standard_normal((n, 4)), generator.integers(0, 40, n), text_N2


def dependent(code: np.ndarray, text_N2: np.ndarray) -> np.ndarray:
    shares = (text_N2[:, None, :, None] == text_N2[None, :, None, :]).any(axis=(2, 3))
    return shares & (code[:, None] != code[None, :])


def test_bundles_count_each_pair_of_dependent_rows_once() -> None:
    score, code, text_N2 = drawn(0)
    shared = bundles(text_N2, code)
    summed = shared.member_NQ.T @ score
    brute = np.einsum("im,jm,ij->m", score, score, dependent(code, text_N2).astype(float))
    np.testing.assert_allclose(shared.sign_Q @ summed**2, brute, rtol=1e-9)


def test_a_whole_text_counts_as_the_change_of_the_mean_without_it() -> None:
    generator = np.random.default_rng(1)
    u = generator.standard_normal((50, 3))
    text_N2 = own_texts(50)
    text_N2[:20, 0] = 1000
    part = text_part(u - u.mean(0), bundles(text_N2, np.arange(50)))
    change = u.mean(0) - u[20:].mean(0)
    alone = ((u - u.mean(0))[:20] ** 2).sum(0)
    np.testing.assert_allclose(part.added, np.maximum((50 * change) ** 2 - alone, 0), rtol=1e-9)


def test_unshared_texts_change_nothing() -> None:
    generator = np.random.default_rng(2)
    u, code = generator.standard_normal((80, 5)), np.repeat(np.arange(20), 4)
    text_N2 = own_texts(80)
    text_N2[:, 0] = 1000 + code  # one answer in all rows of its prompt
    known, unknown = framed(code, text_N2), framed(code, None)
    assert not known.bundles.any
    inside = sp.csr_array((code < 7)[None])
    for ours, plain in ((mean_effects(u, known), mean_effects(u, unknown)),
                        (contrast_effects(u, inside, known), contrast_effects(u, inside, unknown))):  # fmt: skip
        np.testing.assert_array_equal(ours.p, plain.p)


def brute_added(u: np.ndarray, inside: np.ndarray, code: np.ndarray, text_N2: np.ndarray) -> float:
    """What texts add to the variance of Δ, by texts and pairs of texts, with the change that leaving one out makes."""
    n_in, n_out = inside.sum(), (~inside).sum()
    a = np.where(inside, u - u[inside].mean(), 0) / n_in
    b = np.where(~inside, u - u[~inside].mean(), 0) / n_out
    pair = np.sort(text_N2, axis=1)
    total = 0.0
    for text in np.unique(text_N2):
        rows = (text_N2 == text).any(axis=1)
        if len(np.unique(code[rows])) > 1:
            left_in = 1 - (rows & inside).sum() / n_in
            left_out = 1 - (rows & ~inside).sum() / n_out
            total += (a[rows].sum() / left_in - b[rows].sum() / left_out) ** 2
            total -= sum((a[rows & (code == g)].sum() - b[rows & (code == g)].sum()) ** 2 for g in np.unique(code))
    for one in np.unique(pair, axis=0):
        rows = (pair == one).all(axis=1)
        if len(np.unique(code[rows])) > 1:
            total -= (a[rows] - b[rows]).sum() ** 2
            total += sum(((a - b)[rows & (code == g)].sum()) ** 2 for g in np.unique(code))
    return max(total, 0.0)


def test_contrast_with_shared_texts_equals_loops() -> None:
    """All texts and pairs of texts have a row inside, so that none is left to the squares of all rows."""
    u, code, _ = drawn(3, 300)
    text_N2 = np.random.default_rng(10).permuted(np.tile(np.arange(6), (300, 1)), axis=1)[:, :2]
    inside = np.random.default_rng(4).random(300) < 0.4
    with_texts = contrast_effects(u, sp.csr_array(inside[None]), framed(code, text_N2))
    without = contrast_effects(u, sp.csr_array(inside[None]), framed(code, None))
    for column in range(4):
        ours, plain = ((part.effect / part.z)[0, column] for part in (with_texts, without))
        added = brute_added(u[:, column] - u[:, column].mean(), inside, code, text_N2)
        assert ours**2 == pytest.approx(plain**2 + added, rel=1e-7)


def canned(n: int, times: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One text wins in the first rows, each under a prompt of its own; two features of that text, eight of none."""
    generator = np.random.default_rng(seed)
    u = np.zeros((n, 10))
    u[:, 2:] = generator.standard_normal((n, 8))
    u[:times, 0] = 1.0
    u[:times, 1] = 0.5 + 0.1 * generator.standard_normal(times)
    text_N2 = own_texts(n)
    text_N2[:times, 0] = 5 * n
    return u, text_N2


@pytest.mark.parametrize(("n", "times"), [(1000, 80), (400, 80), (100, 80), (5000, 80)])
def test_one_canned_response_is_one_observation_in_every_view(n: int, times: int) -> None:
    u, text_N2 = canned(n, times, 5)
    frame = framed(np.arange(n), text_N2)
    assert (np.nan_to_num(mean_effects(u, frame).p[:2], nan=1) > 0.2).all()
    assert mean_effects(u, framed(np.arange(n), None)).p[0] < 1e-12
    generator = np.random.default_rng(6)
    contexts = np.stack([np.arange(n) < times, np.arange(n) < times + 15, generator.random(n) < 0.3])
    p = contrast_effects(u, sp.csr_array(contexts), frame).p
    assert (np.nan_to_num(p[:, :2], nan=1) > 0.2).all()
    assert np.isnan(p[0]).all()  # the context is that text and nothing else


def test_the_rest_of_the_set_is_still_found_beside_a_canned_response() -> None:
    u, text_N2 = canned(1000, 80, 7)
    u[:, 2] += 0.3
    assert mean_effects(u, framed(np.arange(1000), text_N2)).p[2] < 1e-6


@pytest.mark.parametrize("texts", [2, 3, 4, 5, 8])
def test_few_canned_responses_are_few_observations(texts: int) -> None:
    """They win under 30 prompts each: p is near that of a sign test of so many coins, never far below."""
    n = 2000
    u, text_N2 = np.zeros((n, 1)), own_texts(n)
    for text in range(texts):
        rows = slice(30 * text, 30 * text + 30)
        u[rows], text_N2[rows, 0] = 1.0, 10 * n + text
    exact = 2.0 ** (1 - texts)
    assert mean_effects(u, framed(np.arange(n), text_N2)).p[0] > 0.4 * exact


@pytest.mark.parametrize("signal", ["of the text", "of the row"])
@pytest.mark.parametrize("per_text", [2, 5])
def test_size_where_every_text_comes_several_times(per_text: int, signal: str) -> None:
    """Chosen texts recur under different prompts; the signal is the text's own, or that of the row."""
    generator = np.random.default_rng([8, per_text])
    n = 300
    text_N2 = own_texts(n)
    text_N2[:, 0] = generator.permutation(n) // per_text
    of_text = signal == "of the text"
    u = generator.standard_normal((n, 3000))
    u = generator.standard_normal((n // per_text, 3000))[text_N2[:, 0]] + 0.3 * u if of_text else u
    frame = framed(np.arange(n), text_N2)
    assert 0.03 <= (mean_effects(u, frame).p < 0.05).mean() <= 0.065
    inside = sp.csr_array((generator.random(n) < 0.3)[None])
    assert 0.015 <= (contrast_effects(u, inside, frame).p < 0.05).mean() <= 0.065
    blind = (mean_effects(u, framed(np.arange(n), None)).p < 0.05).mean()
    assert blind > 0.12 if of_text else blind < 0.07


def test_flipped_labels_keep_texts_with_their_rows() -> None:
    _, code, text_N2 = drawn(9)
    frame = framed(code, text_N2)
    sign = np.where(np.arange(60) % 3 == 0, -1.0, 1.0)
    turned = frame.flipped(sign)
    assert turned.bundles is frame.bundles
    np.testing.assert_array_equal(turned.length_N, frame.length_N * sign)
    assert stats.describe(frame.bundles.size_Q).minmax[0] >= 1
