"""``anatomy audit --dry-run``: what an audit would cost, measured on a few rows with the real model and SAE."""

from __future__ import annotations

from typing import Any, NamedTuple

from anatomy.settings import AuditSettings, load_settings
from anatomy.workflows.outcome import Where
from anatomy.workflows.pilot import pilot

PILOT_TOKENS = 8_192
"""Tokens run to measure speed and size; the padded tokens of one default batch."""

MOST_CLUSTERS = 512
"""Clusters of one kind, at most by default."""


class AuditCost(NamedTuple):
    """What an audit would cost.

    Attributes:
        rows: rows of the set.
        retained: rows without a fault.
        tokens: tokens through the model, both sides.
        seconds: time of the harvest, which is most of an audit.
        bytes: size of the pooled features.
        memory: bytes of the analysis, at most, beside model and SAE.
        pilot_rows: rows that speed and size were measured on.
        speed: tokens per second there.
    """

    rows: int
    retained: int
    tokens: float
    seconds: float
    bytes: float
    memory: int
    pilot_rows: int
    speed: float

    def __str__(self) -> str:
        return "\n".join(
            [
                f"rows:    {self.rows:,} read, {self.retained:,} retained",
                f"tokens:  about {self.tokens:,.0f} through the model",
                f"time:    about {self.seconds / 60:,.1f} minutes of harvest "
                f"({self.speed:,.0f} tokens/s on {self.pilot_rows} rows here)",
                f"disk:    about {self.bytes / 1e6:,.0f} MB of features",
                f"memory:  model and SAE, then up to {max(1, self.memory / 1e6):,.0f} MB for the analysis",
            ]
        )


def estimate(rows: str, *, settings: Where | None = None, **flags: Any) -> AuditCost:
    """Return what :func:`anatomy.workflows.audit.audit` with the same arguments would cost; write nothing.

    Raises:
        AnatomyError: settings, rows, model or SAE cannot be used.
    """
    found = pilot(load_settings(AuditSettings, {"rows": rows, **flags}, settings), PILOT_TOKENS)
    retained = found.health.retained
    scale = retained / found.rows
    return AuditCost(
        rows=found.health.rows,
        retained=retained,
        tokens=found.tokens * scale,
        seconds=found.seconds * scale,
        bytes=found.bytes * scale,
        memory=3 * MOST_CLUSTERS * 4 * retained,  # responses, shifts and prompts, in float32
        pilot_rows=found.rows,
        speed=found.tokens / found.seconds,
    )
