"""Every artifact is held against a hash when it is read: a new one that is not fails here."""

from pathlib import Path

import pyarrow as pa
import pytest
from support.damage import DAMAGES, flip, truncate

from anatomy import artifacts
from anatomy.artifacts import file_names
from anatomy.clusters.stored_clusters import StoredClusters
from anatomy.data.health import Health
from anatomy.data.shard_cache import ShardCache, read_shards
from anatomy.data.sources import find_sources
from anatomy.data.stamped_folder import require_whole, stamp_folder
from anatomy.errors import RunError
from anatomy.hypotheses.null_rates import NullRates
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.prediction.calibration import Calibration
from anatomy.report.comparison_record import RunComparison
from anatomy.report.summary_record import Summary
from anatomy.rollouts.training_folder import TrainingIdentity, keep_training
from anatomy.runs.manifest import Manifest
from anatomy.runs.saved_names import ClusterNames
from anatomy.settings import RowSettings
from anatomy.validation.validation_record import Validation
from anatomy.workflows.trace import TraceRecord

DOCUMENTS = {
    artifacts.MANIFEST: Manifest,
    artifacts.HEALTH: Health,
    artifacts.LABELS: ClusterLabels,
    artifacts.SUMMARY: Summary,
    artifacts.NULL: NullRates,
    artifacts.NAMES: ClusterNames,
    artifacts.COMPARISON: RunComparison,
    artifacts.VALIDATION: Validation,
    artifacts.CALIBRATION: Calibration,
    artifacts.TRACE: TraceRecord,
    artifacts.TRAINING: TrainingIdentity,
    artifacts.OUTPUTS: artifacts.Outputs,
    artifacts.RESPONSE_CLUSTERS: StoredClusters,
}
"""JSON with a checksum of its content."""
SHARDS = {artifacts.FEATURES, artifacts.SCORES, artifacts.OWN_FEATURES, artifacts.OWN_SCORES, artifacts.LOG_PROBS,
          artifacts.OWN_LOG_PROBS}  # fmt: skip
"""Folders of sealed files."""
LOGS = {artifacts.TRAIN_LOG}
"""Files that a training records, and that its readers require to be recorded."""
FOLDERS = {artifacts.WORK, artifacts.VALIDATIONS, artifacts.COMPARISONS, artifacts.REPORT, artifacts.TRAINED_BY}
"""Folders that hold other artifacts."""
OF_PEOPLE = {artifacts.CAPABILITY, artifacts.PLAN, artifacts.COLUMN_MAP}
"""Files that a person writes, or may edit."""
CACHES = {artifacts.NAME_ANSWERS, artifacts.COMPLETIONS}
"""What is resumed from: answers of a judge by request, completions by the key of their prompt."""
NOT_READ = {artifacts.SUMMARY_TEXT, artifacts.COMPARISON_PAGE, artifacts.REPORT_PAGE, artifacts.PLOTLY, artifacts.CARD,
            artifacts.LOCK, artifacts.CLEANED, artifacts.LEFT_OUT}  # fmt: skip
"""What is written for people, or for other programs; no command of ours reads it as an artifact."""


def names() -> set[str]:
    return {value for name, value in vars(file_names).items() if name.isupper() and isinstance(value, str)}


def tables() -> list[str]:
    return sorted(name for name in names() if name.endswith(".parquet") and name not in NOT_READ)


def test_every_artifact_is_held_against_a_hash():
    known = DOCUMENTS.keys() | SHARDS | LOGS | FOLDERS | OF_PEOPLE | CACHES | NOT_READ | set(tables())
    assert names() == known
    assert all(issubclass(kind, artifacts.Artifact) for kind in DOCUMENTS.values())


@pytest.mark.parametrize("name", tables())
def test_a_table_is_read_with_a_recorded_hash_only(name, tmp_path):
    path = tmp_path / name
    artifacts.write_table(path, pa.table({"x": list(range(1000))}))
    with pytest.raises(RunError, match="its hash is not recorded"):
        artifacts.read_table(path)
    artifacts.record_outputs(tmp_path, [name])
    assert len(artifacts.read_table(path)) == 1000
    for damage in DAMAGES.values():
        whole = path.read_bytes()
        damage(path)
        with pytest.raises(RunError, match=name) as error:
            artifacts.read_table(path)
        assert "\n" not in str(error.value)
        path.write_bytes(whole)


@pytest.mark.parametrize("damage", [truncate, flip])
def test_shards_are_read_as_they_are_named(damage, tmp_path):
    cache = ShardCache(tmp_path / "shards", "mark")
    cache.write(0, pa.table({"row_id": ["a", "b"]}))
    damage(cache.path(0))
    with pytest.raises(RunError, match="damaged"):
        read_shards(tmp_path / "shards", "features", "run again", {"row_id": "string"})
    with pytest.raises(RunError, match="damaged"):
        artifacts.read_table(cache.path(0))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_record_is_refused(damage, tmp_path):
    artifacts.write_table(tmp_path / artifacts.SHIFTS, pa.table({"x": [1]}))
    artifacts.record_outputs(tmp_path, [artifacts.SHIFTS])
    damage(tmp_path / artifacts.OUTPUTS)
    with pytest.raises(RunError, match=r"outputs\.json|its hash is not recorded"):
        artifacts.read_table(tmp_path / artifacts.SHIFTS)


def test_a_record_of_other_clusters_begins_anew(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    artifacts.record_outputs(tmp_path, ["a"], {"clusters": "1"})
    artifacts.record_outputs(tmp_path, ["b"], {"clusters": "1"})
    assert set(artifacts.Outputs.read(tmp_path / artifacts.OUTPUTS).outputs) == {"a", "b"}
    artifacts.record_outputs(tmp_path, ["c"])  # of the same clusters
    found = artifacts.Outputs.read(tmp_path / artifacts.OUTPUTS)
    assert (set(found.outputs), found.made_of) == ({"a", "b", "c"}, {"clusters": "1"})
    artifacts.record_outputs(tmp_path, ["c"], {"clusters": "2"})
    assert set(artifacts.Outputs.read(tmp_path / artifacts.OUTPUTS).outputs) == {"c"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_name_in_a_document_leads_to_no_other_folder(name, tmp_path):
    with pytest.raises(RunError, match="outside"):
        artifacts.inside(tmp_path, name)
    artifacts.Outputs(made_of={}, outputs={name: "hash"}).write(tmp_path / artifacts.OUTPUTS)
    with pytest.raises(RunError, match="outside"):
        artifacts.require_outputs(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("kind", ["model", "checkpoint-5"])
def test_a_changed_model_is_not_loaded(kind, damage, tmp_path):
    folder = tmp_path / "X" / kind
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(100))
    if kind == "model":
        artifacts.record_outputs(folder.parent, ["model/model.safetensors"])
    else:
        stamp_folder(folder, "training")
    (folder / "notes.txt").write_text("of the user")
    require_whole(folder)
    damage(folder / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.safetensors: missing, or not as it was written; .* again"):
        require_whole(folder)


def test_records_of_a_training_are_kept_beside_completions(tmp_path):
    model, out = tmp_path / "X" / "model", tmp_path / "rollouts" / artifacts.TRAINED_BY
    model.mkdir(parents=True)
    for name in (artifacts.TRAINING, artifacts.TRAIN_LOG):
        (model.parent / name).write_text(f"{{}}{name}")
    artifacts.record_outputs(model.parent, [artifacts.TRAIN_LOG])
    keep_training(model, out)
    assert (out / artifacts.TRAINING).read_bytes() == (model.parent / artifacts.TRAINING).read_bytes()
    artifacts.require_recorded(out / artifacts.TRAIN_LOG)
    flip(model.parent / artifacts.TRAIN_LOG)
    with pytest.raises(RunError, match="not as it was written"):
        keep_training(model, out)
    keep_training(Path(tmp_path / "elsewhere" / "model"), out)
    assert list(out.iterdir()) == []


def test_the_record_beside_rows_is_no_rows(tmp_path):
    (tmp_path / "data").mkdir()
    artifacts.write_table(tmp_path / artifacts.CLEANED, pa.table({"x": [1]}))
    artifacts.record_outputs(tmp_path, [artifacts.CLEANED])
    (source,) = find_sources(RowSettings(rows=str(tmp_path)))
    assert source.name.endswith(".parquet")
