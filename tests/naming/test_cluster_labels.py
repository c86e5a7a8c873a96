"""``labels.json`` is read whole or refused in one line."""

import json

import pytest

from anatomy.errors import RunError
from anatomy.naming.cluster_labels import ClusterLabels

LABEL = {"label": "«bold»", "top_tokens": [], "ngrams": [], "correlates": [], "exemplars": [], "n_rows": 3}


def test_labels_come_back_as_they_were(tmp_path):
    labels = ClusterLabels(response={}, data={"D1": LABEL}, prompt={})
    labels.write(tmp_path / "labels.json")
    assert ClusterLabels.read(tmp_path / "labels.json").kinds() == {"response": {}, "data": {"D1": LABEL}, "prompt": {}}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema_version": 0}, "version"),
        ({"data": {"D1": {**LABEL, "n_rows": "many"}}}, "n_rows"),
        ({"data": {"D1": {"label": "no more"}}}, "top_tokens"),
        ({"added": {}}, "added"),
    ],
)
def test_other_files_are_refused_in_one_line(change, why, tmp_path):
    labels = {"schema_version": 3, "response": {}, "data": {"D1": LABEL}, "prompt": {}}
    (tmp_path / "labels.json").write_text(json.dumps(labels | change))
    with pytest.raises(RunError, match=why) as error:
        ClusterLabels.read(tmp_path / "labels.json")
    assert "run `anatomy audit` again" in str(error.value)
    assert "\n" not in str(error.value)
