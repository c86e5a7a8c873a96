"""``rows.parquet`` gives back what was written, in order, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from anatomy.data import rows_table
from anatomy.data.faults import Fault
from anatomy.data.rows_table import read_rows, write_rows
from anatomy.errors import RunError
from anatomy.types import Pair


def pair(index: int) -> Pair:
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": None}}}]}
    return Pair(
        index,
        [{"role": "system", "content": "S"}, {"role": "user", "content": f"Q{index} 😀\n"}],
        [call, {"role": "tool", "content": "4", "name": "f"}, {"role": "assistant", "content": "A"}],
        [{"role": "assistant", "content": "B"}],
        metadata={"source": "x\ud800", "score": 1.5},
        tools=[{"type": "function", "function": {"name": "f", "parameters": None}}] if index % 2 else None,
        chat_template_kwargs={"enable_thinking": False} if index % 3 else None,
    )


ROWS = [(pair(0), "retained"), (Fault(1, "non-text", "…"), "non-text"), (pair(2), "tie"), (pair(3), "retained")]


def test_retained_pairs_come_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    assert write_rows(path, ROWS) == 4
    stored = list(read_rows(path, batch=2))
    assert [row.pair for row in stored] == [pair(0), pair(3)]
    assert [(row.row_id, row.prompt_id) for row in stored] == [(pair(n).row_id, pair(n).prompt_id) for n in (0, 3)]


def test_table_holds_one_line_for_each_source_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(path, ROWS)
    table = pq.read_table(path).to_pydict()
    assert table["index"] == [0, 1, 2, 3]
    assert table["status"] == ["retained", "non-text", "tie", "retained"]
    assert table["row_id"][1] is None
    assert table["prompt"][1] is None
    assert table["chosen"][2][1] == {"role": "tool", "content": "4", "extra": '{"name": "f"}'}


def test_batches_change_nothing_and_bytes_repeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(pair(index), "retained") for index in range(50)]
    for name in ("a", "b"):
        write_rows(tmp_path / name, rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    monkeypatch.setattr(rows_table, "GROUP_ROWS", 7)
    write_rows(tmp_path / "c", rows)
    assert pq.read_table(tmp_path / "a") == pq.read_table(tmp_path / "c")
    assert list(read_rows(tmp_path / "a", batch=3)) == list(read_rows(tmp_path / "c"))


def test_a_failing_stream_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(path, ROWS)
    before = path.read_bytes()

    def failing():  # type: ignore[no-untyped-def]
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, failing())
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["rows.parquet"]


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"rows\.parquet: not found; run `anatomy audit`"):
        next(read_rows(tmp_path / "rows.parquet"))


@pytest.mark.parametrize("column", ["row_id", "prompt_id", "chosen"])
def test_content_that_is_not_that_of_its_ids_is_refused(column: str, tmp_path: Path) -> None:
    """Also where the file before it, which this process has read, was sound."""
    path = tmp_path / "rows.parquet"
    write_rows(path, [(pair(0), "retained"), (pair(3), "retained")])
    assert len(list(read_rows(path))) == len(list(read_rows(path))) == 2
    table = pq.read_table(path)
    other = table[column].take([0, 0]) if column != "chosen" else table["rejected"]
    pq.write_table(table.set_column(table.column_names.index(column), table.field(column), other), path)
    for _ in range(2):
        with pytest.raises(RunError, match="its content is not that of its ids"):
            list(read_rows(path))
