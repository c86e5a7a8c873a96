"""Tokens: the rows behind the findings as the model read them, for the report."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.naming.cluster_labels import ClusterLabels
from anatomy.report.summary_record import Summary
from anatomy.report.token_table import TOKEN_ROWS, rows_behind_report, write_tokens
from anatomy.runs.stage_facts import RowsKept
from anatomy.stages.stage import Audit, Stage
from anatomy.stages.text_rows import text_rows
from anatomy.types import SPANS


def _work(audit: Audit) -> RowsKept:
    run, row_ids = audit.run, audit.run.features.row_ids
    found, labels = Summary.read(run.file(artifacts.SUMMARY)), ClusterLabels.read(run.file(artifacts.LABELS)).kinds()
    wanted = rows_behind_report(found.row_ids(), labels, row_ids, TOKEN_ROWS)
    rows = text_rows(run, audit.bundle, set(wanted))
    tokens = {row: {span: rows.tokens_of(row, span) for span in SPANS} for row in wanted}
    write_tokens(run.file(artifacts.TOKENS), tokens, row_ids)
    return RowsKept(rows=len(wanted))


TOKENS_STAGE = Stage(
    name="tokens",
    work=_work,
    outputs=(artifacts.TOKENS,),
    inputs=(artifacts.ROWS, artifacts.FEATURES, artifacts.SUMMARY, artifacts.LABELS),
)
