"""How the rows of one file are read, its name for people, and what they should know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anatomy.data.column_names import CONTINUED, MEDIA, corrected
from anatomy.data.columns import Column, getter, has_media, kind_of, long_text
from anatomy.data.messages import opens_conversation
from anatomy.data.row_map import RowMap
from anatomy.data.transcripts import HH, Style
from anatomy.data.winners import Winner
from anatomy.errors import RowsError, shown

MOST_UNREAD = 8
EXAMPLE_CHARS = 60
USED = ("tools", "chat_template_kwargs")


@dataclass(frozen=True)
class FileReading:
    """The layout, the roles of columns, and how texts are taken apart.

    ``rivals`` are winner columns beside ``winner``, which have to agree with it; ``media`` holds columns of images and
    the like that some rows have; ``unread`` columns of texts that no role has, each with the start of a value.
    """

    layout: str
    roles: RowMap
    format: str = ""
    style: Style | None = None
    cut: bool = False
    winner: Winner | None = None
    rivals: tuple[Winner, ...] = ()
    media: tuple[str, ...] = ()
    tools: str = "tools"
    notes: tuple[str, ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_voters(self) -> bool:
        """Whether each record is one person's vote on a pair."""
        labelled = self.layout in ("pairs", "winner") or (self.layout == "ranking" and self.winner is not None)
        return labelled and self.roles.vote is not None and "." not in self.roles.vote

    @property
    def joins(self) -> bool:
        """Whether records have to be joined before they are pairs."""
        return self.layout in ("pointwise", "unpaired") or self.has_voters


def format_of(reading: FileReading, records: Sequence[Mapping[str, Any]]) -> str:
    """The name of the format: one of ``--format`` for named pairs, else the layout."""
    roles = reading.roles
    if reading.layout != "pairs" or not roles.chosen or not roles.rejected:
        return reading.layout
    if reading.style is not None:
        return "hh" if reading.style is HH else "transcripts"
    if roles.prompt is None:
        return "implicit-text" if reading.cut else "implicit"
    if roles.prompt.startswith("conversation"):
        return "sharegpt"
    sides = [getter(name)(values) for name in (roles.chosen, roles.rejected) for values in records]
    return "full-conversations" if 2 * sum(map(opens_conversation, sides)) > len(sides) else "explicit"


def notes_of(reading: FileReading, columns: Mapping[str, Column]) -> list[str]:
    """Names read with a typo, how transcripts are marked, and texts that may be the start of the responses."""
    notes = []
    for name in reading.roles.named().values():
        for part in name.split("+"):
            if part in columns and (known := corrected(part)):
                notes.append(f"`{part}` is read as `{known}`")
    if reading.style is not None and reading.style is not HH:
        notes.append(f"texts are transcripts with turns marked {reading.style.name}")
    if reading.has_voters:
        notes.append(f"rows are votes of `{reading.roles.vote}`: those on one pair are put together by majority")
    used = _used(reading)
    prompt = reading.roles.prompt or "COLUMN"
    for column in columns.values():
        if column.name not in used and column.kind == "text" and set(column.words) & set(CONTINUED):
            notes.append(
                f"`{column.name}` may be where the responses begin: `--map prompt={prompt}+{column.name}` puts it there"
            )
    asked = columns.get(prompt)
    if asked is not None and asked.kind == "texts":
        notes.append(f"`{prompt}` holds lists of texts: turns that alternate, the last of them the user's")
    if reading.layout == "ranking" and reading.roles.chosen:
        notes.append("lists of responses: the first of either side make a pair; `--pairs all` makes every pair")
    elif reading.layout == "ranking":
        notes.append("the best response is paired with the worst; `--pairs all` or `adjacent` make more pairs of a row")
    return notes


def unread_of(
    reading: FileReading, columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Columns of texts that no role has, each with the start of a value; not those that repeat a column with a role."""
    used = _used(reading)
    held = [getter(name) for name in used]
    found: dict[str, str] = {}
    for column in columns.values():
        if column.name in used or column.name.split(".")[0] in USED or not long_text(column):
            continue
        get = getter(column.name)
        if not all(any(get(values) == other(values) for other in held) for values in records if get(values)):
            found[column.name] = _start(next(iter(column.filled)))
    return dict(list(found.items())[:MOST_UNREAD])


def _start(value: Any) -> str:
    if kind_of(value) == "messages" and isinstance(value, list) and isinstance(value[0], dict):
        value = value[0].get("content") or value[0].get("value") or value
    text = value if isinstance(value, str) else shown(value, EXAMPLE_CHARS)
    line = " ".join(text[: 4 * EXAMPLE_CHARS].split())
    return line if len(line) <= EXAMPLE_CHARS else line[: EXAMPLE_CHARS - 1] + "…"


def _used(reading: FileReading) -> set[str]:
    """The columns that a role has."""
    parts = [part for name in reading.roles.named().values() for part in (name, *name.split("+"))]
    return {*parts, *(part.split(".")[0] for part in parts)}


def without_media(
    reading: FileReading, columns: Mapping[str, Column], records: Sequence[Mapping[str, Any]]
) -> FileReading:
    """The reading with its columns of images and the like.

    Raises:
        RowsError: most rows of the set have some.
    """
    media = tuple(
        column.name
        for column in columns.values()
        if any(kind_of(value) == "media" and isinstance(value, dict | list) for value in column.values)
        or (column.kind == "media" and set(column.words) & set(MEDIA) and "path" not in column.words)
    )
    shares = {name: sum(kind_of(getter(name)(values)) == "media" for values in records) for name in media}
    for column in columns.values():
        shares[column.name] = max(shares.get(column.name, 0), sum(map(has_media, column.values)))
    name = max(shares, key=lambda name: shares[name], default="")
    if name and 2 * shares[name] > len(records):
        raise RowsError(
            f"the responses are about what column `{name}` holds (images, audio or video), and only text is read here; "
            "name a set of texts"
        )
    return replace(reading, media=media)
