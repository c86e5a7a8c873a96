"""``anatomy cluster``: cluster a harvested run again, with other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anatomy.settings import ClusterSettings
from anatomy.stages.cluster_stage import CLUSTER_STAGE
from anatomy.workflows.open_run import AuditedRun
from anatomy.workflows.outcome import Where
from anatomy.workflows.rerun import rerun


def cluster(run: Where, *, settings: Where | None = None, **flags: Any) -> AuditedRun:
    """Return the run, clustered again with the :class:`anatomy.settings.ClusterSettings` that are given.

    Raises:
        RunError: there is no harvested run there.
        SettingsError: a setting is wrong or unknown.
    """
    rerun(Path(run), ClusterSettings, flags, settings, until=CLUSTER_STAGE)
    return AuditedRun(Path(run))
