"""``manifest.json``: what a run was made of, and which of its stages are complete."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from anatomy import artifacts
from anatomy.errors import RunError
from anatomy.settings import AuditSettings
from anatomy.types import content_hash


class Entry(BaseModel):
    """Base of what a manifest holds: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelIdentity(Entry):
    """The subject model: what it is called, where it came from, and a hash of its weights and numeric type."""

    name: str
    origin: str
    fingerprint: str


class SAEIdentity(Entry):
    """The SAE: what it is called, a hash of its weights, and the block (from 0) after which it reads."""

    name: str
    fingerprint: str
    layer: int


class Inputs(Entry):
    """What the run read: source of the rows, how texts became tokens, model and SAE; None before a stage read it."""

    rows: dict[str, Any] | None = None
    template: str | None = None
    tokenizer: str | None = None
    max_length: int | None = None
    max_prompt_length: int | None = None
    max_response_length: int | None = None
    model: ModelIdentity | None = None
    sae: SAEIdentity | None = None


class ScoredConcept(Entry):
    """What is known of the detector that scored a concept; ``held_out`` holds its figures by name."""

    detector: str
    layer: int | None
    pooling: str
    threshold: float | None
    held_out: dict[str, float | None]


class StageFacts(Entry):
    """Base of what a stage leaves in the manifest; :mod:`anatomy.runs.stage_facts` has one for each stage."""


class StageRecord(Entry):
    """One stage: whether it is complete, what made it, and what it wrote.

    ``outputs`` maps a file to its SHA-256, and a folder to a hash of the names of its files, which hold hashes of their
    bytes. ``stale`` says that an earlier stage ran again since, so that the outputs count for nothing until the inputs
    are confirmed. ``facts`` are the fields of the stage's :class:`StageFacts`, as JSON values, because each stage has
    other ones; ``Run.facts`` reads them back. A stage that leaves none, or that was not completed, has none.
    """

    status: Literal["running", "complete", "stale"]
    fingerprint: str
    outputs: dict[str, str] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    command: str = ""
    seconds: float = 0.0
    peak_memory_mb: int = 0


class Manifest(artifacts.Artifact):
    """What made the run; written last by every stage."""

    NAME = "manifest"
    VERSION = 3
    REMEDY = "run `anatomy audit` again, into another --out"

    anatomy: str = ""
    versions: dict[str, str | None] = Field(default_factory=dict)
    command: str = ""
    settings: AuditSettings | None = None
    inputs: Inputs = Inputs()
    stages: dict[str, StageRecord] = Field(default_factory=dict)

    @classmethod
    def of(cls, run_dir: Path) -> Manifest:
        """The manifest of the run at ``run_dir``.

        Raises:
            RunError: there is no run, or its manifest is broken or of another version.
        """
        if not (run_dir / artifacts.MANIFEST).is_file():
            raise RunError(f"{run_dir}: not a run directory (no {artifacts.MANIFEST}); make one with `anatomy audit`")
        return cls.read(run_dir / artifacts.MANIFEST)

    @property
    def identity(self) -> str:
        """Hash of the rows, the features and the clusters: what a cluster's id means, means nothing under another."""
        made = [self.stages[name].fingerprint for name in ("rows", "harvest", "cluster") if name in self.stages]
        return content_hash(made)[:12]

    def cluster_hashes(self) -> Mapping[str, str]:
        """Hashes of the clusterings: what was said of clusters before counts for nothing once these change."""
        record = self.stages.get("cluster")
        outputs = record.outputs if record else {}
        return {name: outputs.get(name, "") for name in (artifacts.CLUSTERS, artifacts.DATA_CLUSTERS)}

    def hypothesis_hashes(self) -> Mapping[str, str]:
        """Hashes of what was tested: a null check of other tests counts for nothing."""
        record = self.stages.get("hypotheses")
        return dict(record.outputs) if record else {}
