"""Artifacts: what is written is read back, and anything else is refused in one line that says where and what to do."""

import errno
import json
import math
import os
import stat

import pytest

from anatomy import artifacts
from anatomy.artifacts import Artifact, OrNaN
from anatomy.errors import RunError


class Figure(Artifact):
    """A small artifact."""

    NAME = "figure"
    VERSION = 3
    REMEDY = "draw it again"

    r: OrNaN
    n: int = 0


def test_an_artifact_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "figure.json"
    Figure(r=0.25, n=4).write(path)
    content = json.loads(path.read_text())
    assert list(content) == ["schema_version", "checksum", "r", "n"]
    assert content | {"checksum": ""} == {"schema_version": 3, "checksum": "", "r": 0.25, "n": 4}
    assert Figure.read(path) == Figure(r=0.25, n=4)
    Figure(r=math.nan).write(path)
    assert json.loads(path.read_text())["r"] is None
    assert math.isnan(Figure.read(path).r)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no figure here"),
        ("{", "not valid JSON"),
        ("[1]", "without a schema version"),
        ('{"r": 1.0}', "without a schema version"),
        ('{"schema_version": 2, "r": 1.0}', "of schema version 2, and 3 is read here; draw it again"),
        ('{"schema_version": 3, "r": "x"}', r"not a valid figure \(r: "),
        ('{"schema_version": 3, "r": 1.0, "more": 1}', r"not a valid figure \(more: "),
        ('{"schema_version": 3}', r"not a valid figure \(r: Field required\); draw it again"),
        ('{"schema_version": 3, "r": 1.0}', "figure without a checksum; draw it again"),
        ('{"schema_version": 3, "checksum": "0", "r": 1.0}', "figure damaged.*; draw it again"),
    ],
)
def test_anything_else_is_refused_in_one_line(content, message, tmp_path):
    path = tmp_path / "figure.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RunError, match=message) as error:
        Figure.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_changed_digit_is_noticed(tmp_path):
    path = tmp_path / "figure.json"
    Figure(r=0.25).write(path)
    path.write_text(path.read_text().replace("0.25", "0.26"))
    with pytest.raises(RunError, match="damaged"):
        Figure.read(path)


@pytest.mark.parametrize(
    "write", [lambda path: artifacts.write_text(path, "new"), lambda path: Figure(r=1.0).write(path)]
)
def test_a_full_disk_leaves_the_file_as_it_was(write, tmp_path, monkeypatch):
    path = tmp_path / "figure.json"
    path.write_text("old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        write(path)
    assert error.value.filename == str(path)  # so that the line about it says where
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("figure.json", "old")]


def test_file_and_folder_are_on_the_disk_before_and_after_the_name_changes(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append(stat.S_ISDIR(os.fstat(file).st_mode)), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("renamed"), replace(*names)))
    artifacts.write_text(tmp_path / "a", "text")
    assert done == [False, "renamed", True]


def test_a_key_that_stands_twice_is_damage(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1, "b": {"c": 2, "c": 2}}')
    with pytest.raises(RunError, match="a key stands twice in one object"):
        artifacts.read_json(tmp_path / "x.json")
