"""What ``anatomy concepts`` prints."""

import json
from pathlib import Path

import pytest

from anatomy.concepts.concept import load_library
from anatomy.errors import SettingsError
from anatomy.workflows.concepts import list_concepts, show_concept


def test_table_names_every_concept_once_by_kind() -> None:
    lines = list_concepts().splitlines()
    assert lines[0].split() == ["id", "name", "kind", "direction", "detector"]
    ids = [line.split()[0] for line in lines[2:-2] if line]
    assert sorted(ids) == sorted(load_library())
    blocks = list_concepts().split("\n\n")[1:-1]
    assert len(blocks) == 4  # integrity, safety, style, trait
    assert max(map(len, lines)) <= 110


def test_json_is_the_same_list() -> None:
    rows = json.loads(list_concepts(as_json=True))
    assert {row["id"] for row in rows} == set(load_library())
    assert set(rows[0]) == {"id", "name", "kind", "direction", "detector"}


def test_show_as_text_and_json() -> None:
    text = show_concept("goblin-weave")
    assert "heuristic: goblin" in text
    assert text.count("against:") == 5
    assert json.loads(show_concept("goblin-weave", as_json=True)) == load_library()["goblin-weave"].model_dump(
        mode="json"
    )


def test_own_file_and_unknown_ids(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "- {id: rhyme, name: r, description: Rhymes., kind: topic, inoculation: R., positives: pairs, detector: sae}"
    )
    assert "rhyme" in list_concepts(extra=own)
    assert "Rhymes." in show_concept("rhyme", extra=own)
    with pytest.raises(SettingsError, match="no concept `rhyme`"):
        show_concept("rhyme")
