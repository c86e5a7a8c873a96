"""Two trainings that differ in a few rows: rows that line up, likelihoods, and the difference weighted by them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from anatomy.data.pair_stream import read_pairs
from anatomy.rollouts.rollout_set import Rollouts, rollout_pair
from anatomy.settings import RowSettings
from anatomy.types import Pair
from experiments.prediction.leave_out import _less, samples
from experiments.prediction.preference_sets import TRAIN, without, write_split


def row_ids(path):
    return [row.row_id for row in read_pairs(RowSettings(rows=str(path)))]


def test_rows_of_two_arms_line_up(data, tmp_path):
    """A row that both are trained without, two more each: the arms differ where these stand in turn."""
    write_split(data, "alpaca_eval", tmp_path, pairs=12, held_out=10)
    ids = row_ids(tmp_path / TRAIN)
    top, random = {ids[1], ids[4], ids[9]}, {ids[4], ids[6], ids[11]}
    without(tmp_path / TRAIN, random, tmp_path / "random.jsonl", random)
    without(tmp_path / TRAIN, top, tmp_path / "top.jsonl", random)
    ours, theirs = row_ids(tmp_path / "top.jsonl"), row_ids(tmp_path / "random.jsonl")
    assert theirs == [row for row in ids if row not in random]
    assert set(ours) == set(ids) - top
    assert len(ours) == len(theirs)
    assert [(one, other) for one, other in zip(ours, theirs, strict=True) if one != other] == [
        (ids[6], ids[1]), (ids[11], ids[9])
    ]  # fmt: skip
    with pytest.raises(ValueError, match="shorter"):
        without(tmp_path / TRAIN, top, tmp_path / "none.jsonl", {ids[4]})


def test_rows_of_a_store_are_found_among_the_completions():
    turns = [[{"role": "user", "content": f"Say {n}"}] for n in range(2)]
    prompts = {Pair(0, turn, (), ()).prompt_id: turn for turn in turns}
    keys = [(prompt, sample) for prompt in prompts for sample in range(2)]
    before, after = (
        Rollouts({(prompt, sample): f"{side} {prompt} {sample}" for prompt, sample in keys}, prompts, {}, Path())
        for side in ("before", "after")
    )
    wanted = [keys[3], keys[0], keys[2]]
    assert samples([rollout_pair(before, after, key).row_id for key in wanted], before, after) == wanted


def test_less_is_positive_where_less_of_the_shift_is_left():
    """A fall was predicted; without the rows that carry it the cluster stands 0.3 higher than without random ones."""
    rng = np.random.default_rng(0)
    top_minus_random = [pd.DataFrame({"R3": rng.normal(0.3, 0.1, 50)}) for _ in range(2)]
    found = _less(-np.sign(-4.0), top_minus_random, "R3")
    mean_G = (top_minus_random[0]["R3"] + top_minus_random[1]["R3"]) / 2
    assert [found["less: low"], found["less: high"]] == pytest.approx(
        list(stats.ttest_1samp(mean_G, 0).confidence_interval())
    )
    assert found["less: low"] > 0.2
    assert _less(-1.0, top_minus_random, "R3")["less"] == pytest.approx(-mean_G.mean())
    assert _less(1.0, top_minus_random, "bold")["less"] is None
