"""``anatomy hypotheses``: test a clustered run again, with other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.settings import RetestSettings
from anatomy.workflows.open_run import AuditedRun
from anatomy.workflows.outcome import Where
from anatomy.workflows.rerun import rerun


def hypotheses(run: Where, *, settings: Where | None = None, **flags: Any) -> AuditedRun:
    """Return the run, tested again with the :class:`anatomy.settings.RetestSettings` that are given.

    Raises:
        RunError: there is no harvested run there.
        SettingsError: a setting is wrong or unknown.
    """
    rerun(Path(run), RetestSettings, flags, settings)
    return AuditedRun(Path(run))
