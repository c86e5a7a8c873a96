"""What a plan does to rows of known scores: selection against brute force, offsets by hand, and composition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.known_rows import detected, known, plan, row_id

from anatomy import artifacts
from anatomy.errors import PlanError
from interventions.backends.apply_plan import apply_plan, top_rows, united
from interventions.backends.pair_edits import PairEdit, SideEdit, read_edits, write_edits

SHAPE = {"backend": "reward_shaping", "strength": 4}


def scores(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal([0.5, 0.0], [1.0, 2.0], (rows, 2))


def dropped(found: list[PairEdit]) -> list[int]:
    return [row for row, edit in enumerate(found) if edit.dropped]


def test_offsets_by_hand():
    """Scores 1 3 / 5 3 / 3 3: mean 3, variance (4 + 0 + 4 + 0 + 0 + 0)/6, deviation 2/√3.

    Gaps −2, 2, 0 are −√3, √3 and 0 deviations; suppressed with 4 the offsets are those times 4.
    """
    what = known(detected([[1, 3], [5, 3], [3, 3]]))
    for direction, sign in (("suppress", 1), ("amplify", -1)):
        found = apply_plan(plan(SHAPE | {"direction": direction}), what)
        np.testing.assert_allclose([row.offset for row in found], sign * 4 * np.sqrt(3) * np.array([-1, 1, 0]))
        assert [row.gaps["bold"] for row in found] == pytest.approx([-np.sqrt(3), np.sqrt(3), 0])


def test_offsets_do_not_depend_on_the_scores_scale_and_place():
    raw = scores(50)
    offsets = [[row.offset for row in apply_plan(plan(SHAPE), known(detected(a * raw + 7)))] for a in (1, 20)]
    np.testing.assert_allclose(*offsets)


def test_equal_scores_give_no_offset_and_pick_no_row():
    what = known(detected(np.full((6, 2), 0.3)))
    items = [SHAPE, {"backend": "filtering"}, {"backend": "filtering", "options": {"top": 1.0}}]
    flags = {"backend": "inoculation", "options": {"instruction": "x"}}
    assert apply_plan(plan(*items, flags), what) == [PairEdit(row, gaps={"bold": 0.0}) for row in what.row_ids]


@pytest.mark.parametrize("direction", ["suppress", "amplify"])
@pytest.mark.parametrize("top", [0.0, 0.013, 0.05, 0.5, 1.0])
def test_top_rows_equal_a_sort(direction, top):
    score_NS = scores(301)
    gap_N = score_NS[:, 0] - score_NS[:, 1]
    lean_N = gap_N if direction == "suppress" else -gap_N
    expected = {row for row in np.argsort(-lean_N)[: int(np.floor(top * 301))] if lean_N[row] > 0}
    item = {"backend": "filtering", "direction": direction, "options": {"top": top}}
    assert set(dropped(apply_plan(plan(item), known(detected(score_NS))))) == expected


def test_ties_do_not_depend_on_the_order_of_rows_and_spread_over_it():
    score_NS = np.tile([[1.0, 0.0], [0.0, 0.0]], (200, 1))
    ids = [row_id(n) for n in range(400)]
    item = plan({"backend": "filtering", "options": {"top": 0.1}})
    picked = {ids[row] for row in dropped(apply_plan(item, known(detected(score_NS, ids=ids))))}
    assert len(picked) == 40
    order = np.random.default_rng(0).permutation(400)
    again = apply_plan(item, known(detected(score_NS[order], ids=[ids[n] for n in order])))
    assert {row.row_id for row in again if row.dropped} == picked
    early = sum(ids.index(one) < 200 for one in picked)
    assert 8 <= early <= 32  # neither the first nor the last of the file


def test_rows_of_one_id_get_one_edit():
    ids = [row_id(n // 3) for n in range(30)]
    score_NS = np.repeat(scores(10), 3, axis=0)
    found = apply_plan(
        plan({"backend": "filtering", "options": {"top": 0.1}}, SHAPE), known(detected(score_NS, ids=ids))
    )
    assert all(found[row] == found[row - row % 3] for row in range(30))
    assert len(dropped(found)) == 3


def test_without_a_rule_rows_beyond_one_deviation_are_picked():
    score_NS = scores(200)
    gap_N = (score_NS[:, 0] - score_NS[:, 1]) / score_NS.std()
    for direction, lean_N in (("suppress", gap_N), ("amplify", -gap_N)):
        found = apply_plan(plan({"backend": "filtering", "direction": direction}), known(detected(score_NS)))
        assert dropped(found) == np.flatnonzero(lean_N > 1).tolist()


@pytest.mark.parametrize(
    ("direction", "options", "rows"),
    [
        ("suppress", {"side": "chosen"}, [0, 2]),
        ("suppress", {"side": "rejected"}, [1, 2]),
        ("suppress", {"side": "either"}, [0, 1, 2]),
        ("suppress", {"threshold": 0.4}, [0, 2, 3]),
        ("amplify", {"threshold": 0.4}, [1, 2]),
    ],
)
def test_a_detector_on_a_side(direction, options, rows):
    what = known(detected([[1, 0], [0, 1], [1, 1], [0.4, 0.3], [0, 0]], threshold=1.0))
    found = apply_plan(plan({"backend": "filtering", "direction": direction, "options": options}), what)
    assert dropped(found) == rows


def test_a_detector_without_a_threshold_flags_from_one_deviation_above_the_mean():
    score_NS = scores(100)
    limit = score_NS.mean() + score_NS.std()
    item = {"backend": "inoculation", "options": {"instruction": "x"}}
    found = apply_plan(plan(item), known(detected(score_NS)))
    assert [row.chosen.instruction == "x" for row in found] == (score_NS >= limit).any(axis=1).tolist()


def test_who_gets_the_instruction():
    what = known(detected([[1, 0], [0, 1], [0, 0]], threshold=1.0))
    said = {}
    for flagged, side in itertools.product(("either", "chosen"), ("both", "chosen")):
        options = {"instruction": "x", "flagged": flagged, "side": side}
        found = apply_plan(plan({"backend": "inoculation", "options": options}), what)
        said[flagged, side] = [(bool(row.chosen.instruction), bool(row.rejected.instruction)) for row in found]
    nobody, both, one = (False, False), (True, True), (True, False)
    assert said == {
        ("either", "both"): [both, both, nobody],
        ("either", "chosen"): [one, one, nobody],
        ("chosen", "both"): [both, nobody, nobody],
        ("chosen", "chosen"): [one, nobody, nobody],
    }


def test_steered_rows_and_sides():
    what = known(detected([[3, 0], [1, 0], [0, 5], [0, 0]]))
    items = [
        {"backend": "steering", "strength": 0},
        {"backend": "steering", "options": {"side": "rejected"}},
        {"backend": "steering", "direction": "amplify", "options": {"side": "both", "top": 0.5}},
        {"backend": "steering", "options": {"side": "chosen", "top": 0.25}},
    ]
    found = apply_plan(plan(*items), what)
    assert [row.chosen.steered for row in found] == [(1, 2), (1,), (), ()]
    assert [row.rejected.steered for row in found] == [(0, 1), (0, 1), (0,), (0,)]


def test_a_condition_shapes_its_rows_only_with_everybodys_deviation():
    what = known(detected(scores(40)), conditions={"topic=a": np.arange(40) % 2 == 0})
    everywhere, here = (apply_plan(plan(SHAPE | {"options": options}), what) for options in ({}, {"rows": "topic=a"}))
    assert [row.offset for row in here[::2]] == [row.offset for row in everywhere[::2]]
    assert all(row.offset == 0 for row in here[1::2])


def test_interventions_compose():
    """Row 0 is dropped, row 1 swapped; both are beyond the rule of each filtering, and dropping wins on row 0."""
    what = known(
        detected([[9, 0], [2, 0], [0, 1], [0, 0]], threshold=1.0),
        detected([[0, 0], [1, 0], [0, 1], [0, 0]], "emoji", threshold=1.0),
        masks={3: [((), ()), (((5, 9),), ()), ((), ((1, 2),)), ((), ())],
               4: [((), ()), (((0, 2), (8, 12)), ()), ((), ()), ((), ())]},
    )  # fmt: skip
    rows = [row_id(0), row_id(1)]
    items = [
        {"concept": None, "rows": rows, "backend": "filtering"},
        {"backend": "reward_shaping", "strength": 1},
        {"concept": "emoji", "backend": "reward_shaping", "strength": 2, "direction": "amplify"},
        {"backend": "filtering", "options": {"drop": "tokens"}},
        {"concept": "emoji", "backend": "filtering", "options": {"drop": "words", "side": "rejected"}},
        {"backend": "inoculation", "options": {"instruction": "One."}},
        {"concept": "emoji", "backend": "inoculation", "options": {"instruction": "Two."}},
        {"backend": "filtering", "options": {"side": "chosen", "swap": True}},
    ]
    items[0] |= {"rows": rows[:1]}
    found = apply_plan(plan(*items), what)
    bold, emoji = (what.detected[name].gap_N for name in ("bold", "emoji"))
    assert [row.swapped for row in found] == [False, True, False, False]
    assert dropped(found) == [0]
    assert found[0].dropped == "named in the plan"
    assert found[1].offset == pytest.approx(-bold[1] + 2 * emoji[1])  # the sides after the swap
    assert found[1].gaps == pytest.approx({"bold": -bold[1], "emoji": -emoji[1]})
    assert found[2].offset == pytest.approx(bold[2] - 2 * emoji[2])
    assert found[1].rejected == SideEdit("One. Two.", ((0, 2), (5, 12)))
    assert found[1].chosen == SideEdit("One. Two.")
    assert found[3] == PairEdit(row_id(3), gaps={"bold": 0.0, "emoji": 0.0})


def test_the_order_of_the_plan_does_not_matter_to_rows_offsets_and_masks():
    score_NS, other_N2 = scores(60), scores(60, 1)
    what = known(detected(score_NS, threshold=1.0), detected(other_N2, "emoji", threshold=1.0))
    items = [
        {"backend": "filtering", "options": {"top": 0.2, "swap": True}},
        {"concept": "emoji", "backend": "filtering", "options": {"top": 0.2}},
        SHAPE,
        SHAPE | {"concept": "emoji", "direction": "amplify"},
        {"backend": "steering", "options": {"top": 0.3}},
    ]
    views = {
        tuple(
            (bool(row.dropped), row.swapped, round(row.offset, 9), row.chosen) for row in apply_plan(plan(*order), what)
        )
        for order in itertools.permutations(items)
    }
    assert len(views) == 1


@pytest.mark.parametrize(
    "item",
    [
        SHAPE,
        {"backend": "filtering"},
        {"backend": "filtering", "options": {"drop": "tokens"}},
        {"backend": "inoculation", "options": {"instruction": "x"}},
        {"backend": "steering"},
    ],
)
def test_strength_0_does_nothing(item):
    what = known(detected(scores(20), threshold=0.0))
    found = apply_plan(plan(item | {"strength": 0}), what)
    assert found == [PairEdit(row.row_id, gaps=row.gaps) for row in found]


def test_a_score_that_is_no_number_is_refused():
    score_NS = scores(5)
    score_NS[3, 1] = np.nan
    with pytest.raises(PlanError, match=f"bold: 1 of 5 rows .* {row_id(3)}"):
        detected(score_NS)


def test_scores_of_other_rows_are_refused():
    one, other = detected(scores(3)), detected(scores(3), "emoji", ids=[row_id(n) for n in (0, 2, 1)])
    with pytest.raises(PlanError, match="emoji: its scores are of other rows"):
        known(one, other)


def test_ranges_unite():
    assert united([(8, 9), (0, 3), (2, 5), (5, 6), (7, 7)]) == ((0, 6), (8, 9))
    assert united([]) == ()


def test_top_rows_never_pick_rows_without_a_lean():
    assert not top_rows(np.array([0.0, -1.0]), 1.0, ["a", "b"]).any()


def test_edits_are_read_as_written(tmp_path):
    what = known(detected(scores(9), threshold=0.5), masks={1: [(((0, 2), (4, 5)), ())] * 9})
    items = [
        SHAPE,
        {"backend": "filtering", "options": {"drop": "tokens"}},
        {"backend": "steering"},
        {"backend": "filtering", "options": {"top": 0.3}},
        {"backend": "inoculation", "options": {"instruction": "x"}},
    ]
    found = apply_plan(plan(*items), what)
    write_edits(tmp_path / "pair_edits.parquet", found)
    artifacts.record_outputs(tmp_path, ["pair_edits.parquet"])
    assert list(read_edits(tmp_path / "pair_edits.parquet").values()) == found
