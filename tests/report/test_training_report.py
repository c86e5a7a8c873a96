"""The report of a training: means over its first and last steps."""

from anatomy.report.training_report import step_tables
from anatomy.rollouts.training_folder import TrainStep


def test_what_only_some_steps_logged_has_a_dash_in_the_report():
    _, table = step_tables([TrainStep(1, {"loss": 0.5}), TrainStep(2, {"loss": 0.25, "weight/bold/high_gap": 0.125})])
    assert "| loss | 0.5 | 0.25 | -0.25 |" in table
    assert "| weight/bold/high_gap | – | 0.125 | – |" in table
