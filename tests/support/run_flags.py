"""Flags that name again what a run was made with: a run directory does not choose what is loaded."""

from __future__ import annotations

from pathlib import Path

from anatomy.runs.manifest import Manifest


def flags_for(run: Path, *names: str) -> list[str]:
    """``--model M --sae S`` for the names, as the run's manifest has them."""
    settings = Manifest.of(run).settings
    assert settings is not None
    values = {name: getattr(settings, name) for name in names}
    return [word for name, value in values.items() if value for word in (f"--{name.replace('_', '-')}", str(value))]
