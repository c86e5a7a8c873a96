"""Steps of the studies: processes, several at a time, of which a failed one is the last."""

import pytest

from experiments import step
from experiments.step import Steps


def test_steps_are_processes_several_at_a_time_and_a_failure_stops_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "PRELOADED", [])
    steps = Steps(workers=2)
    (tmp_path / "one.py").write_text("import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('done')")
    (tmp_path / "wrong.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    steps.together([lambda name=name: steps("one", tmp_path / name) for name in "abc"])
    assert [(tmp_path / name).read_text() for name in "abc"] == ["done"] * 3
    with pytest.raises(SystemExit) as stopped:
        steps("wrong")
    assert stopped.value.code == 3
    with pytest.raises(SystemExit):
        steps.together([lambda: steps("one", tmp_path / "d"), lambda: steps("one", tmp_path / "e")])
    assert not (tmp_path / "d").exists()
