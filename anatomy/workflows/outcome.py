"""What a workflow hands back: where it wrote, and what it has to say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

Where = str | Path
"""A place on disk, as a user gives it."""


@dataclass(frozen=True)
class Outcome:
    """The end of a workflow.

    Attributes:
        out: folder or file that it wrote; None if it wrote nothing.
        text: what the command line prints; also ``str(outcome)``.
    """

    out: Path | None
    text: str

    def __str__(self) -> str:
        return self.text
