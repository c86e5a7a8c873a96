"""Put records of one prompt, or of one pair, together on disk: memory holds one group at a time."""

from __future__ import annotations

import itertools
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from anatomy.data.judged import Judged
from anatomy.errors import RowsError

MOST_IN_GROUP = 10_000
CACHE_KIB = 8_000


class GroupIndex:
    """Judged records by key, in a temporary database; read back group by group, in the order of first appearance."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="anatomy-")
        self._database = sqlite3.connect(Path(self._folder.name) / "groups.sqlite", isolation_level=None)
        for line in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            self._database.execute(f"PRAGMA {line}")
        self._database.execute("CREATE TABLE part (place INTEGER PRIMARY KEY, key BLOB, record TEXT)")
        self._database.execute("BEGIN")
        self.size = 0

    def __enter__(self) -> GroupIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, key: bytes, judged: Judged) -> None:
        """Take a record into account."""
        self._database.execute("INSERT INTO part (key, record) VALUES (?, ?)", (key, json.dumps(judged._asdict())))
        self.size += 1

    def groups(self) -> Iterator[list[Judged]]:
        """The records of each key together.

        Raises:
            RowsError: so many records share a key that it cannot be a prompt's.
        """
        self._database.execute("CREATE INDEX by_key ON part (key)")
        lines = self._database.execute(
            "SELECT part.key, record FROM part JOIN (SELECT key, MIN(place) AS first FROM part GROUP BY key) AS groups "
            "ON part.key = groups.key ORDER BY first, place"
        )
        for _, group in itertools.groupby(lines, key=lambda line: line[0]):
            found = [_judged(record) for _, record in itertools.islice(group, MOST_IN_GROUP + 1)]
            if len(found) > MOST_IN_GROUP:
                raise RowsError(
                    f"row {found[0].rows[0] + 1} and more than {MOST_IN_GROUP:,} others have the same prompt; name the "
                    "prompt's column with `--map prompt=COLUMN`"
                )
            yield found

    def count(self) -> int:
        """How many groups there are."""
        (found,) = self._database.execute("SELECT COUNT(DISTINCT key) FROM part").fetchone()
        return int(found)


def _judged(record: str) -> Judged:
    found = Judged(**json.loads(record))
    return found._replace(rows=tuple(found.rows))
