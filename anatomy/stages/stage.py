"""What a stage of an audit declares: the artifacts and settings that it reads, what it writes, and its function.

Order, fingerprints and what becomes stale follow from the declarations (:mod:`anatomy.stages.audit_stages`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anatomy.concepts.scorer import Scorer
from anatomy.rollouts.rollout_set import Rollouts
from anatomy.runs.run import Run
from anatomy.sae.model_bundle import ModelBundle
from anatomy.settings import AuditSettings


@dataclass(frozen=True)
class Audit:
    """What the stages of an audit work with.

    Attributes:
        scorers: detectors of the concepts.
        own: rollouts of the model before training, if there are any.
    """

    run: Run
    settings: AuditSettings
    bundle: ModelBundle
    scorers: Sequence[Scorer] = ()
    own: Rollouts | None = None


Facts = Mapping[str, Any]
"""JSON values: counts and resolved settings that the manifest keeps, or what a fingerprint is made of."""


def _nothing(audit: Audit) -> Facts:
    return {}


def _no_follow_up(audit: Audit) -> None:
    return None


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        work: writes the outputs; returns facts for the manifest.
        outputs: names of the artifacts that it may write; no other stage writes them.
        inputs: artifacts of earlier stages that it reads, which must be complete.
        optional: artifacts, by name or as a pattern of paths, that it reads if they are there.
        settings: names of the fields of :class:`AuditSettings` that it reads.
        computed: what else decides the outputs, as fingerprints of models, computed before the work.
        written: which outputs this audit has, if not always all.
        after: what follows the stage, whether its work was done now or before.
    """

    name: str
    work: Callable[[Audit], Facts]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    settings: frozenset[str] = frozenset()
    computed: Callable[[Audit], Facts] = _nothing
    written: Callable[[Audit], Sequence[str]] | None = None
    after: Callable[[Audit], None] = _no_follow_up
