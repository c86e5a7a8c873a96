"""What is in the checkout, so that a test that writes there is found."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
_TOOLS = {"__pycache__", "node_modules", "build", "dist"}


def files(root: Path = ROOT) -> set[str]:
    """Files below a folder, without those that tools keep for themselves; some milliseconds."""
    found = set()
    for parent, folders, names in os.walk(root):
        top = Path(parent) == root
        folders[:] = [name for name in folders if name not in _TOOLS and not (top and name.startswith("."))]
        folders[:] = [name for name in folders if not name.endswith(".egg-info")]
        found |= {os.path.join(parent, name) for name in names if not (top and name.startswith("."))}
    return found


def require_untouched(known: set[str], root: Path = ROOT) -> None:
    """Fail, once for each, if there are files that are not ``known``."""
    new = files(root) - known
    known |= new
    assert not new, f"files were written into the checkout: {sorted(new)}"
