"""Agreement of two observations of the same shifts, from their files."""

import numpy as np
import pyarrow as pa
import pytest
from support.planted_arms import plant, rollouts

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.validation.replication import replication


def observation(folder, seed, before, noise=1.0, run="r"):
    """400 shifts of standard deviation 1, in an order of their own, with noise."""
    truth = np.random.default_rng(0).standard_normal(400)
    observed = truth + noise * np.random.default_rng(seed).standard_normal(400)
    order = np.random.default_rng(seed).permutation(400)
    names = np.array([f"f{n}" for n in range(400)])
    table = {"predictor": ["tilt"] * 400, "view": ["features"] * 400, "context": ["all"] * 400,
             "response": names[order], "observed": observed[order]}  # fmt: skip
    artifacts.write_table(folder / artifacts.SHIFTS, pa.table(table))
    artifacts.record_outputs(folder, [artifacts.SHIFTS])
    plant(folder, {}, None, run=run, rollouts={"before": rollouts(before), "after": rollouts("after")})
    return folder


def test_reliability_is_the_share_of_true_variance(tmp_path):
    """Variance 1 of truth and 1 of noise: reliability ½, whatever the order of the rows."""
    found = replication(observation(tmp_path / "a", 1, "x"), observation(tmp_path / "b", 2, "y"), "tilt")["features"]
    assert found.n == 400
    assert found.attainable_r2 == pytest.approx(0.5, abs=0.1)
    assert found.attainable_r == pytest.approx(np.sqrt(found.r))
    assert not found.shared_before


def test_shared_rollouts_are_reported_and_other_runs_refused(tmp_path):
    first, second = observation(tmp_path / "a", 1, "x"), observation(tmp_path / "b", 2, "x")
    assert replication(first, second, "tilt")["features"].shared_before
    with pytest.raises(RunError, match="different runs"):
        replication(first, observation(tmp_path / "c", 2, "y", run="other"), "tilt")
