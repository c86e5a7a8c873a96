"""Flags and YAML go through the same models; every fault is named, all at once."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from anatomy.artifacts import read_yaml
from anatomy.concepts.concept import load_library
from anatomy.errors import AnatomyError, SettingsError, shown
from anatomy.settings import AuditSettings, CheckSettings, HarvestSettings, load_settings
from interventions.plan.plan import load_plan


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


HOSTILE = {
    "date of a thirteenth month": ("limit: 2020-13-45", "month must be in 1..12"),
    "integer of 5,000 digits": (f"limit: {'9' * 5000}", "digits"),
    "integer that is none": ("limit: 0x_", "invalid literal"),
    "lists in lists": (f"limit: {'[' * 3000}{']' * 3000}", "nested more than 32 levels deep"),
    "lists that never close": ("limit: " + "[" * 100_000, "nested more than 32 levels deep"),
    "blocks in blocks": ("\n".join(" " * depth + "a:" for depth in range(400)), "nested more than 32 levels deep"),
    "anchors that expand": (
        "a: &a [x]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefgh")),
        "more than 200,000 values",
    ),
    "merges that expand": (
        "a: &a {x: 1}\n"
        + "".join(f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 9)}]}}\n" for a, b in pairwise("abcdefgh")),
        "more than 200,000 values",
    ),
    "anchor in itself": ("a: &a [*a]", "the anchor 'a' holds itself"),
    "unknown anchor": ("a: *b", "undefined alias"),
    "tag of Python": ("limit: !!python/object/apply:os.system [ls]", "python/object/apply"),
    "tag that fails": ("limit: !!bool perhaps", "tag:yaml.org,2002:bool"),
    "list as a key": ("? [a]\n: 1", "unhashable key"),
    "control characters": ("limit: \x00\x1b]52;c;x\x07", "not allowed"),
    "not UTF-8": (b"limit: caf\xe9", "not UTF-8 text"),
    "five megabytes": ("# " + "x" * 5_000_000, "too large"),
}


def load_any(path):
    """What the loaders of settings, plans, concepts and experiments have in common."""
    return read_yaml(path, "file")


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize(
    "load",
    [load_any, load_plan, load_library, lambda path: load_settings(CheckSettings, {"rows": "x"}, path)],
    ids=["any", "plan", "concepts", "settings"],
)
def test_hostile_yaml_is_one_line(case, load, tmp_path):
    content, says = HOSTILE[case]
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AnatomyError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert says in message
    assert "use sys." not in message
    assert "\n" not in message
    assert len(message) < 600


LARGE_VALUES = {
    "integer in hexadecimal": f"0x{'f' * 100_000}",
    "text": "x" * 100_000,
    "list": f"[{', '.join('abc' for _ in range(50_000))}]",
    "lists of lists": "[" * 20 + "1, 2" + "]" * 20,
    "date": "2020-01-01",
    "not a number": ".nan",
    "infinity": ".inf",
}


@pytest.mark.parametrize("case", LARGE_VALUES)
@pytest.mark.parametrize("key", ["limit", "tau", "rows", "unknown"])
def test_message_about_a_large_value_is_short(case, key, tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text(f"{key}: {LARGE_VALUES[case]}\n{LARGE_VALUES['integer in hexadecimal']}: 1\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(AuditSettings, {}, path)
    assert len(str(caught.value)) < 8_000  # unknown settings come with the list of the known ones
    assert "\n" not in str(caught.value)


def test_only_the_first_of_many_faults_are_listed(tmp_path):
    path = tmp_path / "many.yaml"
    path.write_text("rows: x\n" + "".join(f"limit{number}: 1\n" for number in range(500)))
    with pytest.raises(SettingsError, match=r"and 488 more$"):
        load_settings(AuditSettings, {}, path)


def test_anchors_and_merges_of_honest_files_are_read(tmp_path):
    path = tmp_path / "anchors.yaml"
    path.write_text("base: &base {a: 1, b: [1, 2]}\nfirst: {<<: *base, c: 3}\nsecond: *base\n")
    assert read_yaml(path, "file")["first"] == {"a": 1, "b": [1, 2], "c": 3}


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "missing", "loop", "name with NUL"])
def test_only_regular_files_are_opened(kind, tmp_path):
    path = tmp_path / "settings.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "name with NUL":
        path = Path("a\0b.yaml")
    with pytest.raises(SettingsError, match=r"settings\.yaml: (cannot read|a folder, pipe or device)|NUL|null"):
        read_yaml(path, "configuration")


ANY_VALUE = {
    "long text": "x" * 10**6,
    "huge integer": 10**5000,
    "huge negative integer": -(10**5000),
    "lists in lists": [[[[[[1]]]]]],
    "long list": {"a": list(range(10**5))},
    "half a surrogate": "\ud800\n",
    "not a number": float("nan"),
    "nothing": None,
}


@pytest.mark.parametrize("case", ANY_VALUE)
def test_any_value_is_shown_on_a_short_line(case):
    text = shown(ANY_VALUE[case])
    assert len(text) <= 80
    assert text.encode()
    assert "\n" not in text
