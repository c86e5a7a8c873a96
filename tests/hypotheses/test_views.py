"""Columns, filters and ranking of the three views."""

import numpy as np
import pytest

from anatomy.hypotheses.contexts import data_contexts
from anatomy.hypotheses.signals import top_rows
from anatomy.hypotheses.views import (
    Hypotheses,
    Responses,
    default_top_rows,
    feature_view,
    findings,
    global_view,
    prompt_view,
    rank,
    responses,
)
from anatomy.statistics.frame import RowFrame
from anatomy.statistics.power import context_size
from anatomy.statistics.prompts import Prompts

COLUMNS = [
    "view",
    "context",
    "response",
    "n",
    "effect",
    "effect_low",
    "effect_high",
    "effect_length_adjusted",
    "d",
    "z",
]
COLUMNS += ["p", "q", "half_a", "half_b", "stable", "direction"]


def table() -> Hypotheses:
    generator = np.random.default_rng(0)
    u = generator.standard_normal((500, 4))
    label = np.repeat([0, 1, 2, 3], [50, 400, 40, 10])
    u[label == 2, 1] += 3
    u[label == 2, 3] -= 2
    prompts = Prompts.from_ids([str(i // 2) for i in range(500)])
    length = generator.standard_normal(500)
    tested = Responses(u, ["R1", "R2", "R5", "C-concept"])
    score = generator.random((500, 2))
    score[10:, 1] = 0
    views = [
        global_view(tested, RowFrame(prompts, length)),
        feature_view(tested, data_contexts([label]), label > 0, RowFrame(prompts, length), min_rows=25),
        prompt_view(tested, top_rows(score, 60, prompts.rank_N), RowFrame(prompts, length), min_rows=25),
    ]
    return Hypotheses.concatenate(views)


def test_columns_of_the_table_and_what_is_tested() -> None:
    found = table()
    columns = found.columns()
    assert set(COLUMNS) <= set(columns)
    assert {len(column) for column in columns.values()} == {16}
    tested = list(dict.fromkeys(zip(found.view.tolist(), found.context.tolist(), found.n.tolist(), strict=True)))
    # D3 has 10 rows, P2 has 10 rows with a positive score: fewer than 25; D0 is silent
    assert tested == [("global", "all", 500), ("feature", "D1", 400), ("feature", "D2", 40), ("prompt", "P1", 60)]
    assert found.response[:4].tolist() == ["R1", "R2", "R5", "C-concept"]
    assert found.prompts[:4].tolist() == [250] * 4


def test_silent_rows_are_in_no_test() -> None:
    generator = np.random.default_rng(1)
    u = generator.standard_normal((300, 2))
    label = np.repeat([0, 1, 2], 100)
    loud = u.copy()
    loud[label == 0] = 1e6
    prompts = Prompts.from_ids([str(i) for i in range(300)])
    frame, contexts = RowFrame(prompts, np.zeros(300)), data_contexts([label])
    one, other = (feature_view(Responses(x, ["R1", "R2"]), contexts, label > 0, frame) for x in (u, loud))
    np.testing.assert_array_equal(one.effect, other.effect)


def test_findings_need_q_and_halves() -> None:
    found = table()
    reported = found.take(findings(found, 0.05))
    assert {("D2", "R2", "chosen"), ("D2", "C-concept", "rejected")} <= set(
        zip(reported.context.tolist(), reported.response.tolist(), reported.direction.tolist(), strict=True)
    )
    assert reported.stable.all()
    assert (reported.q <= 0.05).all()
    assert (found.q >= found.p).all()


@pytest.mark.parametrize("key", ["delta_min", "effect", "d", "z"])
def test_ranking_is_by_strength_within_a_direction(key: str) -> None:
    found = table()
    for direction in ("chosen", "rejected"):
        order = rank(found, key, direction)
        assert set(found.direction[order]) == {direction}
        assert (np.diff(np.abs(getattr(found, key)[order])) <= 0).all()
    assert found.response[rank(found, key, "chosen")[0]] == "R2"


def test_delta_min_by_hand() -> None:
    found = table()
    np.testing.assert_array_equal(found.delta_min, np.minimum(np.abs(found.half_a), np.abs(found.half_b)))


def test_small_clusters_are_not_tested_and_keep_their_numbers() -> None:
    labels = np.array([1] * 12 + [2] * 10 + [3] * 9 + [0] * 5)
    values = np.arange(6.0).reshape(2, 3)
    kept = responses("R", values, labels, 10)
    assert kept.ids == ["R1", "R2"]
    np.testing.assert_array_equal(kept.values_NM, values[:, :2])


def test_no_context_or_no_response_is_an_empty_table() -> None:
    prompts = Prompts.from_ids([str(i) for i in range(40)])
    u = np.random.default_rng(2).standard_normal((40, 2))
    for label in (np.zeros(40, int), np.ones(40, int)):  # all silent; no outside
        contexts, frame = data_contexts([label]), RowFrame(prompts, np.zeros(40))
        assert len(feature_view(Responses(u, ["R1", "R2"]), contexts, label > 0, frame).p) == 0
    assert len(global_view(Responses(u[:, :0], []), RowFrame(prompts, np.zeros(40))).p) == 0
    nowhere = top_rows(np.zeros((40, 3)), 10, prompts.rank_N)
    assert len(prompt_view(Responses(u, ["R1", "R2"]), nowhere, RowFrame(prompts, np.zeros(40))).p) == 0


def test_default_top_rows() -> None:
    """At least 50 and 2 %, and the prompts that a standard effect needs, with all of their rows."""
    prompts = [
        Prompts.from_ids([str(row // per) for row in range(n)]) for n, per in ((300, 1), (10_000, 1), (8_000, 8))
    ]
    assert [default_top_rows(one, 40, 40) for one in prompts[:2]] == [50, 200]
    assert default_top_rows(prompts[2], 40, 40) == 8 * context_size(1_000, 40, 40)
