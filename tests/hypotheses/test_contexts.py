"""Contexts: data clusters of several levels, groups of the user's, and findings that say the same."""

import numpy as np
import scipy.sparse as sp

from anatomy.hypotheses.contexts import Contexts, data_contexts, group_contexts, repeated


def contexts(*rows: list[int], n: int = 20) -> Contexts:
    member = np.zeros((len(rows), n), bool)
    for place, inside in enumerate(rows):
        member[place, inside] = True
    return Contexts([f"C{place}" for place in range(len(rows))], sp.csr_array(member), [""] * len(rows))


def test_clusters_of_all_levels_know_the_next_larger_one() -> None:
    fine, middle, top = np.array([0, 1, 1, 2, 3, 3]), np.array([0, 4, 4, 4, 5, 5]), np.array([0, 6, 6, 6, 7, 7])
    found = data_contexts([fine, middle, top])
    assert list(found.ids) == ["D1", "D2", "D3", "D4", "D5", "D6", "D7"]
    assert list(found.parents) == ["D4", "D4", "D5", "D6", "D7", "", ""]
    assert [found.rows(name).tolist() for name in ("D1", "D4", "D7")] == [[1, 2], [1, 2, 3], [4, 5]]


def test_groups_are_the_values_of_columns_that_divide_the_set() -> None:
    values = [{"domain": "code", "id": "1"}, {"domain": "law"}, {}, {"domain": "code"}]
    found = group_contexts(values, {"domain": ["code", "law", "never"]})
    assert {name: found.rows(name).tolist() for name in found.ids} == {"G:domain=code": [0, 3], "G:domain=law": [1]}
    assert group_contexts(values, {}).ids == []


def same(p: list[float], effect: list[float], sets: Contexts, stable: list[bool] | None = None) -> list[str]:
    halves = np.ones((len(p), 1), bool) if stable is None else np.array(stable)[:, None]
    return repeated(np.array(p)[:, None], np.array(effect)[:, None], halves, sets)[:, 0].tolist()


def test_one_finding_at_three_levels_is_kept_where_it_is_most_significant() -> None:
    sets = contexts(list(range(3)), list(range(6)), list(range(12)), [15, 16, 17])
    assert same([0.01, 0.001, 0.02, 0.03], [1, 1, 1, 1], sets) == ["C1", "", "C1", ""]
    assert same([0.01, 0.001, 0.02, 0.03], [1, 1, -1, 1], sets) == ["C1", "", "", ""]  # another side is another finding
    assert same([0.01, np.nan, 0.02, 0.03], [1, 1, 1, 1], sets) == ["", "", "C0", ""]


def test_a_finding_repeats_none_that_is_no_finding() -> None:
    """What fails the halves, and what itself repeats another, takes nothing out."""
    sets = contexts(list(range(8)), list(range(5, 13)), list(range(9, 17)))
    assert same([0.001, 0.01, 0.02], [1, 1, 1], contexts([0, 1, 2], [1, 2, 3, 4, 5], [3, 4, 5, 6, 7])) == ["", "C0", ""]
    assert same([0.001, 0.01, 0.02], [1, 1, 1], contexts([0, 1, 2], [0, 1, 2, 3], [9]), [False, True, True]) == [""] * 3
    assert same([0.001, 0.01, 0.02], [1, 1, 1], sets) == [""] * 3  # three of eight rows are not most


def test_inside_against_outside_is_one_contrast_from_either_side() -> None:
    sets = contexts(list(range(9)), list(range(9, 20)), list(range(9, 15)))
    assert same([0.001, 0.002, 0.003], [1, -1, -1], sets) == ["", "C0", ""]
    assert same([0.001, 0.002, 0.003], [1, 1, -1], sets) == ["", "", ""]


def test_most_of_the_smaller_context_is_more_than_half_of_it() -> None:
    sets = contexts([0, 1, 2, 3], [2, 3, 4, 5, 6, 7])
    assert same([0.001, 0.01], [1, 1], sets) == ["", ""]
    sets = contexts([0, 1, 2, 3], [1, 2, 3, 5, 6, 7])
    assert same([0.001, 0.01], [1, 1], sets) == ["", "C0"]
