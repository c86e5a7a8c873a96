"""What template and windows leave of rows, counted by hand."""

from __future__ import annotations

import pytest
import yaml
from support.tiny import CHATML, save_tokenizer

from anatomy.activations.model import load_tokenizer
from anatomy.activations.token_check import TokenCheck
from anatomy.activations.token_sample import TokenSample
from anatomy.data.faults import (
    IDENTICAL_AFTER_TEMPLATE,
    IDENTICAL_AFTER_TRUNCATION,
    PROMPT_FILLS_WINDOW,
    REASONING_HIDDEN,
)
from anatomy.data.row_health import HealthTable
from anatomy.errors import SettingsError
from anatomy.report.texts_noted import noted_texts
from anatomy.settings import RECIPES, CheckSettings, ModelSettings, load_settings
from anatomy.types import Pair

SHOWS = (
    "{% for m in messages %}{{ m.role }}: {% if m.thinking %}({{ m.thinking }}) {% endif %}{{ m.content }}"
    "<|im_end|>{% endfor %}"
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    found = {}
    for name, template in (("drops", CHATML), ("shows", SHOWS)):
        folder = tmp_path_factory.mktemp(name)
        save_tokenizer(folder, template)
        found[name] = load_tokenizer(ModelSettings(model=str(folder)))
    return found


def pair(index: int, chosen: dict, rejected: dict, prompt: str = "Which bird?") -> Pair:
    sides = [[{"role": "assistant", **message}] for message in (chosen, rejected)]
    return Pair(index, [{"role": "user", "content": prompt}], *sides)


ALIKE = pair(0, {"content": "A wren.", "thinking": "Small."}, {"content": "A wren.", "thinking": "Brown."})
HIDDEN = pair(1, {"content": "A wren.", "thinking": "Small."}, {"content": "A cow."})
IN_TEXT = pair(2, {"content": "<think>Small.</think>A wren."}, {"content": "A cow."})


@pytest.mark.parametrize("sample", [None, TokenSample(0)])
def test_reasoning_that_the_template_drops(tokenizers, sample):
    check = TokenCheck(tokenizers["drops"], ModelSettings(), sample)
    assert [check(row).reason for row in (ALIKE, HIDDEN, IN_TEXT)] == [IDENTICAL_AFTER_TEMPLATE, None, None]
    assert [check(row).flags for row in (HIDDEN, IN_TEXT)] == [(REASONING_HIDDEN,), ()]


def test_reasoning_that_the_template_shows(tokenizers):
    check = TokenCheck(tokenizers["shows"], ModelSettings())
    assert [(check(row).reason, check(row).flags) for row in (ALIKE, HIDDEN, IN_TEXT)] == [(None, ())] * 3


@pytest.mark.parametrize("sample", [None, TokenSample(0)])
def test_both_windows_are_counted(tokenizers, sample):
    """In this tokenizer « yes» is one token or more; the audit's window holds all of these rows."""
    long = "yes " * 60
    rows = [
        pair(0, {"content": "A wren."}, {"content": "A cow."}),
        pair(1, {"content": long + "one"}, {"content": long + "two"}),  # alike once cut
        pair(2, {"content": long}, {"content": "No."}),  # one side is cut
        pair(3, {"content": "A wren."}, {"content": "A cow."}, prompt=long),  # no room
    ]
    settings = ModelSettings(max_length=1024)
    check = TokenCheck(tokenizers["drops"], settings, sample, train_length=96)
    table = HealthTable("explicit", check)
    assert [table.add(row) for row in rows] == ["retained"] * 4
    found = check.add_to(table.found()).training
    assert (found.length, found.no_room, found.identical) == (96, 1, 1)
    assert found.cut == {"prompt": 1, "chosen": 3, "rejected": 2}
    short = TokenCheck(tokenizers["drops"], ModelSettings(max_length=96))
    assert short(rows[1]).reason == IDENTICAL_AFTER_TRUNCATION


def test_the_audits_window_hides_nothing_of_the_trainings(tokenizers):
    """Rows that the audit's window leaves out are lost in a training of the same length, and not in a longer one."""
    long = "yes " * 60
    rows = [
        pair(0, {"content": "A wren."}, {"content": "A cow."}),
        pair(1, {"content": long + "one"}, {"content": long + "two"}),
        pair(2, {"content": "A wren."}, {"content": "A cow."}, prompt=long),
    ]
    settings = ModelSettings(max_length=96, max_prompt_length=96)
    for length, lost in ((96, (1, 1)), (1024, (0, 0))):
        check = TokenCheck(tokenizers["drops"], settings, train_length=length)
        assert [check(row).reason for row in rows] == [None, IDENTICAL_AFTER_TRUNCATION, PROMPT_FILLS_WINDOW]
        table = HealthTable("explicit")
        table.add(rows[0])
        found = check.add_to(table.found()).training
        assert (found.no_room, found.identical) == lost


def test_a_training_length_is_a_number_or_that_of_a_recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text("learning_rate: 1.0e-6\nmax_length: 2048\n")
    (tmp_path / "other.yaml").write_text("learning_rate: 1.0e-6\n")
    lengths = [
        load_settings(CheckSettings, {"rows": "demo", "train_length": value}).train_length
        for value in ("512", str(tmp_path / "recipe.yaml"))
    ]
    assert lengths == [512, 2048]
    with pytest.raises(SettingsError, match="neither a number of tokens nor a recipe with `max_length`"):
        load_settings(CheckSettings, {"rows": "demo", "train_length": str(tmp_path / "other.yaml")})
    for small in ("-3", " 15"):
        with pytest.raises(SettingsError, match="greater than or equal to 16"):
            load_settings(CheckSettings, {"rows": "demo", "train_length": small})
    with pytest.raises(SettingsError, match=r"no number of tokens, file or recipe 'lap' \(recipes: laptop, olmo3-7b"):
        load_settings(CheckSettings, {"rows": "demo", "train_length": "lap"})
    with pytest.raises(SettingsError, match=r"none\.yaml"):
        load_settings(CheckSettings, {"rows": "demo", "train_length": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_training_length_is_that_of_a_recipe_by_its_name(path, tmp_path, monkeypatch):
    named = load_settings(CheckSettings, {"rows": "demo", "train_length": path.stem}).train_length
    assert named == yaml.safe_load(path.read_text())["max_length"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / path.stem).write_text("max_length: 77")
    assert load_settings(CheckSettings, {"rows": "demo", "train_length": path.stem}).train_length == 77


def test_each_fact_is_a_sentence(tokenizers):
    check = TokenCheck(tokenizers["drops"], ModelSettings(), train_length=96)
    table = HealthTable("explicit", check)
    table.add(pair(0, {"content": "A wren.</s>"}, {"content": "A cow."}, prompt="[INST] Which bird? [/INST]"))
    table.add(IN_TEXT)
    from anatomy.data.health import Health

    lines = noted_texts(Health.of(check.add_to(table.found())))
    assert [line.split(":")[0].split(" (")[0] for line in lines] == [
        "Chat markup in the text of 1 row",
        "End token only in chosen",
        "Reasoning in responses of 1 row",
        "The chat template puts a system turn of its own before a conversation that has none",
        "At the training length of 96 tokens",
    ]
    assert "1 (only in rejected: 0)" in lines[1]


def test_a_training_may_see_more_than_an_audit_can(tokenizers):
    long = "yes " * 35_000  # 140,000 tokens
    row = pair(0, {"content": long + "one"}, {"content": long + "two"})
    check = TokenCheck(tokenizers["drops"], ModelSettings(max_length=65_535), train_length=200_000)
    assert check(row).reason == IDENTICAL_AFTER_TRUNCATION
    found = check.add_to(HealthTable("explicit").found()).training
    assert (found.length, found.no_room, found.identical) == (200_000, 0, 0)
    assert not any(found.cut.values())
