"""``health.json``: what the rows' health becomes as a document, and which documents are refused."""

import json

import pytest

from anatomy import artifacts
from anatomy.data.health import Health
from anatomy.data.row_health import HealthTable
from anatomy.errors import RunError
from anatomy.types import Pair


def says(role, text):
    return {"role": role, "content": text}


def test_the_health_of_rows_is_read_back_as_it_was_written(tmp_path):
    table = HealthTable("explicit")
    for index, chosen in enumerate(["yes", "no", "no"]):
        prompt, answers = [says("user", "well?")], ([says("assistant", chosen)], [says("assistant", "no")])
        table.add(Pair(index, prompt, *answers, {}))
    Health.of(table.found()).write(tmp_path / artifacts.HEALTH)
    health = Health.read(tmp_path / artifacts.HEALTH)
    assert (health.rows, health.retained, health.sae) == (3, 1, None)
    assert health.reasons["identical-pair"].count == 2
    assert health.lengths["chosen"].mean == 3.0
    assert health.lengths["chosen"].unit == "characters"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rows": 3}, "record of data health without a schema version"),
        ({"schema_version": Health.VERSION, "rows": "many"}, r"not a valid record of data health \(rows: "),
        ({"schema_version": Health.VERSION, "word": 1}, r"not a valid record of data health \(word: "),
    ],
)
def test_another_document_is_refused(tmp_path, content, message):
    (tmp_path / artifacts.HEALTH).write_text(json.dumps(content))
    with pytest.raises(RunError, match=message):
        Health.read(tmp_path / artifacts.HEALTH)
