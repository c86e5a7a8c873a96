"""Scored tokens: each detector's score of each token of the responses in ``tokens.parquet``."""

from __future__ import annotations

from anatomy import artifacts
from anatomy.concepts.scored_tokens import write_scored_tokens
from anatomy.progress import progress_bar
from anatomy.report.token_table import TOKEN_COLUMNS
from anatomy.runs.stage_facts import RowsKept
from anatomy.stages.stage import Audit, Stage


def _work(audit: Audit) -> RowsKept | None:
    run, bundle = audit.run, audit.bundle
    if not audit.scorers:
        return None
    kept = set(artifacts.read_table(run.file(artifacts.TOKENS), TOKEN_COLUMNS)["row"].to_pylist())
    pairs = {row: stored.pair for row, stored in enumerate(run.rows()) if row in kept}
    path = run.file(artifacts.SCORED_TOKENS)
    with progress_bar("token scores", "row", len(pairs)) as bar:
        write_scored_tokens(
            path, pairs, audit.scorers, bundle.tokenizer, lambda: bundle.subject, bundle.settings, bar.update
        )
    return RowsKept(rows=len(pairs))


SCORED_TOKENS_STAGE = Stage(
    name="scored_tokens",
    work=_work,
    outputs=(artifacts.SCORED_TOKENS,),
    inputs=(artifacts.TOKENS, artifacts.SCORES),
    written=lambda audit: [artifacts.SCORED_TOKENS] if audit.scorers else [],
)
