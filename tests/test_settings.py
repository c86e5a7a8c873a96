"""Flags and YAML go through the same models; every fault is named, all at once."""

import pytest
import yaml

from anatomy.errors import SettingsError
from anatomy.settings import AuditSettings, HarvestSettings, load_settings


def test_text_from_flags_and_yaml_agree(tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text("rows: a.jsonl\nmax-length: 256\ntau: 0.02\n")
    from_file = load_settings(AuditSettings, {}, file)
    assert from_file == load_settings(AuditSettings, {"rows": "a.jsonl", "max_length": "256", "tau": "0.02"})
    assert from_file.max_length == 256


def test_flags_win_over_yaml(tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text("rows: a.jsonl\nseed: 1\n")
    assert load_settings(AuditSettings, {"seed": "2"}, file).seed == 2


def test_all_faults_are_reported_at_once(tmp_path):
    file = tmp_path / "audit.yaml"
    file.write_text("max_lenght: 3\ntau: 5\ndtype: float8\n")
    with pytest.raises(SettingsError) as error:
        load_settings(AuditSettings, {}, file)
    message = str(error.value)
    for part in ("`rows` is required", "unknown setting `max_lenght` (allowed: ", "`tau` = 5", "`dtype` = 'float8'"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(("text", "expected"), [("- a\n", "expected `key: value`"), ("a: [", "not valid YAML")])
def test_a_broken_file_is_named(tmp_path, text, expected):
    file = tmp_path / "audit.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=expected):
        load_settings(AuditSettings, {}, file)
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(AuditSettings, {}, tmp_path / "none.yaml")


def test_a_folder_is_kept_with_its_whole_path(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    found = HarvestSettings(rows="r", model="mine", sae="release/id")
    assert (found.model, found.sae) == (str(tmp_path / "mine"), "release/id")


def test_resolved_settings_survive_a_round_trip():
    settings = load_settings(AuditSettings, {"rows": "x", "seed": 3})
    assert AuditSettings.model_validate(yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json")))) == settings
