"""Every shipped SAE configuration is accepted by the settings it is for, with the paper's numbers where it cites it."""

from __future__ import annotations

from pathlib import Path

import pytest

from anatomy.errors import SettingsError
from anatomy.settings import SAETrainSettings, load_settings

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "sae").glob("*.yaml"))
PAPER = {"llama-3.1-8b-layer24": 24, "llama-3.1-8b-layer20": 20, "olmo-3-7b": 20}


def test_all_are_here() -> None:
    assert {path.stem for path in CONFIGS} == {*PAPER, "smollm2-135m"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configuration_is_accepted(path: Path) -> None:
    settings = load_settings(SAETrainSettings, {}, path)
    if path.stem in PAPER:
        assert settings.layer == PAPER[path.stem]
        assert (settings.expansion, settings.k, settings.epochs) == (16, 128, 2)
        assert settings.tokens == 750_000_000
        assert any("lmsys" in source.rows for source in settings.corpus)


def test_layer_and_corpus_are_required() -> None:
    with pytest.raises(SettingsError, match=r"`layer` is required; `corpus` is required"):
        load_settings(SAETrainSettings, {})


def test_corpus_from_one_flag() -> None:
    settings = load_settings(SAETrainSettings, {"layer": "3", "corpus": "rows.jsonl"})
    assert [source.rows for source in settings.corpus] == ["rows.jsonl"]
