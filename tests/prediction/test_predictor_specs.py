"""The list of predictors against the predictors themselves, and what is derived from it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anatomy.errors import SettingsError
from anatomy.prediction.prediction_settings import ValidateSettings
from anatomy.prediction.predictor_specs import SPECS, PredictorInputs, spec_of
from anatomy.prediction.predictors import Rewarding

STUDY = Path(__file__).parents[2] / "experiments" / "prediction" / "README.md"


def log_probs():
    return np.zeros((0, 2))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_predictor_is_what_the_list_says(spec):
    built = spec.build(PredictorInputs(0.5, log_probs, log_probs))
    assert built.name == spec.name
    assert built.statistic == spec.statistic
    assert built.own == spec.needs_base_rollouts
    assert built.residuals == spec.reads_residuals
    assert isinstance(built, Rewarding) == spec.has_reward
    assert hasattr(built, "likely_N2" if spec.reads_log_probs == "data" else "likely_NS") or not spec.reads_log_probs


def test_every_predictor_is_explained_in_the_study():
    text = STUDY.read_text()
    assert [spec.name for spec in SPECS if f"`{spec.name}`" not in text] == []


def test_defaults_put_the_best_first():
    names = ValidateSettings(before="b", after="a").names
    assert names == ["tilt", "disparity", "continuous", "tilt-within", "gradient"]
    with_rollouts = ValidateSettings(before="b", after="a", base_rollouts="own").names
    assert with_rollouts == ["sharpened", "activations", "sgd", *names]
    assert ValidateSettings(before="b", after="a", predictors="length,gradient").names[0] == "gradient"


def test_an_unknown_name_is_answered_with_all():
    with pytest.raises(SettingsError, match=r"no predictor tarot; there are sharpened, .*base-rate"):
        spec_of("tarot")


def test_the_list_loads_no_numerical_library():
    heavy = {"numpy", "scipy", "torch"}
    code = f"import sys, anatomy.prediction.prediction_settings; assert not {heavy} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
