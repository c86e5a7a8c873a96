"""What detectors are compared with: chance by whole prompts, words, columns; on planted effects and on nulls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from anatomy.types import content_hash
from probes.collect import Labelled
from probes.detector_controls import crossed_baselines, prompt_null, shuffled_by_prompt, text_baselines, within
from probes.fit_detector import split

NOTHING = np.zeros(0, np.int64)


def repeated_prompts(prompts: int, per_prompt: int, effect: float, rng: np.random.Generator):
    """Scores, labels and prompts; the answers to a prompt share most of their score, and nearly all of their label."""
    group_S = np.repeat(np.arange(prompts), per_prompt)
    leaning_G = np.arange(prompts) % 2
    y_S = np.where(rng.random(len(group_S)) < 0.97, leaning_G[group_S], 1 - leaning_G[group_S])
    score_S = rng.standard_normal(prompts)[group_S] + 0.3 * rng.standard_normal(len(group_S)) + effect * y_S
    return score_S, y_S, group_S


@pytest.mark.parametrize(("prompts", "per_prompt"), [(20, 8), (40, 4)])
def test_chance_by_prompts_has_its_nominal_size_where_labels_permuted_one_by_one_do_not(prompts, per_prompt):
    rng = np.random.default_rng(prompts)
    nulls = [repeated_prompts(prompts, per_prompt, 0.0, rng) for _ in range(200)]
    by_prompt = np.mean([prompt_null(*null, shuffles=39).p <= 0.05 for null in nulls])
    one_by_one = np.mean([prompt_null(score, y, np.arange(len(y)), shuffles=39).p <= 0.05 for score, y, _ in nulls])
    assert 0.015 <= by_prompt <= 0.1  # 200 nulls measure 0.05 to about 0.03
    assert one_by_one > 0.12


def test_a_planted_effect_is_beyond_chance():
    rng = np.random.default_rng(0)
    found = [prompt_null(*repeated_prompts(40, 3, 1.5, rng), shuffles=199) for _ in range(20)]
    assert np.mean([null.p <= 0.05 for null in found]) > 0.9
    assert all(null.low < 0.5 < null.high for null in found)


def test_chance_is_that_of_an_independent_implementation():
    score_S, y_S, group_S = repeated_prompts(20, 4, 1.0, np.random.default_rng(1))
    rng = np.random.default_rng(7)
    drawn = [roc_auc_score(shuffled_by_prompt(y_S, group_S, rng), score_S) for _ in range(200)]
    null = prompt_null(score_S, y_S, group_S, seed=7, shuffles=200)
    assert null.p == (1 + np.sum(np.array(drawn) >= roc_auc_score(y_S, score_S))) / 201
    np.testing.assert_allclose([null.low, null.high], np.quantile(drawn, [0.025, 0.975]))


def test_prompts_change_places_whole():
    group_S = np.array([2, 0, 2, 1, 0, 1])  # rows of a prompt need not stand together
    y_S = np.array([7, 1, 7, 4, 1, 4])
    for seed in range(20):
        found_S = shuffled_by_prompt(y_S, group_S, np.random.default_rng(seed))
        assert all(len(np.unique(found_S[group_S == group])) == 1 for group in range(3))
        assert sorted(found_S) == sorted(y_S)
    lengths = np.repeat([0, 1], [5, 2])
    found = shuffled_by_prompt(np.array([1, 1, 0, 0, 0, 1, 0]), lengths, np.random.default_rng(3))
    assert len(found) == 7


def item(number: int, label: int, asked: str, text: str, **columns: str) -> Labelled:
    empty = NOTHING.reshape(0, 2)
    return Labelled(NOTHING, NOTHING, text, empty, label, content_hash(number // 2), asked=asked, columns=columns)


def labelled(told_by: str) -> list[Labelled]:
    """Two answers to each of 300 prompts, whose label stands in one place alone."""
    rng = np.random.default_rng(0)
    filler = ["red", "green", "blue", "black"]
    items = []
    for number in range(600):
        label = int(rng.integers(2))
        start, middle, end = (" ".join(rng.choice(filler, size)) for size in (4, 12, 9))
        word = "yes" if label else "no"
        asked = f"{start} {word}" if told_by == "prompt" else start
        text = (
            f"{word} {middle}" if told_by == "first" else f"{middle} {word} {end}" if told_by == "response" else middle
        )
        column = word if told_by == "columns" else str(rng.choice(["yes", "no"]))
        items.append(item(number, label, asked, text, model=column, type=str(rng.choice(["a", "b"]))))
    return items


@pytest.mark.parametrize(("told_by", "knowing"), [
    ("prompt", {"prompt"}), ("response", {"response"}), ("first", {"response", "first ten words"}),
    ("columns", {"columns"}), ("nothing", set()),
])  # fmt: skip
def test_a_baseline_knows_what_stands_in_its_text_and_nothing_else(told_by, knowing):
    items = labelled(told_by)
    for found in (text_baselines(items, split(items)), crossed_baselines(items)):
        assert set(found) == {"prompt", "response", "first ten words", "columns"}
        assert {name for name, metrics in found.items() if metrics.auroc.value > 0.9} == knowing
        assert all(0.35 < metrics.auroc.value < 0.65 for name, metrics in found.items() if name not in knowing)


def test_columns_together_are_known_too():
    """A label that two columns decide together and neither alone."""
    items = [replace(found, label=int((found.columns["model"] == "yes") == (found.columns["type"] == "a")))
             for found in labelled("nothing")]  # fmt: skip
    assert crossed_baselines(items)["columns"].auroc.value == 1


def test_each_value_of_a_column_is_measured_alone_and_too_few_are_said():
    items = [replace(found, columns={"model": "large" if number % 20 else "small", "id": str(number)})
             for number, found in enumerate(labelled("nothing"))]  # fmt: skip
    y_S = np.array([found.label for found in items])
    group_S = np.array([found.prompt for found in items])
    score_S = y_S + np.random.default_rng(0).standard_normal(600)
    found = within(items, score_S, y_S, group_S, 0.5)
    assert set(found) == {"model=large", "model=small"}  # a column of many values divides into rows
    assert found["model=small"] is None
    rows = np.arange(600) % 20 > 0
    assert found["model=large"].auroc.value == pytest.approx(roc_auc_score(y_S[rows], score_S[rows]))
