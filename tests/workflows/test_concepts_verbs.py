"""What ``anatomy concepts`` prints."""

import json
from pathlib import Path

import pytest

from anatomy.cli.app import main
from anatomy.concepts.concept import load_library
from anatomy.errors import SettingsError
from anatomy.workflows.concepts import list_concepts, show_concept


@pytest.fixture
def printed(capsys):
    """``printed(*words)``: what the verb writes to standard output."""

    def run(*words: str) -> str:
        assert main(["concepts", *words]) == 0
        return capsys.readouterr().out.rstrip("\n")

    return run


def test_table_names_every_concept_once_by_kind(printed) -> None:
    text = printed("list")
    lines = text.splitlines()
    assert lines[0].split() == ["id", "name", "kind", "direction", "detector"]
    ids = [line.split()[0] for line in lines[2:-2] if line]
    assert sorted(ids) == sorted(load_library())
    blocks = text.split("\n\n")[1:-1]
    assert len(blocks) == 4  # integrity, safety, style, trait
    assert max(map(len, lines)) <= 110


def test_json_is_the_same_list(printed) -> None:
    rows = json.loads(printed("list", "--json"))
    assert {row["id"] for row in rows} == set(load_library())
    assert set(rows[0]) == {"id", "name", "kind", "direction", "detector"}


def test_show_as_text_and_json(printed) -> None:
    text = printed("show", "goblin-weave")
    assert "heuristic: goblin" in text
    assert text.count("against:") == 5
    assert json.loads(printed("show", "goblin-weave", "--json")) == load_library()["goblin-weave"].model_dump(
        mode="json"
    )


def test_own_file_and_unknown_ids(printed, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "- {id: rhyme, name: r, description: Rhymes., kind: topic, inoculation: R., positives: pairs, detector: sae}"
    )
    assert "rhyme" in printed("list", "--concepts-file", str(own))
    assert "Rhymes." in printed("show", "rhyme", "--concepts-file", str(own))
    assert "rhyme" in [concept.id for concept in list_concepts(own)]
    with pytest.raises(SettingsError, match="no concept `rhyme`"):
        show_concept("rhyme")
