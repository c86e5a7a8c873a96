"""A checkpoint is stamped when every process has written its part, by one of them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from interventions.training import checkpoints
from interventions.training.checkpoints import Stamp


@pytest.mark.parametrize("first", [True, False])
def test_the_first_process_stamps_after_all_have_written(monkeypatch, tmp_path, first):
    done = []
    monkeypatch.setattr(checkpoints, "PartialState", lambda: SimpleNamespace(
        wait_for_everyone=lambda: done.append("all have written")))  # fmt: skip
    monkeypatch.setattr(checkpoints, "stamp_folder", lambda path, identity: done.append((path.name, identity)))
    state = SimpleNamespace(is_world_process_zero=first, global_step=3)
    Stamp(SimpleNamespace(hash="h")).on_save(SimpleNamespace(output_dir=tmp_path), state, None)
    assert done == ["all have written", ("checkpoint-3", "h")][: 1 + first]
