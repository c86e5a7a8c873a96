"""Names that a language model gave to clusters (``names.json``), as long as the clusters are those that it named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anatomy import artifacts


def named_clusters(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What names are made of: hashes of the run's clusterings. With other clusters, names count for nothing."""
    outputs = manifest.get("stages", {}).get("cluster", {}).get("outputs", {})
    return {name: str(outputs.get(name)) for name in (artifacts.CLUSTERS, artifacts.DATA_CLUSTERS)}


def read_names(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Cluster id → ``title``, ``description``, ``score`` with ``low`` and ``high``, ``verified`` and the rest.

    Empty where nobody asked for names, or where the clusters have changed since.
    """
    path = run_dir / artifacts.NAMES
    if not path.is_file():
        return {}
    found = artifacts.read_json(path)
    current = named_clusters(artifacts.read_json(run_dir / artifacts.MANIFEST))
    return dict(found["names"]) if found.get("made_of") == current else {}


def verified_titles(names: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Cluster id → title, of those that passed their blind test: only these stand in place of offline labels."""
    return {cluster: str(told["title"]) for cluster, told in names.items() if told["verified"]}
