"""Colours of tokens by concept: relative to a threshold, or to the range of the kept rows."""

import base64

import numpy as np
import pyarrow as pa
import pytest

from anatomy.artifacts import record_outputs, write_table
from anatomy.report.token_table import colour_codes, concept_colours


def unpacked(found):
    return None if found is None else np.frombuffer(base64.b64decode(found["b"]), np.uint8).tolist()


@pytest.fixture
def path(tmp_path):
    """Scores of a text rule, of a detector with threshold −1, of one without, and of one that is always silent."""
    lines = [
        ("bold", 0, "a", [0.0, 1.0], [0.0]),
        ("bold", 2, "c", [0.0, 0.0], [1.0]),
        ("praise", 0, "a", [-3.0, -1.0, 1.0], [-1.000001]),
        ("praise", 2, "c", [0.0], [-7.0, -1.5]),
        ("cluster", 0, "a", [-4.0, 0.0], [6.0, -4.0]),
        ("silent", 0, "a", [0.0, 0.25], [0.0]),
        ("bold", 1, "gone", [1.0], [1.0]),
    ]
    names = ("concept", "row", "row_id", "chosen", "rejected")
    file = tmp_path / "scored_tokens.parquet"
    write_table(file, pa.Table.from_pylist([dict(zip(names, line, strict=True)) for line in lines]))
    record_outputs(tmp_path, [file.name])
    return file


def test_colours_start_at_the_threshold_or_above_the_lowest_kept_score(path):
    """praise: −1 is 1, 1 (the highest) 255, 0 halfway 1 + 127; cluster: −4 is 0, 6 is 255, 0 is 1 + 254 · 0.4."""
    thresholds = {"bold": 1.0, "praise": -1.0, "cluster": None, "silent": 0.5, "never scored": 0.0}
    scales, codes = concept_colours(path, ["a", "b", "c"], thresholds)
    assert scales == {
        "bold": {"from": 1.0, "to": 1.0},
        "praise": {"from": -1.0, "to": 1.0},
        "cluster": {"from": -4.0, "to": 6.0},
        "silent": {"from": 0.5, "to": 0.5},
    }
    found = {row: {side: {name: unpacked(code) for name, code in by_name.items()} for side, by_name in sides.items()}
             for row, sides in codes.items()}  # fmt: skip
    assert found == {
        0: {
            "chosen": {"bold": [0, 255], "praise": [0, 1, 255], "cluster": [0, 103], "silent": None},
            "rejected": {"bold": None, "praise": None, "cluster": [255, 0], "silent": None},
        },
        2: {"chosen": {"bold": None, "praise": [128]}, "rejected": {"bold": [255], "praise": None}},
    }


def test_flat_scores_without_a_threshold_colour_nothing():
    assert colour_codes(np.full(3, 2.5), 2.5, 2.5, inclusive=False).tolist() == [0, 0, 0]


def test_a_run_without_token_scores_has_no_colours(tmp_path):
    assert concept_colours(tmp_path / "none.parquet", ["a"], {"bold": 1.0}) == ({}, {})
