"""All stages of an audit in the order that their declarations give, and how one is performed."""

from __future__ import annotations

from functools import partial
from graphlib import TopologicalSorter

from anatomy.runs.run import Run
from anatomy.stages.cluster_stage import CLUSTER_STAGE
from anatomy.stages.corpus_stage import CORPUS_STAGE
from anatomy.stages.harvest_stage import HARVEST_STAGE
from anatomy.stages.hypotheses_stage import HYPOTHESES_STAGE
from anatomy.stages.labels_stage import LABELS_STAGE
from anatomy.stages.own_stage import OWN_STAGE
from anatomy.stages.report_stage import REPORT_STAGE
from anatomy.stages.rows_stage import ROWS_STAGE
from anatomy.stages.scored_tokens_stage import SCORED_TOKENS_STAGE
from anatomy.stages.scores_stage import SCORES_STAGE
from anatomy.stages.stage import Audit, Stage
from anatomy.stages.summary_stage import SUMMARY_STAGE
from anatomy.stages.tokens_stage import TOKENS_STAGE
from anatomy.types import content_hash, file_hash

DECLARED = (
    CLUSTER_STAGE, CORPUS_STAGE, HARVEST_STAGE, HYPOTHESES_STAGE, LABELS_STAGE, OWN_STAGE, REPORT_STAGE, ROWS_STAGE,
    SCORED_TOKENS_STAGE, SCORES_STAGE, SUMMARY_STAGE, TOKENS_STAGE,
)  # fmt: skip
MAKER = {output: stage for stage in DECLARED for output in stage.outputs}
"""Artifact → the stage that writes it."""


def _before(stage: Stage) -> list[Stage]:
    """Stages whose outputs a stage reads."""
    return [MAKER[name] for name in dict.fromkeys((*stage.inputs, *stage.optional)) if name in MAKER]


def _ordered() -> tuple[Stage, ...]:
    by_name = {stage.name: stage for stage in DECLARED}
    graph = {stage.name: sorted(earlier.name for earlier in _before(stage)) for stage in DECLARED}
    return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())


STAGES = _ordered()
"""All stages; each stands behind those whose outputs it reads."""


def dependents(stage: Stage) -> tuple[Stage, ...]:
    """The stages that read an output of this one, directly or through others, in order."""
    found = {stage.name}
    for later in STAGES:
        if any(earlier.name in found for earlier in _before(later)):
            found.add(later.name)
    return tuple(later for later in STAGES if later.name in found - {stage.name})


def perform(audit: Audit, *stages: Stage) -> None:
    """Do stages, in the order given, unless they are complete and what they read is unchanged.

    Raises:
        RunError: a stage whose output is read is not complete.
        AnatomyError: as the stage's work.
    """
    for stage in stages:
        written = stage.outputs if stage.written is None else stage.written(audit)
        later = [other.name for other in dependents(stage)]
        audit.run.stage(stage.name, _fingerprint(audit, stage), written, partial(stage.work, audit), later)
        stage.after(audit)


def _fingerprint(audit: Audit, stage: Stage) -> str:
    """Hash of everything that can change a stage's outputs: settings, what it reads, and what it computes."""
    parts = {
        "inputs": {name: _input_hash(audit.run, name) for name in stage.inputs},
        "optional": {name: _optional_hashes(audit.run, name) for name in stage.optional},
        "settings": audit.settings.model_dump(mode="json", include=set(stage.settings)),
        **stage.computed(audit),
    }
    return content_hash([stage.name, parts])


def _input_hash(run: Run, name: str) -> object:
    """Hash of a file or folder; of folders in ``name``, what made them and the hash of each."""
    record = run.require(MAKER[name].name)
    if name in record.outputs:
        return record.outputs[name]
    inside = {path: digest for path, digest in record.outputs.items() if path.startswith(f"{name}/")}
    return [record.fingerprint, inside]


def _optional_hashes(run: Run, name: str) -> dict[str, str]:
    maker = MAKER.get(name)
    record = None if maker is None else run.manifest.stages.get(maker.name)
    if record is not None and name in record.outputs:
        return {name: record.outputs[name]}
    paths = sorted(path for path in run.path.glob(name) if path.is_file())
    return {str(path.relative_to(run.path)): file_hash(path) for path in paths}
