"""What a stage of an audit declares: the artifacts and settings that it reads, what it writes, and its function.

Order, fingerprints and what becomes stale follow from the declarations (:mod:`anatomy.stages.audit_stages`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from anatomy.concepts.scorer import Scorer
from anatomy.rollouts.rollout_set import Rollouts
from anatomy.runs.manifest import StageFacts
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


FingerprintPart = Mapping[str, object]
"""JSON values that a fingerprint is made of, by name: each stage has its own."""


def _nothing(audit: Audit) -> FingerprintPart:
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
    work: Callable[[Audit], StageFacts | None]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    settings: frozenset[str] = frozenset()
    computed: Callable[[Audit], FingerprintPart] = _nothing
    written: Callable[[Audit], Sequence[str]] | None = None
    after: Callable[[Audit], None] = _no_follow_up
