"""Studies as data: what a grid expands to, steps that wait for each other, a killed study, changed settings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anatomy.errors import SettingsError
from experiments.study import main, run
from experiments.study_grid import Grid

ROOT = Path(__file__).parents[2]
STUDY = """
required: [word]
axes:
  arm:
    plain: {text: "{word}"}
    loud: {text: "{word}!"}
  seed: [0, 1]
values: {word: null, strength: 3, nothing: null, several: [a, b]}
machine: {device: cpu}
parts: {main: [join], settings: [notes]}
steps:
  make:
    out: "{arm}/made-{seed}"
    run: copy {text} --strength {nothing} --device {device} {several} {out}
  join:
    out: "{arm}/joined-{seed}"
    skip: [{arm: plain, seed: ["1"]}]
    run: join {make} {make[arm=plain]} {out}
  notes:
    out: "{arm}.yaml"
    first: [seed]
    skip: [{arm: plain}]
    write: {strength: "{strength}", made: "{make}"}
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def expanded(path: Path, root: Path, part: str | None = None, **asked: str):
    return Grid.read(path, root, {"word": "hi there", **asked}).expand(part)


def test_a_step_is_made_once_for_each_output(study, tmp_path):
    """Two arms, two seeds; `join` of the plain arm at seed 1 is skipped; what a step reads comes before it."""
    steps = expanded(study, tmp_path)
    made = [str(step.out.relative_to(tmp_path)) for step in steps]
    assert made == ["plain/made-0", "plain/joined-0", "loud/made-0", "loud/joined-0", "loud/made-1", "plain/made-1",
                    "loud/joined-1"]  # fmt: skip
    by_out = dict(zip(made, steps, strict=True))
    assert by_out["loud/made-1"].words == [
        "copy",
        "hi there!",
        "--device",
        "cpu",
        "a",
        "b",
        str(tmp_path / "loud/made-1"),
    ]
    assert by_out["loud/joined-1"].after == {tmp_path / "loud/made-1", tmp_path / "plain/made-1"}
    (notes,) = (step for step in expanded(study, tmp_path, "settings") if step.name == "notes")
    assert notes.content == {"strength": 3, "made": str(tmp_path / "loud/made-0")}


def test_what_was_asked_for_replaces_values_and_axes(study, tmp_path):
    steps = expanded(study, tmp_path, arm="loud", seed="7", strength="0.5", device="cuda")
    assert {step.out.name for step in steps} == {"made-7", "joined-7"}
    (notes,) = (step for step in expanded(study, tmp_path, "settings", strength="0.5") if step.name == "notes")
    assert notes.content["strength"] == 0.5


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"sed": "1"}, "has no `sed`; known: arm,"), ({"arm": "soft"}, "arm: no `soft`; known: plain, loud"),
     ({"word": ""}, "has no value; give word=")],
)  # fmt: skip
def test_wrong_values_are_refused_with_the_known_ones(study, tmp_path, asked, message):
    with pytest.raises(SettingsError, match=message):
        expanded(study, tmp_path, **asked)


def test_faults_of_a_study_are_named(study, tmp_path):
    with pytest.raises(SettingsError, match=r"needs word="):
        Grid.read(study, tmp_path, {})
    with pytest.raises(SettingsError, match="known: main, settings"):
        expanded(study, tmp_path, "other")
    for old, new, message in [
        ("made-{seed}", "made", "two commands make"),
        ("copy {text}", "copy {join}", "wait for each other: join → make → join"),
        ("{word}!", "{text}!", "{text} is made of itself"),
        ("copy {text}", "copy {txt}", "nothing is named {txt}"),
        ("    skip", "    skp", "not a study"),
    ]:
        study.write_text(STUDY.replace(old, new).replace("make[arm=plain]} {out}", "make[arm=plain]} {seed} {out}"))
        if new == "made":
            study.write_text(study.read_text().replace("{several}", "{seed}"))
        with pytest.raises(SettingsError, match=message):
            expanded(study, tmp_path)


def recording(calls, fail=()):
    """Writes the words of a command to the output that is its last word."""

    def call(module, words):
        calls.append(Path(words[-1]).name)
        if Path(words[-1]).name in fail:
            return 3
        Path(words[-1]).write_text(json.dumps([module, *words]))
        return 0

    return call


@pytest.mark.parametrize("workers", [1, 3])
def test_a_failed_study_stops_and_resumes_where_it_was(study, tmp_path, workers):
    root, calls = tmp_path / "out", []
    steps = expanded(study, root, arm="loud,plain")
    with pytest.raises(SystemExit) as stopped:
        run(steps, root, workers, recording(calls, fail={"made-1"}))
    assert stopped.value.code == 3
    assert "joined-1" not in calls
    again = []
    run(steps, root, workers, recording(again))
    assert "made-0" not in again
    assert len([path for path in root.rglob("*-?") if path.is_file()]) == len(steps)
    run(steps, root, workers, recording(last := []))
    assert last == []
    (root / "loud" / "made-0").unlink()
    run(steps, root, workers, recording(last))
    assert last == ["made-0"]


def test_outputs_of_other_settings_are_refused_and_the_machine_may_change(study, tmp_path):
    root = tmp_path / "out"
    run(expanded(study, root), root, 1, recording([]))
    run(expanded(study, root, device="cuda"), root, 1, recording(calls := []))
    assert calls == []
    with pytest.raises(SettingsError, match="made-0: made with other settings"):
        run(expanded(study, root, word="bye"), root, 1, recording([]))


def test_a_dry_run_lists_the_steps_and_makes_nothing(study, tmp_path, capsys):
    root = tmp_path / "out"
    run(expanded(study, root, arm="plain", seed="0"), root, 1, recording([]))
    before = sorted(root.rglob("*"))
    assert main([str(study), "--out", str(root), "word=hi there", "--dry-run"]) == 0
    lines = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [["done", "make"], ["done", "join"], ["to do", "make"], ["to do", "join"], ["to do", "make"],
                     ["to do", "make"], ["to do", "join"]]  # fmt: skip
    assert sorted(root.rglob("*")) == before


SLOW = """
axes: {part: [a, b, c]}
machine: {pause: 0}
parts: {main: [write]}
steps:
  write: {out: "{part}", run: "slow_step {part} {pause} {out}"}
"""


def test_a_killed_study_resumes_to_the_same_result(tmp_path):
    """Killed in its second step, with all its processes; then run again without a pause."""
    (tmp_path / "slow_step.py").write_text(
        "import pathlib, sys, time\nword, pause, out = sys.argv[1:]\ntime.sleep(float(pause) * (word != 'a'))\n"
        "pathlib.Path(out).write_text(word * 3)\n"
    )
    (tmp_path / "slow.yaml").write_text(SLOW)
    root = tmp_path / "out"
    words = [sys.executable, "-m", "experiments.study", str(tmp_path / "slow.yaml"), "--out", str(root)]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    killed = subprocess.Popen([*words, "pause=60"], cwd=ROOT, env=env, start_new_session=True)
    record = root / "study.json"
    while not (record.is_file() and "b" in json.loads(record.read_text())):
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert [path.name for path in sorted(root.iterdir())] == ["a", "study.json"]
    subprocess.run(words, cwd=ROOT, env=env, check=True)
    assert {name: (root / name).read_text() for name in "abc"} == {"a": "aaa", "b": "bbb", "c": "ccc"}
