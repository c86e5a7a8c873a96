"""What an audit says once a model is calibrated, and what a calibration refuses."""

import json

import numpy as np
import pytest
from support.planted_pool import Policy

from anatomy import artifacts
from anatomy.errors import RunError, SettingsError
from anatomy.prediction.calibration import Calibration, read_calibration
from anatomy.prediction.expected_shift import POINTS, expected_shifts
from anatomy.prediction.predictors import Tilt, predict
from anatomy.prediction.readouts import Readout
from anatomy.report.summary_record import DIRECTIONS

CARD = {
    "predictor": "tilt", "tilt_c": 1e-3, "slope": 2.0, "residual_sd": 0.1, "n": 21, "r": 0.9, "window": 64,
    "model_fingerprint": "m", "sae_fingerprint": "s", "data": "set",
    "reward_drift": {"learning_rate": 1e-5, "steps": 60, "margin": 0.07, "common": 0.0},
}  # fmt: skip


def test_expected_shift_by_hand():
    """Slope 2; 95 % of Student's t with 20 degrees is 2.086, so ± 0.2086 standard deviations; points are hundredths."""
    data = Policy().pairs(300, seed=0)
    readout = Readout(["bold"], (data.responses("freq").toarray()[:, :1] > 0.1).astype(np.float32))
    tilt = Tilt().fit(data)
    found = expected_shifts(tilt, (data, [readout]), {"bold": POINTS}, Calibration(**CARD)).shifts["bold"]
    predicted = predict(tilt, data, readout, np.ones(300, bool))[0]
    assert found.shift == pytest.approx(200 * predicted)
    assert found.half_width == pytest.approx(20.86 * readout.values_JM.std(), rel=1e-3)
    assert found.text.endswith("points of responses")


def test_over_own_responses_the_deviation_is_still_that_of_the_data():
    """The predicted shift is of the model's own responses; unit and width are those of the audited ones."""
    policy = Policy()
    data, own = policy.pairs(300, seed=0), policy.pairs(200, seed=1)
    names = ["f0", "f1"]
    tilt, readouts = Tilt().fit(data), [Readout(names, pool.responses("freq").toarray()[:, :2]) for pool in (data, own)]
    read = (data, readouts[:1]), (own, readouts[1:])
    found = expected_shifts(tilt, read[0], dict.fromkeys(names, POINTS), Calibration(**CARD), read[1]).shifts
    predicted = predict(tilt, own, readouts[1], np.ones(200, bool))
    spread = readouts[0].values_JM.std(axis=0)
    for place, name in enumerate(names):
        assert found[name].shift == pytest.approx(200 * predicted[place])
        assert found[name].half_width == pytest.approx(20.86 * spread[place], rel=1e-3)


@pytest.mark.parametrize(
    ("change", "window", "has_own", "message"),
    [
        ({}, None, False, "--max-response-length 64"),
        ({"predictor": "on-policy"}, 64, True, "cannot be calibrated"),
        ({"predictor": "adam"}, 64, False, "--base-rollouts"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, window, has_own, message):
    Calibration(**{**CARD, **change}).write(tmp_path / "c.json")
    with pytest.raises(SettingsError, match=message):
        read_calibration(tmp_path / "c.json", "m", "s", window, has_own)


def test_the_condition_says_how_long_training_was_and_what_speaks_against_it():
    assert Calibration(**CARD).condition.endswith("can turn a sign")
    assert "unknown length" in Calibration(**{**CARD, "reward_drift": None}).condition
    far = {**CARD["reward_drift"], "common": -3.5}
    assert "moved together by -3.5 and parted by +0.07" in Calibration(**{**CARD, "reward_drift": far}).condition


def test_another_model_or_file_is_refused(tmp_path):
    path = tmp_path / "c.json"
    Calibration(**CARD).write(path)
    assert read_calibration(path, "m", "s", 64, False).slope == 2.0
    with pytest.raises(SettingsError, match="another model"):
        read_calibration(path, "other", "s", 64, False)
    for content, message in (({"slope": 1}, "without a schema version"),
                             ({"schema_version": 1, "slope": 1}, "not a valid calibration")):  # fmt: skip
        artifacts.write_json(path, content)
        with pytest.raises(RunError, match=f"{message}.*`anatomy validate` writes one"):
            read_calibration(path, "m", "s", 64, False)


def test_findings_say_what_to_expect(tmp_path, tiny_model_dir):
    """An audit of the planted set in the calibrated window reports bold's expected shift in points of responses."""
    from support.planted_run import FLAGS, write_pairs
    from support.tiny import save_sae

    from anatomy.cli.app import main

    model = tiny_model_dir("llama")
    rows, sae = write_pairs(tmp_path / "pairs.jsonl", 160), save_sae(tmp_path / "sae", model)
    command = ["audit", str(rows), "--model", str(model), "--sae", str(sae), *FLAGS, "--max-response-length", "64"]
    command += ["--out", str(tmp_path / "run")]
    assert main(command) == 0
    inputs = json.loads((tmp_path / "run" / artifacts.MANIFEST).read_text())["inputs"]
    who = {"model_fingerprint": inputs["model"]["fingerprint"], "sae_fingerprint": inputs["sae"]["fingerprint"]}
    Calibration(**{**CARD, **who, "predictor": "disparity", "slope": 0.5}).write(tmp_path / "c.json")
    assert main([*command, "--calibration", str(tmp_path / "c.json")]) == 0
    summary = json.loads((tmp_path / "run" / artifacts.SUMMARY).read_text())
    found = [item for direction in DIRECTIONS for item in summary["views"]["global"][direction]]
    (bold,) = [item for item in found if item["response"] == "bold"]
    assert bold["expected_shift"]["shift"] == pytest.approx(25, abs=7)  # half of the labels' 50 points
    assert "points of responses" in bold["sentence"]
    (condition,) = [item["why"] for item in summary["not_assessed"] if item["what"] == "expected shifts"]
    assert "(set, 60 steps at learning rate 1e-05)" in condition
    assert condition in (tmp_path / "run" / artifacts.SUMMARY_TEXT).read_text().replace("\\", "")


@pytest.mark.parametrize("predictor", ["adam", "sharpened"])
def test_an_audit_with_rollouts_expects_what_their_covariance_says(predictor, tmp_path, tiny_model_dir, capsys):
    """Without ``--base-rollouts``, or with another model's, an audit by such a calibration ends before the model
    has read a row; with them bold is reported, in the direction that the labels push the model's own responses.
    """
    from support.planted_run import FLAGS, plant_rollouts, write_pairs
    from support.tiny import save_sae

    from anatomy.cli.app import main

    model = tiny_model_dir("llama")
    rows, sae = write_pairs(tmp_path / "pairs.jsonl", 160), save_sae(tmp_path / "sae", model)
    command = ["audit", str(rows), "--model", str(model), "--sae", str(sae), *FLAGS, "--max-response-length", "64"]
    command += ["--out", str(tmp_path / "run")]
    assert main([*command[:-1], str(tmp_path / "plain")]) == 0
    inputs = json.loads((tmp_path / "plain" / artifacts.MANIFEST).read_text())["inputs"]
    who = {"model_fingerprint": inputs["model"]["fingerprint"], "sae_fingerprint": inputs["sae"]["fingerprint"]}
    Calibration(**{**CARD, **who, "predictor": predictor}).write(tmp_path / "c.json")
    command += ["--calibration", str(tmp_path / "c.json")]
    plant_rollouts(tmp_path / "other", 0.3, seed=3)
    for more, message in (([], "--base-rollouts"), (["--base-rollouts", str(tmp_path / "other")], "another model")):
        assert main([*command, *more]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
        assert not (tmp_path / "run" / artifacts.FEATURES).exists()
    own = plant_rollouts(tmp_path / "own", 0.3, seed=3, fingerprint=who["model_fingerprint"])
    assert main([*command, "--base-rollouts", str(own)]) == 0
    summary = json.loads((tmp_path / "run" / artifacts.SUMMARY).read_text())
    found = [item for direction in DIRECTIONS for item in summary["views"]["global"][direction]]
    (bold,) = [item for item in found if item["response"] == "bold"]
    assert bold["expected_shift"]["shift"] > 0
    capsys.readouterr()
    assert main([*command, "--base-rollouts", str(own)]) == 0
    assert "own: unchanged" in capsys.readouterr().err
