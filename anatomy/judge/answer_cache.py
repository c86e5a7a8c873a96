"""Answers of a judge on disk: one SQLite file, a row for each request, safe after a kill and from several threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from anatomy.errors import JudgeError

WAIT_S = 30.0
"""How long a writer waits for another one."""


class AnswerCache:
    """Maps the hash of a request to the text of its answer.

    Raises:
        JudgeError: on any use, where the file cannot be written or is no SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> str | None:
        """The answer to the request, or None."""
        with self._open() as database:
            row = database.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str) -> None:
        """Keep an answer; it is on disk when this returns."""
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use, in a transaction: connections do not cross threads."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database, database:
                found = database.execute(
                    "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
                ).fetchall()
                if found not in ([], [("table", "answers")]):  # views and triggers would run what somebody else wrote
                    raise sqlite3.DatabaseError("it holds more than answers")
                database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise JudgeError(f"{self.path}: cannot be used as the judge's cache ({error}); delete or move it") from None
