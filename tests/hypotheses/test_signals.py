"""Signals against loops that follow method.md §5–6 literally."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from anatomy.clusters.feature_clusters import shift_moments
from anatomy.hypotheses.signals import (
    members,
    prompt_scores,
    response_signals,
    shift_signals,
    top_rows,
)
from anatomy.statistics.prompts import Prompts

N, F, TAU = 30, 12, 0.2
LABELS = np.array([1, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 1])


@dataclass
class Block:
    spans: dict[str, np.ndarray]

    def matrix(self, span: str, statistic: str) -> sp.csr_array:
        values = self.spans[span]
        return sp.csr_array((values if statistic == "freq" else 3 * values).astype(np.float32))


def data() -> tuple[dict[str, np.ndarray], list[Block]]:
    generator = np.random.default_rng(0)
    spans = {s: generator.random((N, F)) * (generator.random((N, F)) < 0.4) for s in ("prompt", "chosen", "rejected")}
    blocks = [Block({s: x[i : i + 7] for s, x in spans.items()}) for i in range(0, N, 7)]
    return spans, blocks


def test_response_signals_equal_loops() -> None:
    spans, blocks = data()
    ours = response_signals(blocks, LABELS, TAU)
    for i in range(N):
        for m in (1, 2, 3):
            cluster = [g for g in range(F) if LABELS[g] == m]
            c, r = spans["chosen"][i], spans["rejected"][i]
            s = sum(c[g] + r[g] for g in cluster)
            u = sum(int(c[g] > TAU) - int(r[g] > TAU) for g in cluster) / len(cluster)
            np.testing.assert_allclose([ours.activity_NM[i, m - 1], ours.disparity_NM[i, m - 1]], [s, u], atol=1e-6)


def test_signs_follow_the_labels() -> None:
    spans, _ = data()
    swapped = {**spans, "chosen": spans["rejected"], "rejected": spans["chosen"]}
    one, other = (response_signals([Block(x)], LABELS, TAU) for x in (spans, swapped))
    np.testing.assert_array_equal(one.disparity_NM, -other.disparity_NM)
    np.testing.assert_array_equal(one.activity_NM, other.activity_NM)
    moments = [shift_moments([Block(x)], "freq") for x in (spans, swapped)]
    shifts = [shift_signals([Block(x)], LABELS, m, "freq") for x, m in zip((spans, swapped), moments, strict=True)]
    uncentred = [shift.shift_NM + shift.offset_M for shift in shifts]
    np.testing.assert_allclose(uncentred[0], -uncentred[1], atol=1e-5)


def test_prompt_scores_equal_loops() -> None:
    spans, blocks = data()
    fires, value = (prompt_scores(blocks, LABELS, "max", score) for score in ("fires", "value"))
    for i in range(N):
        for k in (1, 2, 3):
            cluster = k == LABELS
            assert np.isclose(fires[i, k - 1], (spans["prompt"][i, cluster] > 0).mean())
            assert np.isclose(value[i, k - 1], 3 * spans["prompt"][i, cluster].mean(), rtol=1e-5)


def test_shift_signals_are_standardised_with_moments_of_all_rows() -> None:
    spans, blocks = data()
    ours = shift_signals(blocks, LABELS, shift_moments(blocks, "freq"), "freq").shift_NM
    delta = spans["chosen"] - spans["rejected"]
    standard = (delta - delta.mean(0)) / np.maximum(delta.std(0), 1e-6)
    brute = np.stack([standard[:, m == LABELS].mean(axis=1) for m in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(ours, brute, atol=1e-5)


def test_top_rows_need_a_positive_score_and_break_ties_away_from_file_order() -> None:
    score = np.array([[0.0, 1.0], [0.5, 1.0], [0.2, 1.0], [0.9, 1.0]])
    chosen = top_rows(score, 2, np.array([3, 2, 1, 0])).toarray()
    np.testing.assert_array_equal(chosen, [[False, True, False, True], [False, False, True, True]])
    assert top_rows(score, 4, np.arange(4)).toarray()[0].sum() == 3


def test_prompts_order_is_by_hash_and_subsets_regroup() -> None:
    prompts = Prompts.from_ids(["b", "a", "b", "c", "a"])
    np.testing.assert_array_equal(prompts.size_G, [2, 2, 1])
    assert sorted(prompts.rank_G) == [0, 1, 2]
    part = prompts.take(np.array([0, 2, 3]))
    np.testing.assert_array_equal(part.code_N, [0, 0, 1])
    np.testing.assert_array_equal(part.half_N, prompts.half_N[[0, 2, 3]])
    halves = Prompts.from_ids([str(i) for i in range(2000)]).half_G
    assert 0.45 < halves.mean() < 0.55


def test_members() -> None:
    np.testing.assert_array_equal(members(np.array([0, 2, 1, 2])).toarray(), [[0, 0, 1, 0], [0, 1, 0, 1]])
