"""How far a training went, by its log."""

import json

import pytest

from anatomy.prediction.reward_drift import RewardDrift, read_reward_drift


def lines(chosen, rejected, steps=20):
    """A log whose rewards grow evenly to these."""
    for step in range(1, steps + 1):
        at = {"rewards/chosen": chosen * step / steps, "rewards/rejected": rejected * step / steps}
        rate = 1e-5 * (1 - step / steps)
        yield {"step": step, "learning_rate": rate, "raw/margins": at["rewards/chosen"] - at["rewards/rejected"], **at}


def test_the_last_quarter_is_averaged(tmp_path):
    log = tmp_path / "train_log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines(0.4, -0.6)) + '{"step": 21, "lear')  # cut short
    found = read_reward_drift(log)
    share = (16 + 20) / 2 / 20
    assert (found.steps, found.learning_rate) == (20, pytest.approx(0.95e-5))
    assert (found.margin, found.common) == (pytest.approx(share * 1.0), pytest.approx(share * -0.1))
    assert found.words == "20 steps at learning rate 9.5e-06"
    assert found.warning is None


def test_no_log_is_none(tmp_path):
    assert read_reward_drift(tmp_path / "nothing") is None
    (tmp_path / "empty").touch()
    assert read_reward_drift(tmp_path / "empty") is None


@pytest.mark.parametrize(
    ("chosen", "rejected", "warned"),
    [(-3.2, -3.8, True), (3.8, 3.2, True), (0.05, -0.05, False), (0.0, -0.2, False), (-0.2, -0.1, True)],
)
def test_responses_that_move_together_more_than_they_part_are_warned_of(chosen, rejected, warned):
    """The last: a margin on the wrong side is beyond every prediction."""
    drift = RewardDrift(learning_rate=1e-5, steps=9, margin=chosen - rejected, common=(chosen + rejected) / 2)
    assert (drift.warning is not None) == warned
