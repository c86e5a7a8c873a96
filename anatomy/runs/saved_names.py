"""Names that a language model gave to clusters (``names.json``), as long as the clusters are those that it named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from anatomy import artifacts
from anatomy.artifacts import Artifact
from anatomy.runs.manifest import Manifest


class ClusterName(BaseModel):
    """The name of one cluster and how it did in its blind test; an empty title where no name was given.

    ``score`` is balanced accuracy (0.5 is chance) with its 95 % interval; None where no test was made or answered. The
    counts are of held-out texts: ``hits`` of ``strong`` ones were called fitting, and ``false_alarms`` of ``quiet``
    ones; ``abstained`` of ``texts`` got no answer, for the reasons in ``failures``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    description: str
    verified: bool
    reason: str | None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    hits: int = 0
    strong: int = 0
    false_alarms: int = 0
    quiet: int = 0
    abstained: int = 0
    texts: int = 0
    failures: dict[str, int] = {}


class ClusterNames(Artifact):
    """``names.json``: names by cluster id, the clusterings that they are of, and how they were asked for."""

    NAME: ClassVar[str] = "file of names"
    REMEDY: ClassVar[str] = "run `anatomy name` again"

    made_of: dict[str, str]
    settings: dict[str, Any]
    seed: int
    names: dict[str, ClusterName]


def read_names(run_dir: Path) -> dict[str, ClusterName]:
    """Names by cluster id; empty where nobody asked for names, or where the clusters have changed since.

    Raises:
        RunError: ``names.json`` is broken, or of another schema version.
    """
    path = run_dir / artifacts.NAMES
    if not path.is_file():
        return {}
    found = ClusterNames.read(path)
    return found.names if found.made_of == Manifest.of(run_dir).cluster_hashes() else {}


def verified_titles(names: Mapping[str, ClusterName]) -> dict[str, str]:
    """Cluster id → title, of those that passed their blind test: only these stand in place of offline labels."""
    return {cluster: name.title for cluster, name in names.items() if name.verified}
