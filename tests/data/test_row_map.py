"""A map of columns, as a person writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from anatomy.data.row_map import RowMap
from anatomy.errors import RowsError, SettingsError
from anatomy.settings import RowSettings, load_settings


def test_a_map_is_written_on_one_line_or_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    path.write_text("prompt: question.full_text\nchosen: answers.0\n")
    on_one_line = load_settings(RowSettings, {"rows": "x", "map": "prompt=question.full_text, chosen=answers.0"})
    assert on_one_line.map == load_settings(RowSettings, {"rows": "x", "map": str(path)}).map
    assert RowMap.of(on_one_line.map or {}).named() == {"prompt": "question.full_text", "chosen": "answers.0"}


@pytest.mark.parametrize("text", ["absent.yaml", "prompt=a,b", ","])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"`map` = .*write role=column,role=column"):
        load_settings(RowSettings, {"rows": "x", "map": text})


def test_an_unknown_role_or_layout_is_refused_with_near_names() -> None:
    with pytest.raises(RowsError, match=r"no role `chosn`; did you mean `chosen`"):
        RowMap.of({"chosn": "a"})
    with pytest.raises(RowsError, match=r"no layout `pair`; layouts: pairs, winner"):
        RowMap.of({"layout": "pair"})
