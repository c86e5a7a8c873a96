"""The one writer of CSV: no cell of it is a formula to a spreadsheet program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from anatomy.text.visible import without_surrogates

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def plain_cell(value: Any) -> Any:
    """``value`` with an apostrophe in front if it is text that a spreadsheet program would take for a formula.

    Those begin with ``=``, ``+``, ``-`` or ``@``, also wide ones and behind white space, or with a tab or line break.
    Numbers stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = without_surrogates(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 with a line of column names; texts as :func:`plain_cell` has them."""
    safe = frame.copy(deep=False)
    for place, (_, column) in enumerate(frame.items()):
        if not pd.api.types.is_numeric_dtype(column):
            safe.isetitem(place, column.map(plain_cell, na_action="ignore").array)
    safe.columns = [plain_cell(name) for name in frame.columns]
    safe.to_csv(path, index=False, lineterminator="\r\n")  # else a carriage return in a cell would begin a line
