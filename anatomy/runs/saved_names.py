"""Names that a language model gave to clusters (``names.json``), as long as the clusters are those that it named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anatomy import artifacts
from anatomy.runs.manifest import Manifest


def read_names(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Cluster id → ``title``, ``description``, ``score`` with ``low`` and ``high``, ``verified`` and the rest.

    Empty if nobody asked for names, or if the clusters have changed since.
    """
    path = run_dir / artifacts.NAMES
    if not path.is_file():
        return {}
    found = artifacts.read_json(path)
    return dict(found["names"]) if found.get("made_of") == Manifest.of(run_dir).cluster_hashes() else {}


def verified_titles(names: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Cluster id → title, of those that passed their blind test: only these stand in place of offline labels."""
    return {cluster: str(name["title"]) for cluster, name in names.items() if name["verified"]}
