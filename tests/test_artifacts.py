"""Artifacts: what is written is read back, and anything else is refused in one line that says where and what to do."""

import json
import math

import pytest

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
    assert json.loads(path.read_text()) == {"schema_version": 3, "r": 0.25, "n": 4}
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
