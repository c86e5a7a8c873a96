"""``anatomy sae health``: L0, variance explained and dead share of an SAE on rows, beside what it claims."""

from __future__ import annotations

from typing import Any

from anatomy.sae.reconstruction import SAEHealth
from anatomy.settings import HarvestSettings, load_settings
from anatomy.workflows.outcome import Where
from anatomy.workflows.pilot import pilot


def sae_health(rows: str, *, tokens: int = 100_000, settings: Where | None = None, **flags: Any) -> SAEHealth:
    """Return the health of an SAE, measured on about ``tokens`` tokens of the rows.

    Raises:
        AnatomyError: settings, rows, model or SAE cannot be used.
    """
    return pilot(load_settings(HarvestSettings, {"rows": rows, **flags}, settings), tokens).sae
