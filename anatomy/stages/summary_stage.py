"""Summary: the findings, each with its strongest rows and, with a calibration, the shift to expect."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.concepts.concept import load_library
from anatomy.data.health import Health
from anatomy.data.rows_table import StoredPair
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.report.markdown_summary import to_markdown
from anatomy.report.summary import RowsBehind, strongest_rows, summarise
from anatomy.report.summary_record import FindingRow
from anatomy.settings import HypothesisSettings
from anatomy.stages.run_expectation import calibration_of, expected_of_run
from anatomy.stages.stage import Audit, FingerprintPart, Stage
from anatomy.types import SIDES

EXCERPT = 300
"""Characters of a response that are kept with a finding."""


def _work(audit: Audit) -> None:
    run, settings = audit.run, audit.settings
    labels = ClusterLabels.read(run.file(artifacts.LABELS)).kinds()
    health = Health.read(run.file(artifacts.HEALTH))

    def find_rows(view: str, context: str, response: str, direction: str) -> RowsBehind:
        count, strongest = strongest_rows(*run.signals.of(view, context, response), direction)
        return RowsBehind(count, strongest.tolist())

    def read_excerpts(wanted: set[int]) -> dict[int, FindingRow]:
        return {row: _excerpt(one) for row, one in enumerate(run.rows()) if row in wanted}

    expected = None
    calibration = calibration_of(settings, run.model.fingerprint, run.sae.fingerprint)
    if calibration is not None:
        expected = expected_of_run(run, settings, calibration)
    concepts = {concept.id: concept.name for concept in load_library(settings.concepts_file).values()}
    summary = summarise(run.findings, labels, health, settings, find_rows, read_excerpts, expected,
                        run.signals.likeness(), concepts)  # fmt: skip
    summary.write(run.file(artifacts.SUMMARY))
    artifacts.write_text(run.file(artifacts.SUMMARY_TEXT), to_markdown(summary))


def _excerpt(stored: StoredPair) -> FindingRow:
    chosen, rejected = (str(stored.pair.side(side)[-1]["content"])[:EXCERPT] for side in SIDES)
    return FindingRow(row_id=stored.row_id, index=stored.pair.index, chosen=chosen, rejected=rejected)


def _computed(audit: Audit) -> FingerprintPart:
    path = audit.settings.calibration
    return {"calibration": None if path is None else artifacts.read_json(path)}


SUMMARY_STAGE = Stage(
    name="summary",
    work=_work,
    outputs=(artifacts.SUMMARY, artifacts.SUMMARY_TEXT),
    inputs=(artifacts.HYPOTHESES, artifacts.LABELS),
    optional=(artifacts.HEALTH, artifacts.OWN_FEATURES),
    settings=frozenset(HypothesisSettings.model_fields),
    computed=_computed,
)
