"""``response_clusters.json``: read back as written, and refused where it is of another SAE or not what it says."""

import json

import numpy as np
import pytest

from anatomy.artifacts import with_checksum
from anatomy.clusters.response_clusters import StableClusters
from anatomy.clusters.stored_clusters import ClusterOrigin, StoredClusters, read_stored
from anatomy.errors import AnatomyError

ORIGIN = ClusterOrigin(
    sources=("a.jsonl",), responses=80, prompts=40, min_prompts=20, resolution=0.35, chance=0.2, features=6,
    clustered=5, unstable=1,
)  # fmt: skip


def stored() -> StoredClusters:
    found = StableClusters(np.array([1, 0, 2, 1, 1, 2, 0]), np.array([0.9, 0.61]), 0.35, 0.2, 6, 1)
    return StoredClusters.of(found, "an SAE", ORIGIN)


def test_clusters_are_read_as_they_were_written(tmp_path):
    stored().write(tmp_path / "c.json")
    again = read_stored(tmp_path / "c.json", "an SAE")
    np.testing.assert_array_equal(again.label_F, [1, 0, 2, 1, 1, 2, 0])
    np.testing.assert_array_equal(again.stability_M, [0.9, 0.61])
    assert again.origin == ORIGIN


FAULTS = {
    "another SAE": ({"sae_fingerprint": "other"}, "another SAE"),
    "another version": ({"schema_version": 99}, "schema version 99"),
    "a feature that is not there": ({"n_features": 5}, "not clusters of 5 features"),
    "a feature in two clusters": ({"clusters": [{"features": [1, 2], "stability": 1.0}] * 2}, "not clusters of"),
    "an empty cluster": ({"clusters": [{"features": [], "stability": 1.0}]}, "empty cluster"),
    "no stability": ({"clusters": [{"features": [1], "stability": 1.5}]}, "stability"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_file_of_clusters_is_refused_in_one_line(fault, tmp_path):
    changes, says = FAULTS[fault]
    path = tmp_path / "c.json"
    stored().write(path)
    path.write_text(json.dumps(with_checksum(json.loads(path.read_text()) | changes)))
    with pytest.raises(AnatomyError, match=says) as caught:
        read_stored(path, "an SAE")
    assert "anatomy sae cluster" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_and_absence_are_seen(tmp_path):
    with pytest.raises(AnatomyError, match="no file of response clusters"):
        read_stored(tmp_path / "c.json", "an SAE")
    stored().write(tmp_path / "c.json")
    (tmp_path / "c.json").write_text((tmp_path / "c.json").read_text().replace("0.61", "0.62"))
    with pytest.raises(AnatomyError, match="damaged"):
        read_stored(tmp_path / "c.json", "an SAE")
