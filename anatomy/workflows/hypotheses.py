"""``anatomy hypotheses``: test a clustered run again, with other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.settings import HypothesisSettings
from anatomy.workflows.open_run import AuditedRun
from anatomy.workflows.outcome import Where
from anatomy.workflows.rerun import rerun


def hypotheses(run: Where, *, settings: Where | None = None, **flags: Any) -> AuditedRun:
    """Return the run, tested again with the :class:`anatomy.settings.HypothesisSettings` that are given.

    Raises:
        RunError: there is no harvested run there.
        SettingsError: a setting is wrong or unknown.
    """
    rerun(Path(run), HypothesisSettings, flags, settings)
    return AuditedRun(Path(run))
