"""Scores: chosen and rejected responses of every row, scored by each detector that is asked for."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.concepts.scorer import Measured, Scorer
from anatomy.concepts.scores import score_rows
from anatomy.progress import progress_bar
from anatomy.runs.manifest import ScoredConcept
from anatomy.runs.stage_facts import ScoresFacts
from anatomy.stages.stage import Audit, FingerprintPart, Stage
from anatomy.types import content_hash


def _read_by(audit: Audit) -> FingerprintPart:
    """What decides the scores of a detector, next to its own fingerprint and the rows."""
    read: dict[str, object] = {
        "tokens": audit.bundle.token_settings(),
        "batch_tokens": audit.settings.batch_tokens,
    }
    if any(scorer.layer is not None for scorer in audit.scorers):
        read["model"] = audit.bundle.subject.fingerprint
    return read


def _computed(audit: Audit) -> FingerprintPart:
    scorers = {scorer.concept: scorer.fingerprint for scorer in audit.scorers}
    return {"scorers": scorers, **(_read_by(audit) if scorers else {})}


def _work(audit: Audit) -> ScoresFacts:
    run, bundle, scorers = audit.run, audit.bundle, audit.scorers
    run.file(artifacts.SCORED_TOKENS).unlink(missing_ok=True)  # of other rows or detectors
    if scorers:
        with progress_bar("scores", "row", run.row_health.retained) as bar:
            score_rows(
                (stored.pair for stored in run.rows()),
                scorers,
                bundle.tokenizer,
                lambda: bundle.subject,
                run.file(artifacts.SCORES),
                content_hash(_read_by(audit)),
                audit.settings,
                bar.update,
            )
    return ScoresFacts(concepts={scorer.concept: scored_concept(scorer) for scorer in scorers})


def scored_concept(scorer: Scorer) -> ScoredConcept:
    """What a manifest keeps of a detector."""
    return ScoredConcept(
        detector=scorer.kind,
        layer=scorer.layer,
        pooling=scorer.pooling,
        threshold=scorer.threshold,
        held_out=artifacts.finite(dict(scorer.held_out)) if isinstance(scorer, Measured) else {},
    )


SCORES_STAGE = Stage(
    name="scores",
    work=_work,
    outputs=(artifacts.SCORES,),
    inputs=(artifacts.ROWS,),
    computed=_computed,
    written=lambda audit: [f"{artifacts.SCORES}/{scorer.concept}" for scorer in audit.scorers],
)
