"""Folders that commands write into: claimed, never somebody else's, and only our own leftovers are deleted."""

import errno
import os
from pathlib import Path

import pytest

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.runs.out_folder import claimed, shared

LEFT = ".rows.parquet.123.anatomy-part"


def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path):
    files = {"rows.parquet": "mine", ".a.part": "mine", LEFT: "mine", "manifest.json": '{"name": "a web page"}'}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match="holds files without a mark"), claimed(tmp_path):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize("made", [False, True])
def test_an_empty_folder_is_claimed_and_claimed_again(tmp_path, made):
    folder = tmp_path / "out"
    if made:
        folder.mkdir()
    for _ in range(2):
        with claimed(folder):
            (folder / "rows.parquet").write_text("ours")


def test_a_copied_run_is_ours_without_hidden_files(tmp_path):
    (tmp_path / artifacts.MANIFEST).write_text('{"schema_version": 2}')
    with claimed(tmp_path):
        pass


def test_only_what_our_processes_left_is_deleted_and_no_link_is_followed(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    with claimed(out), claimed(out / "inner"):
        pass
    (out / "features").mkdir()
    elsewhere.mkdir()
    os.symlink(elsewhere, out / "link")
    kept = [out / ".notes.part", out / ".rows.parquet.12.part", elsewhere / LEFT, out / "inner" / LEFT]
    for path in [*kept, out / LEFT, out / "features" / LEFT]:
        path.touch()
    with claimed(out):
        assert not (out / LEFT).exists()
        assert not (out / "features" / LEFT).exists()
    assert all(path.exists() for path in kept)


def test_one_writes_or_several_read(tmp_path):
    with claimed(tmp_path):
        for other in (claimed, shared):
            with pytest.raises(RunError, match="another anatomy process"), other(tmp_path):
                pass
    with (
        shared(tmp_path),
        shared(tmp_path),
        pytest.raises(RunError, match="another anatomy process"),
        claimed(tmp_path),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with shared(tmp_path):
        pass


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="not usable as an output folder"), claimed(tmp_path / "file"):
        pass
