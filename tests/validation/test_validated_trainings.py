"""From trainings that ``anatomy train`` made, through ``anatomy validate``, to their comparison."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from support.damage import truncate
from support.planted_run import FLAGS, plant_rollouts, write_pairs
from support.run_flags import flags_for
from support.tiny import save_sae

from anatomy import artifacts
from anatomy.cli.app import main
from anatomy.data.stamped_folder import STAMP
from anatomy.errors import RunError
from anatomy.prediction.prediction_settings import ValidateSettings
from anatomy.rollouts.training_folder import TrainedIntervention, read_identity, write_identity
from anatomy.validation.ablations import compare_arms
from anatomy.validation.training_record import PlannedIntervention, read_training
from anatomy.validation.validation_record import Validation
from anatomy.workflows.validate import default_out

FAST = ["--bootstrap", "100", "--controls", "2", "--predictors", "disparity"]
TRAINING = ["--max-steps", "2", "--batch-size", "4", "--micro-batch-size", "4", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model_dir):
    """An audit, trainings without and with a plan, and rollouts planted in their names: 30, 70 and 50 % bold."""
    folder = tmp_path_factory.mktemp("trainings")
    model, rows = str(tiny_model_dir("llama")), str(write_pairs(folder / "pairs.jsonl"))
    sae = str(save_sae(folder / "sae", Path(model)))
    assert main(["audit", rows, "--model", model, "--sae", sae, *FLAGS, "--out", str(folder / "run")]) == 0
    common = {"direction": "suppress", "backend": "reward_shaping"}
    items = [{**common, "concept": "bold", "strength": 2}, {**common, "concept": "emoji", "strength": 0}]
    (folder / "plan.yaml").write_text(yaml.safe_dump({"interventions": items}))
    plans = {"plain": ["--seed", "1"], "shaped": ["--seed", "1", "--plan", str(folder / "plan.yaml")], "other": []}
    for name, more in plans.items():
        train = ["train", "--rows", rows, "--model", model, *TRAINING, *more, "--out", str(folder / name)]
        assert main(train) == 0
    assert main(["sft", "--rows", rows, "--model", model, *TRAINING, "--out", str(folder / "sft")]) == 0
    for number, (name, share) in enumerate({"before": 0.3, "plain": 0.7, "shaped": 0.5}.items()):
        model_dir = None if name == "before" else folder / name / "model"
        plant_rollouts(folder / f"rollouts-{name}", share, number, model=model_dir)
    return folder


def training(folder, name):
    return read_training(folder / name, folder / "run", f"in {name}")


def test_a_training_is_known_by_its_folder(folder):
    plain, shaped, other = (training(folder, name) for name in ("plain", "shaped", "other"))
    assert (plain.interventions, plain.seed, plain.rows) == ((), 1, "pairs.jsonl")
    words = "suppress bold: reward shaping 2"  # strength 0 does nothing
    assert shaped.interventions == (PlannedIntervention(words=words, direction="suppress", response="bold"),)
    assert shaped.twin == plain.twin != other.twin
    assert shaped.recipe == plain.recipe == other.recipe  # the seed apart
    assert shaped.plan != plain.plan == other.plan
    log = (folder / "plain" / "train_log.jsonl").read_text().splitlines()
    assert plain.reward_drift.steps == len(log) == 2
    assert plain.reward_drift.margin == json.loads(log[-1])["raw/margins"]


def test_a_training_that_is_not_known_has_a_reason(folder, tmp_path):
    hub = Path("HuggingFaceTB/SmolLM2-135M-Instruct")
    folders = {folder / "sft": "supervised fine-tuning", folder / "nowhere": "no training.json"}
    for place, reason in {**folders, hub: "no training.json"}.items():
        with pytest.raises(RunError, match=reason):
            read_training(place, folder / "run", "")
    for text, reason in {"{": "not valid JSON", "[]": "schema version", '{"schema_version": 3}': "kind: "}.items():
        (tmp_path / "damaged").mkdir(exist_ok=True)
        (tmp_path / "damaged" / artifacts.TRAINING).write_text(text)
        with pytest.raises(RunError, match=f"damaged/{artifacts.TRAINING}: .*{reason}"):
            training(tmp_path, "damaged")
    identity = read_identity(folder / "shaped")
    write_identity(tmp_path / "half", identity.model_copy(update={"finished": False}))
    with pytest.raises(RunError, match="half: a training that is not finished"):
        training(tmp_path, "half")
    write_identity(tmp_path / "log", identity)
    for text, reason in {'{"step": 1}\n': "not the log of a DPO training", "[]\n": "line 1 is not a step"}.items():
        (tmp_path / "log" / artifacts.TRAIN_LOG).write_text(text)
        with pytest.raises(RunError, match=r"its hash is not recorded|not those that this run wrote"):
            training(tmp_path, "log")
        artifacts.record_outputs(tmp_path / "log", [artifacts.TRAIN_LOG])
        with pytest.raises(RunError, match=reason):
            training(tmp_path, "log")


def test_targets_of_a_plan(folder, tmp_path):
    """Clusters of this audit, of another one, a saved detector's folder, and rows (also those of a cluster).

    What a detector scores is said by the record: the folder that a record names is not opened.
    """
    detector = str(tmp_path / "detector")
    (tmp_path / "detector").mkdir()
    artifacts.write_json(tmp_path / "detector" / "detector.json", {"concept": "not read"})
    options = {"drop": "examples", "top": None, "swap": False}
    common = {"direction": "suppress", "strength": 1.0, "backend": "filtering", "options": options}
    targets = [{"concept": detector}, {"cluster": "R3"}, {"rows": ["a", "b"]}, {"source": "x=y"}]
    targets += [{"cluster": "D4"}]
    items = tuple(TrainedIntervention(**common, **target) for target in targets)
    plans = set()
    identity = read_identity(folder / "shaped")
    for run, cluster in ((folder / "run", "R3"), (tmp_path, None)):
        changes = {"audit": str(run), "interventions": items, "scored": {detector: "calm"}}
        write_identity(tmp_path / "copy", identity.model_copy(update=changes))
        shutil.copy(folder / "shaped" / artifacts.TRAIN_LOG, tmp_path / "copy")
        artifacts.record_outputs(tmp_path / "copy", [artifacts.TRAIN_LOG])
        record = read_training(tmp_path / "copy", folder / "run", "copy")
        found = record.interventions
        assert [item.response for item in found] == ["calm", cluster, None, None, None]
        plans.add(record.plan)
    assert len(plans) == 2  # R3 of another audit is another plan
    assert [item.words.split(":")[0] for item in found] == [
        "suppress calm", "suppress R3", "suppress 2 rows", "suppress x=y", "suppress D4",
    ]  # fmt: skip
    assert found[0].words == "suppress calm: filtering (drop examples)"  # no dose, and nothing that is off


@pytest.mark.parametrize(
    ("after", "name"),
    [("x/plain/model", "plain"), ("rollouts", "rollouts"), ("model", "here"), ("../model", "up"), ("..", "up")],
)
def test_validations_of_several_trainings_have_folders_of_their_own(after, name, tmp_path, monkeypatch):
    (tmp_path / "up" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "up" / "here")
    settings = ValidateSettings.model_validate({"before": "base", "after": after})
    assert default_out(Path("run"), settings) == Path("run/validation") / name


def test_a_planted_half_is_found_through_every_step(folder):
    """Bold: 30 % before, 70 % after plain DPO, 50 % after the plan."""
    run = folder / "run"
    for name in ("plain", "shaped"):
        sides = ["--before", str(folder / "rollouts-before"), "--after", str(folder / f"rollouts-{name}")]
        named = flags_for(run, "model", "sae")
        assert main(["validate", str(run), *named, *sides, "--out", str(run / "validation" / name), *FAST]) == 0
    validation = Validation.read(run / "validation" / "shaped" / artifacts.VALIDATION)
    assert validation.training.interventions[0].response == "bold"
    assert validation.warning == validation.training.reward_drift.warning
    found = compare_arms(run / "validation", validation.per_prompt.clusters)
    assert found.left_out == []
    (comparison,) = found.comparisons
    assert (comparison.prompts, comparison.read) == (80, 80)
    plain, shaped = comparison.arms
    bold = shaped.responses["bold"].recovery
    assert bold.low < 50 < bold.high
    assert bold.high - bold.low < 100
    assert shaped.on[0].why is None
    shift = plain.responses["bold"].shift
    assert shift.low < 0.4 < shift.high
    line = artifacts.read_table(run / "validation" / "plain" / artifacts.SHIFTS).to_pandas()
    line = line[(line["view"] == "concept") & (line["response"] == "bold")].iloc[0]
    assert shift.value == pytest.approx(line["observed"], abs=1e-6)  # the same number as in the validation itself
    words = comparison.health["words"]
    assert (words.value, words.low, words.high) == pytest.approx((8, 8, 8))


def change_digit(training: Path) -> None:
    log = training / artifacts.TRAIN_LOG
    text = log.read_text()
    place = next(n for n in range(len(text) // 2, len(text)) if text[n].isdigit())
    log.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")


def halve_checkpoint(training: Path) -> None:
    files = sorted(path for path in checkpoint(training).iterdir() if path.name != STAMP)
    for path in files[: len(files) // 2]:
        path.unlink()


def checkpoint(training: Path) -> Path:
    (found,) = (training / "checkpoints").glob("checkpoint-*")
    return found


@pytest.mark.parametrize(
    ("damage", "damaged", "verbs"),
    [
        (change_digit, artifacts.TRAIN_LOG, ["train", "rollout", "validate"]),
        (lambda training: truncate(training / "model" / "model.safetensors"), "model.safetensors",
         ["train", "rollout", "validate"]),
        (halve_checkpoint, "checkpoint-", ["rollout", "validate"]),
    ],
    ids=["log", "model", "checkpoint"],
)  # fmt: skip
def test_a_damaged_training_is_refused_in_one_line(folder, tmp_path, tiny_model_dir, capsys, damage, damaged, verbs):
    """A finished training of which a file was changed: by ``train`` again and by what reads its model."""
    training = shutil.copytree(folder / "plain", tmp_path / "plain")
    model = checkpoint(training) if damage is halve_checkpoint else training / "model"
    damage(training)
    (tmp_path / "p.jsonl").write_text('{"prompt": "Why?"}\n')
    sample = ["--prompts", str(tmp_path / "p.jsonl"), "--max-new-tokens", "4"]
    again = ["--rows", str(folder / "pairs.jsonl"), "--model", str(tiny_model_dir("llama")), *TRAINING, "--seed", "1"]
    sides = ["--before", str(folder / "rollouts-before"), "--after", str(model)]
    commands = {
        "train": [*again, "--out", str(training)],
        "rollout": ["--model", str(model), *sample, "--device", "cpu", "--out", str(tmp_path / "rollouts")],
        "validate": [str(folder / "run"), *flags_for(folder / "run", "model", "sae"), *sides, *sample,
                     "--out", str(tmp_path / "v")],
    }  # fmt: skip
    for verb in verbs:
        capsys.readouterr()
        assert main([verb, *commands[verb]]) == 2, verb
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("anatomy: ")]
        assert len(errors) == 1, verb
        assert errors[0].startswith("anatomy: error: "), verb
        assert damaged in errors[0], verb
    assert not list(tmp_path.glob(f"*/**/{artifacts.ROLLOUTS}"))
