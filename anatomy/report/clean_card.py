"""The dataset card of a set that was read, checked and written again."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from anatomy import __version__, artifacts
from anatomy.data.faults import FLAGS, REASONS
from anatomy.data.health import RowHealth
from anatomy.report.markdown_table import escape, markdown_table

FILES = {
    artifacts.CLEANED: "the pairs: `prompt`, `chosen` and `rejected` as message lists, the other columns of plain "
    "values, and `source_rows`, the rows of the source (from 0) that a pair was made of",
    artifacts.LEFT_OUT: "every row of the source that is in no pair, as it stands there, and why",
    artifacts.COLUMN_MAP: "which column of the source has which role; `anatomy check SOURCE --map` reads it",
}


def front_matter() -> str:
    """The head of a card, from which the Hub and `datasets` know where the rows are."""
    files = [{"split": "train", "path": artifacts.CLEANED}]
    head = {"tags": ["preference", "dpo"], "configs": [{"config_name": "default", "data_files": files}]}
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"


def clean_card(name: str, source: Mapping[str, str], found: RowHealth, left_out: int, native: bool) -> str:
    """The card; ``source`` has the hash or the commit of what was read, ``native`` says that messages are lists."""
    parts = [
        front_matter(),
        f"# {escape(name)}, checked\n",
        f"{found.retained:,} preference pairs of {escape(name)}, read as `{escape(found.format)}` and written by "
        f"`anatomy check --write` (anatomy {__version__}). {left_out:,} rows of the source are left out.\n",
        *([] if native else ["Tool calls mix types that Parquet cannot hold: message lists are JSON text here.\n"]),
        markdown_table(("file", "what it holds"), [(f"`{file}`", what) for file, what in FILES.items()], verbatim=True),
        "\n## Source\n",
        markdown_table(("source", "SHA-256 or commit"), source.items()),
    ]
    for title, meanings, noted in (
        ("Not retained", REASONS, found.reasons),
        ("Retained, but odd", FLAGS, found.flags),
    ):
        if noted:
            lines = [(reason, f"{entry.count:,}", meanings.get(reason, "")) for reason, entry in noted.items()]
            parts += [f"\n## {title}\n", markdown_table(("reason", "number", "meaning"), lines, right=(1,))]
    if found.reading is not None:
        parts += ["\n## Columns\n", markdown_table(("role", "column of the source"), found.reading.map.items())]
        parts += ["\n" + "\n".join(f"- {escape(note)}" for note in found.reading.notes)] if found.reading.notes else []
    return "\n".join(parts) + "\n"
